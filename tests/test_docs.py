"""README and docs: commands run in a tiny setting, or are parsed; recipes are followed; links lead somewhere.

A block under `<!-- needs: ... -->` needs weights, a GPU, a network or hours: its commands are only parsed. Of lines of
other programs, what they name of this project must exist. All else is carried out, on images of 24 pixels.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from program import Program
from safetensors.torch import save_file
from test_arrows import ALLOWED, ANYTHING
from trees import write, write_mask

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WRITTEN = [*PAGES, *sorted((ROOT / "report").glob("*.md"))]
FENCED = re.compile(r"^(?:<!-- needs: (?P<needs>.+) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
MACHINE = re.compile(r"(?<![\w./])/(?:home|root|tmp|work|mnt|Users)/")
TRAINER_VERBS = ("train", "fit", "validate", "test")
WITHOUT_STEPS = ("model/padim", "model/patchcore", "baselines/sd15_img2img")  # one epoch, without a network of ours
FROZEN = ("model/feature", "model/padim", "model/patchcore", "model/autoencoder", "model/latent")  # need some positions
NARROW = ("model/pixel", "model/feature", "model/latent")
TINY = {
    "trainer.accelerator": "cpu", "wandb.mode": "disabled", "data.batch_size": 4,
    "panels.count": 1, "trajectories.count": 1, "failures.worst": 1,
}  # fmt: skip
LONG = ("choosing_a_method", "run_folder", "stable_diffusion_and_clip")  # minutes of commands, which run in a soak
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


class Block(NamedTuple):
    """A fenced block; `needs` says why it cannot run here."""

    language: str
    code: str
    needs: str | None

    @property
    def commands(self):
        """The words of each line that is typed."""
        lines = (shlex.split(line, comments=True) for line in self.code.replace("\\\n", " ").splitlines())
        return [words for words in lines if words]


def blocks(page, language):
    found = (Block(match["language"], match["code"], match["needs"]) for match in FENCED.finditer(page.read_text()))
    return [block for block in found if block.language == language]


def ours(words):
    """The words after the name of this program, however it is started; None for another program."""
    name = next((name for name in ("anomaly-diffusion", "anomaly_diffusion") if name in words), None)
    return None if name is None else words[words.index(name) + 1 :]


def tiny(words):
    """The words of a training, and what makes it small."""
    return [*words, *(f"--{name}={value}" for name, value in small(words).items())]


def small(words):
    """Settings that make a training small."""
    said = " ".join(words)
    if "--resume" in said:
        return {"trainer.max_steps": 4}
    settings = dict(TINY)
    if not any(name in said for name in WITHOUT_STEPS):
        settings |= {"trainer.max_steps": 2, "trainer.val_check_interval": 2}
    if any(name in said for name in NARROW):
        settings["model.init_args.backbone.init_args.width"] = 8
    if "model/pixel" in said:
        settings["model.init_args.reconstruction.init_args.depths"] = [0.5]
    if "model/patchcore" in said:
        settings["model.init_args.memory.share"] = 0.5  # of few photographs, more than none
    if "baselines/sd15" in said:
        settings["model.init_args.reconstruction.init_args.steps"] = 2
    if "model/autoencoder" in said:
        settings["model.init_args.crop"] = [16, 16]
    if "--data.image_size" not in said:
        settings["data.image_size"] = [64, 64] if any(name in said for name in FROZEN) else [16, 16]
    if "data/" not in said:
        settings |= {f"data.dataset.init_args.{use}": 4 for use in ("train", "test", "validation")}
    return settings


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Photographs, data sets, weights of random networks; and the command line, where a first run has been made."""
    folder = tmp_path_factory.mktemp("docs")
    _write_set(folder / "photographs", "good", "scratch", "masks/scratch", 12)
    _write_set(folder / "new_photographs", "any", None, None, 2)
    for name in ("mvtec_ad/screw", "magnetic_tile/tile"):
        _write_set(folder / "data" / name, "train/good", "test/dent", "ground_truth/dent", 8)
        _write_set(folder / "data" / name, "test/good", None, None, 2)
    _write_set(folder / "data/visa/pcb1/Data", "Images/Normal", "Images/Anomaly", "Masks/Anomaly", 12)
    (folder / "experiments").symlink_to(ROOT / "experiments")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANOMALY_DIFFUSION_DATA", str(folder / "data"))
        patch.setenv("ANOMALY_DIFFUSION_WEIGHTS", str(folder / "weights"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        program = Program(folder)
        words = ["train", "--config", "experiments/model/pixel.yaml", "--config", "experiments/data/folder.yaml"]
        status, told = program(*tiny(words))
        assert status == 0, told
        yield program


def _write_set(root, normal, defects, masks, count):
    for number in range(count):
        write(root / normal / f"{number:02}.png", seed=number, size=(24, 24, 3))
    for number in range(2 if defects else 0):
        write(root / defects / f"{number:02}.png", seed=100 + number, size=(24, 24, 3))
        write_mask(root / masks / f"{number:02}.png", size=(24, 24))


def random_weights(folder):
    """A frozen network with random weights, in the file in which real ones come."""
    models = pytest.importorskip("torchvision.models")
    folder.mkdir(exist_ok=True)
    if not (folder / "mobilenet_v2.safetensors").exists():
        save_file(models.mobilenet_v2().state_dict(), folder / "mobilenet_v2.safetensors")


@pytest.fixture
def typing(place, tmp_path):
    """Type a command line of this program in a folder of its own, beside the photographs."""
    before = place.folder
    for name in ("photographs", "new_photographs", "experiments"):
        (tmp_path / name).symlink_to(before / name)
    shutil.copytree(before / "runs", tmp_path / "runs")
    place.folder = tmp_path

    def type_in(*words):
        expanded = [str(path) for word in words for path in _expanded(word, tmp_path)]
        status, told = place(*expanded)
        assert status == 0, f"{shlex.join(words)}\n{told}"

    yield type_in
    place.folder = before


def _expanded(word, folder):
    """What a shell makes of a word with a star in it."""
    return sorted(path.relative_to(folder) for path in folder.glob(word)) if "*" in word else [word]


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.stem, marks=[pytest.mark.soak] * (page.stem in LONG)) for page in PAGES]
)
def test_every_command_runs_or_is_at_least_understood(page, place, typing):
    if any("feature" in " ".join(words) for block in blocks(page, "bash") for words in block.commands):
        random_weights(Path(os.environ["ANOMALY_DIFFUSION_WEIGHTS"]))
    for block in blocks(page, "bash"):
        for words in block.commands:
            mine = ours(words)
            if mine is None:
                _check_other_program(words)
            elif not block.needs:
                typing(*(tiny(mine) if mine[0] in ("train", "fit") else mine))
            elif mine[0] in TRAINER_VERBS:
                typing(*mine, "--print_config")
            elif mine[0] == "sweep":
                typing(*mine, "--dry_run")


@pytest.mark.parametrize("name", LONG)
def test_every_command_of_a_long_page_is_understood(name, place):
    """Settings are parsed, those of an evaluation on top of the training before it; other options are in the help."""
    (page,) = (page for page in PAGES if page.stem == name)
    training = []
    for typed in (words for block in blocks(page, "bash") for words in block.commands):
        if ours(typed) is None:
            _check_other_program(typed)
            continue
        verb, *words = ours(typed)
        if verb in TRAINER_VERBS:
            new = _without_a_run(words)
            if new != words:
                new = [*training, *new]
            elif verb == "train":
                training = new
            status, told = place(verb, *new, "--print_config")
        else:
            status, told = place(verb, "--help")
            assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in told] == []
        assert status == 0, f"{verb} {shlex.join(words)}\n{told}"


def _without_a_run(words):
    """The words but for the run that is judged or gone on with."""
    return [word for before, word in pairwise(["", *words]) if not {before, word} & {"--resume", "--run_folder"}]


def _check_other_program(words):
    """What a line of another program names of this project must be there."""
    if words[0] == "make":
        targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
        assert {word for word in words[1:] if word.isalpha()} <= targets
    elif words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(re.findall(r"\[([\w,]+)\]", words[2])) <= set(extras)
    elif words[0] == "export":
        assert words[1].startswith("ANOMALY_DIFFUSION_")
    else:
        assert words[0] in ("hf", "wandb", "python"), f"{shlex.join(words)}: teach this test what to check"
        assert all((ROOT / word).is_file() for word in words if word.endswith((".py", ".yaml")))


@pytest.mark.slow
@pages
def test_every_piece_of_python_runs(page, place, typing, monkeypatch, capsys):
    import anomaly_diffusion as ad

    monkeypatch.chdir(place.folder)
    train = ad.train
    shrunk = small(["model/feature", "data/folder"])
    monkeypatch.setattr(ad, "train", lambda *configs, settings: train(*configs, settings={**settings, **shrunk}))
    for block in blocks(page, "python"):
        if not block.needs and not block.code.startswith("# "):  # a file of a recipe
            random_weights(Path(os.environ["ANOMALY_DIFFUSION_WEIGHTS"]))
            exec(compile(block.code, str(page), "exec"), {})
            assert capsys.readouterr().out.split(), "it prints figures"
    torch.use_deterministic_algorithms(False)


RECIPES = re.split(r"^## ", (ROOT / "docs/extending.md").read_text(), flags=re.M)[1:]
RECIPES = {section.splitlines()[0]: section for section in RECIPES if "\n# tests/" in section}
FILE = re.compile(r"^```\w+\n# (?P<path>[\w/.]+/[\w.]+)(?:: (?P<list>\w+))?\n(?P<body>.*?)^```$", re.M | re.S)
MOST_FILES, MOST_LINES = 3, 40


def followed(recipe, root):
    """Write the files of a recipe, and put its entries into the lists that it names."""
    for match in FILE.finditer(recipe):
        path, body = root / match["path"], match["body"]
        if match["list"]:
            head = "".join(re.findall(r"^\S.*\n", body, re.M))
            entry = "".join(re.findall(r"^ .*\n", body, re.M))
            before, opening, after = re.split(rf"^({match['list']}.* = [\[{{])", path.read_text(), flags=re.M)
            body = f"{before}{opening}\n{entry.rstrip()}{after}"
            body = body.replace("\nfrom anomaly_diffusion", f"\n{head}from anomaly_diffusion", 1)
        path.write_text(body)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_a_recipe_is_short(recipe):
    bodies = [match["body"] for match in FILE.finditer(recipe)]
    assert len(bodies) <= MOST_FILES
    assert sum(bool(line.strip()) for body in bodies for line in body.splitlines()) <= MOST_LINES


@pytest.mark.slow
def test_what_the_recipes_add_is_green_at_once(tmp_path):
    """In a copy of the project, by its own tests: laws, and that the experiments parse."""
    for name in ("anomaly_diffusion", "tests", "experiments", "report"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.png", "*.jpg"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for recipe in RECIPES.values():
        followed(recipe, tmp_path)
    text = "".join(RECIPES.values())
    added = re.findall(r"^class (\w+)", text, re.M) + re.findall(r"# experiments/\w+/(\w+)\.yaml", text)
    touched = sorted(set(re.findall(r"# (tests/[\w/]+\.py)", text)))
    bare = ("-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib")  # checking shapes takes long to begin
    command = [sys.executable, "-m", "pytest", *bare, *touched, "tests/test_experiments.py"]
    chosen = [*command, "tests/test_headers.py", "-k", f"({' or '.join(added)}) and not test_every_experiment_runs"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(chosen, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for one, other in LINK.findall(page.read_text()):
        target, _, anchor = (one or other).partition("#")
        if target.startswith(("http:", "https:")):
            continue
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in _anchors(there), f"{page.name} links to {target}#{anchor}"


def _anchors(page):
    """The headings of a page as GitHub makes anchors of them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_names_no_place_of_one_machine(page):
    assert not MACHINE.search(page.read_text())


def test_the_drawing_shows_arrows_that_there_are():
    drawn = re.search(r"```mermaid\nflowchart LR\n(.*?)```", (ROOT / "docs/architecture.md").read_text(), re.S)[1]
    for line in drawn.strip().splitlines():
        rooms, others = (set(re.findall(r"\w+", side)) for side in line.split("-->"))
        assert all(rooms <= ALLOWED.get(other, rooms) for other in others - ANYTHING), line


def test_the_readme_is_short_and_leads_to_every_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    led_to = [page for page in PAGES[1:] if f"docs/{page.name}" in text]
    further = "".join(page.read_text() for page in led_to)
    assert not [page.name for page in PAGES[1:] if page not in led_to and f"]({page.name}" not in further]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_of_the_project_that_a_page_names_are_there(page):
    places = (ROOT, ROOT / "anomaly_diffusion", ROOT / "experiments")
    named = re.findall(r"`([\w./]+/[\w.]+\.(?:py|yaml))`", page.read_text())
    assert not [name for name in named if not any((place / name).is_file() for place in places)]
