"""What comes of a paper says how it differs from it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import anomaly_diffusion
from anomaly_diffusion.cli.parsing.arguments import experiments_folder

ROOT = Path(anomaly_diffusion.__file__).parent
ROOMS = ("baselines", "codecs", "detectors", "diffusion", "networks", "reconstruction", "scoring")
SECTIONS = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)
CITES = re.compile(r"\bet al\.|\bReferences?:|\([A-Z][\w-]+,? (?:19|20)\d\d\)|\", (?:[A-Z]+ )?(?:19|20)\d\d")
EXPERIMENTS = experiments_folder()
TESTS = Path(__file__).parent
CITING = re.compile(r"(?:et al\.|& \w+), (?:19|20)\d\d")
PUBLISHED = {  # overlays that are named after a paper, and what holds them against it, its formula written out anew
    "ablation/adversarial": "networks/test_patch_discriminator.py::test_the_losses_are_those_of_the_paper",
    "ablation/ddad": "reconstruction/test_guided.py::test_the_overlay_walks_as_ddad_does_on_tile",
    "ablation/ddad_features": "scoring/test_perceptual.py::test_feature_cosine_is_that_of_ddad",
    "ablation/harmonised": "reconstruction/test_harmonised.py::test_the_overlay_walks_as_thor_does",
    "ablation/mask_stitch": "reconstruction/test_mask_stitch.py::test_mask_stitch_and_resampling_are_those_of_autoddpm",
    "ablation/noise_free_start": "reconstruction/test_noise_free.py::test_the_overlay_walks_as_d3ad_does",
    "ablation/two_level": "reconstruction/test_two_level.py::test_clamps_are_those_of_diffusionad",
    "baselines/clip": "baselines/test_clip.py::test_likeness_to_texts_becomes_a_share_by_the_temperature_of_winclip",
    "baselines/clip_few_shot": (
        "baselines/test_clip.py::test_a_distance_is_half_of_one_minus_the_cosine_to_the_nearest_healthy_view"
    ),
    "baselines/invad": (
        "baselines/test_invad.py::"
        "test_the_score_is_that_of_invad_in_deviations_of_normal_in_place_of_shares_of_the_test_set"
    ),
    "model/padim": "baselines/test_published.py::test_padim_ranks_as_the_published_one",
    "model/patchcore": "baselines/test_published.py::test_patchcore_ranks_as_the_published_one",
}


class Described(NamedTuple):
    """A class or function with a docstring."""

    name: str
    prose: list[str]  # paragraphs before the first section, each on one line


def described(folder: Path) -> Iterator[Described]:
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                prose = SECTIONS.split(text)[0].strip().split("\n\n")
                yield Described(f"{path.stem}.{node.name}", [" ".join(part.split()) for part in prose])


def cited(folder: Path) -> list[Described]:
    return [one for one in described(folder) if CITES.search(" ".join(one.prose))]


def fault(one: Described) -> str:
    """What is wrong with the end of a docstring that cites a paper; nothing if it is as it should be."""
    last, before = one.prose[-1], one.prose[-2] if len(one.prose) > 1 else ""
    if not last.startswith("Differs from the paper: "):
        return "its prose must end with a paragraph: Differs from the paper: ..."
    if not re.match(r"References?: ", before):
        return "the paragraph before must name the paper: Reference: ..."
    if not last.endswith(".") or last.count("Differs from the paper:") > 1:
        return "the differences must be one list that ends with a full stop"
    return ""


@pytest.mark.parametrize("room", ROOMS)
def test_what_comes_of_a_paper_ends_with_how_it_differs(room: str) -> None:
    faults = {one.name: fault(one) for one in cited(ROOT / room)}
    assert len(faults) > 1
    assert {name: wrong for name, wrong in faults.items() if wrong} == {}


@pytest.mark.parametrize(
    ("ends", "wrong"),
    [
        ('Reference: Roe et al., "Why", 2020.', "must end with"),
        ('Reference: Roe et al., "Why", 2020.\n\nDiffers from the paper: nothing.', ""),
        ('Reference: Roe et al., "Why", 2020.\n\nDiffers from the paper: nothing', "full stop"),
        ("As Roe et al. do.\n\nDiffers from the paper: nothing.", "must name"),
        ('Differs from the paper: nothing.\n\nReference: Roe et al., "Why", 2020.', "must end with"),
    ],
)
def test_a_wrong_end_is_found(tmp_path: Path, ends: str, wrong: str) -> None:
    (tmp_path / "method.py").write_text(f"class Method:\n    '''A method.\n\n{ends}\n\nArgs:\n    x: one.\n'''\n")
    (one,) = cited(tmp_path)
    assert wrong in fault(one)
    assert bool(wrong) == bool(fault(one))


def head(path: Path) -> str:
    return " ".join(line for line in path.read_text().splitlines() if line.startswith("#"))


def test_every_overlay_that_is_named_after_a_paper_is_held_against_it() -> None:
    """A head that cites one promises that what is below does what the paper does."""
    rooms = (path for room in ("ablation", "baselines", "model") for path in (EXPERIMENTS / room).glob("*.yaml"))
    citing = {path.relative_to(EXPERIMENTS).with_suffix("").as_posix() for path in rooms if CITING.search(head(path))}
    assert citing == PUBLISHED.keys()


def test_what_holds_an_overlay_against_its_paper_is_there() -> None:
    pairs = [where.split("::") for where in PUBLISHED.values()]
    assert [name for path, name in pairs if f"\ndef {name}(" not in (TESTS / path).read_text()] == []
