"""Notebooks ask one question each, define nothing, run from top to bottom, and are committed with small outputs."""

import ast
import json
import re
import shutil
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest

pytest.importorskip("nbformat", reason="nbformat is not installed: pip install 'anomaly-diffusion[notebooks]'")

import nbformat
import yaml
from commands import unchanged_process
from notebook_runner import FEW, LIMIT, NOTEBOOKS, ROOT, executed

import anomaly_diffusion as ad
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.cli.parsing.arguments import locate_config
from anomaly_diffusion.cli.sweeping import sweep_file

LARGEST = 400_000  # bytes
NAMES = [
    "01_quickstart", "02_noise_and_prediction", "03_depth", "04_pixel_latent_feature", "05_stable_diffusion",
    "06_failure_cases", "07_ablation",
]  # fmt: skip
ALLOWED = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr, ast.For, ast.With)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.NamedExpr)
CHEAPEST = "01_quickstart"  # to execute; the others are in a soak
NEEDS = {"05_stable_diffusion": ("transformers", "peft")}
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|usr|opt|mnt|Users|private)\b|[A-Z]:\\\\")
NOISE = re.compile(r"Warning|it/s|\d%\|")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def statements(source: str) -> list[ast.stmt]:
    """All statements of a cell, those within loops too."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]


def test_all_questions_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == NAMES


@every_notebook
def test_the_title_asks_one_question(path: Path) -> None:
    first = nbformat.read(path, as_version=4).cells[0]
    title = first.source.splitlines()[0]
    assert first.cell_type == "markdown"
    assert re.fullmatch(r"# [^?]+\?", title)


@every_notebook
def test_a_notebook_defines_nothing(path: Path) -> None:
    for cell in cells(path, "code"):
        assert all(isinstance(statement, ALLOWED) for statement in statements(cell.source)), cell.source
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, DEFINITIONS)], cell.source


@pytest.mark.parametrize("source", ["f = lambda x: x", "def f(): ...", "class C: ...", "while True: f()", "x += 1"])
def test_what_defines_or_computes_is_noticed(source: str) -> None:
    allowed = all(isinstance(statement, ALLOWED) for statement in statements(source))
    assert not allowed or [node for node in ast.walk(ast.parse(source)) if isinstance(node, DEFINITIONS)]


@every_notebook
def test_a_notebook_imports_the_package_and_says_where_the_real_figures_are(path: Path) -> None:
    code = "\n".join(cell.source for cell in cells(path, "code"))
    prose = "\n".join(cell.source for cell in cells(path, "markdown"))
    assert "import anomaly_diffusion as ad" in code
    assert "report/" in prose
    assert "does not show" in prose


@every_notebook
def test_outputs_are_small_complete_and_of_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    code = cells(path, "code")
    assert path.stat().st_size < LARGEST
    assert not MACHINE.search(re.sub(r'"image/\w+": ".*?"', "", text))
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"execute_result", "display_data"}  # no prints, no warnings
    kinds = {kind for output in outputs for kind in output.data}
    assert "text/markdown" in kinds
    assert kinds & {"image/png", "image/jpeg"}
    assert not [text for output in outputs for text in [output.data.get("text/plain", "")] if NOISE.search(text)]


@every_notebook
def test_a_notebook_says_nothing_of_when_and_with_what_it_was_run(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    assert notebook.metadata == {"kernelspec": spec, "language_info": {"name": "python"}}
    assert not [cell.metadata for cell in notebook.cells if cell.metadata]


def as_words(settings: dict[str, object]) -> list[str]:
    return [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in settings.items()]


def skip_without(path: Path) -> None:
    """Skip a notebook whose libraries are not here."""
    for package in NEEDS.get(path.stem, ()):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'anomaly-diffusion[baselines]'")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that has whatever a notebook shows of one."""
    folder = tmp_path_factory.mktemp("trained")
    few = {name: yaml.safe_load(value) for name, value in FEW.items()}
    few |= {"runs_dir": folder, "data.dataset.init_args.test": 40, "model.init_args.backbone.init_args.width": 8}
    few |= {"model.init_args.reconstruction.init_args.depths": [0.3, 1.0], "failures.worst": 1, "panels.count": 1}
    with unchanged_process():
        return ad.train("model/pixel.yaml", "demo.yaml", settings=few)


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem != CHEAPEST], ids=lambda path: path.stem)
def test_the_cells_of_a_notebook_run_where_each_training_is_only_parsed(path, trained, tmp_path, monkeypatch) -> None:
    """In this process; what they train is parsed, and one tiny run takes the place of all."""
    skip_without(path)

    def train(*configs, settings):
        parsed(["train", *(f"--config={config}" for config in configs), *as_words(settings)])
        return trained

    def sweep(file, settings):
        """Copies of the tiny run, each with the settings of its trial."""
        asked, runs = sweep_file.read(Path(locate_config(file))), []
        for trial in asked.trials():
            folder = tmp_path / "runs" / trial.experiment / trial.run
            shutil.copytree(trained.folder, folder)
            (folder / "config.yaml").write_text(parsed([*asked.words(trial), *as_words(settings)]))
            runs.append(ad.Run(folder))
        return runs

    def parsed(words):
        with pytest.raises(SystemExit) as stop, redirect_stdout(StringIO()) as printed:
            main([*words, "--print_config"])
        assert stop.value.code == 0
        return printed.getvalue()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ad, "train", train, raising=False)
    monkeypatch.setattr(ad, "sweep", sweep, raising=False)
    names = {}
    with unchanged_process():
        for cell in cells(path, "code"):
            *before, last = ast.parse(cell.source).body
            exec(compile(ast.Module(before, []), path.name, "exec"), names)
            if not isinstance(last, ast.Expr):
                exec(compile(ast.Module([last], []), path.name, "exec"), names)
                continue
            shown = eval(compile(ast.Expression(last.value), path.name, "eval"), names)
            assert (getattr(shown, "_repr_mimebundle_", None) or shown._repr_markdown_)()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the kernel's own machinery
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.soak] * (path.stem != CHEAPEST)) for path in NOTEBOOKS],
)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'anomaly-diffusion[notebooks]'")
    skip_without(path)
    fresh = executed(path, tmp_path, LIMIT, quick=True)
    for old, new in zip(cells(path, "code"), [cell for cell in fresh.cells if cell.cell_type == "code"], strict=True):
        assert [output.output_type for output in new.outputs] == [output.output_type for output in old.outputs]


def test_the_kernel_is_this_interpreter(tmp_path: Path) -> None:
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package)
    source = "import sys, anomaly_diffusion as ad\nsys.executable, ad.__file__"
    path = tmp_path / "probe.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
    told = executed(path, tmp_path).cells[0].outputs[0].data["text/plain"]
    assert ast.literal_eval(told) == (sys.executable, str(ROOT / "anomaly_diffusion" / "__init__.py"))
