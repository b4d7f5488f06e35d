"""What the head of an experiment says of its result must be in the report."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLAIM = re.compile(r'report/(?P<page>[\w.]+)(?:,\s*(?:#\s*)?"(?P<section>[^"]+)")?')
NONE = ("none yet", "not measured")
ROOMS = ("ablation", "baselines", "model")
EXPERIMENTS = sorted(path for room in ROOMS for path in (ROOT / "experiments" / room).glob("*.yaml"))
EVERY = {"gaussian_noise", "v_prediction"}  # name the default, which a section has under another name


def head(path):
    return "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))


def sections(page):
    parts = re.split(r"^#+ ", (ROOT / "report" / page).read_text(), flags=re.MULTILINE)[1:]
    return {part.splitlines()[0]: part for part in parts}


def names(text):
    """Every word of a text, {a,b}_c being both a_c and b_c."""
    written_out = re.sub(
        r"\{([\w,]+)\}(\w*)", lambda found: " ".join(word + found[2] for word in found[1].split(",")), text
    )
    return set(re.findall(r"\w+", re.sub(r"(\w+_)\{([\w,]+)\}", _prefixed, text) + " " + written_out))


def _prefixed(found):
    return " ".join(found[1] + word for word in found[2].split(","))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_result_that_is_claimed_is_in_the_report(path):
    text = head(path)
    claim = CLAIM.search(text)
    if claim is None:
        assert any(word in text for word in NONE), "the head must say where the result is, or that there is none yet"
        return
    assert claim["section"], "the head must name the section of the report"
    found = sections(claim["page"])
    assert claim["section"] in found
    assert path.stem in names(found[claim["section"]]) | EVERY or f"{path.stem}-" in found[claim["section"]]


def test_words_in_braces_are_written_out():
    assert {"noise_prediction", "flow_prediction"} <= names("{noise,flow}_prediction.yaml")
    assert {"against_latent", "against_image"} <= names("against_{latent,image}.yaml")
