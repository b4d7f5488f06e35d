"""What the head of an experiment says of its result must be in the report."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLAIM = re.compile(r'report/(?P<page>[\w.]+)(?:,\s*(?:#\s*)?"(?P<section>[^"]+)")?')
NONE = ("none yet", "not measured")
ROOMS = ("ablation", "baselines", "model", "published")
EXPERIMENTS = sorted(path for room in ROOMS for path in (ROOT / "experiments" / room).glob("*.yaml"))
EVERY = {"gaussian_noise", "v_prediction"}  # name the default, which a section has under another name


def head(path):
    return "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))


@cache
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


def fault(path):
    """What is wrong with the head of an experiment; nothing if it is as it should be."""
    text = head(path)
    claim = CLAIM.search(text)
    if claim is None:
        return "" if any(word in text for word in NONE) else "must say where the result is, or that there is none yet"
    if not claim["section"]:
        return "must name the section of the report"
    section = sections(claim["page"]).get(claim["section"])
    if section is None:
        return f"names {claim['section']}, which is no section of {claim['page']}"
    there = path.stem in names(section) | EVERY or f"{path.stem}-" in section
    return "" if there else f"names {claim['section']}, where it is not to be found"


def test_a_result_that_is_claimed_is_in_the_report():
    assert len(EXPERIMENTS) > 40
    assert {path.stem: wrong for path in EXPERIMENTS if (wrong := fault(path))} == {}


def test_words_in_braces_are_written_out():
    assert {"noise_prediction", "flow_prediction"} <= names("{noise,flow}_prediction.yaml")
    assert {"against_latent", "against_image"} <= names("against_{latent,image}.yaml")
