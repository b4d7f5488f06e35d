"""What an engineer is told of a limit."""

import json

import pytest

from anomaly_diffusion import files
from anomaly_diffusion.runs.detection_limit import DetectionLimit, FamilyLimit, SizedDefect

DEFECTS = [SizedDefect(f"{number}.png", width, 2.0, width > 0.02) for number, width in enumerate((0.012, 0.03, 0.08))]


def curve(a90, bound):
    return {"a50": a90 / 2, "a90": a90, "a90_95": bound}


@pytest.mark.parametrize(
    ("family", "a90", "bound", "told"),
    [
        ("crack", 0.016, 0.021, "finds 90 % of cracks wider than 1.6 % of the side at 5 % false alarms (2.1 %"),
        (
            "scratch",
            0.016,
            float("inf"),
            "finds 90 % of scratches wider than 1.6 % of the side at 5 % false alarms (not",
        ),
        ("pit", 0.001, 0.002, "finds 90 % of pits wider than 1.2 % of the side"),
        ("stain", 0.2, 0.5, "does not find 90 % of stains of any width up to 8 % of the side at 5 % false alarms"),
    ],
)
def test_the_sentence_says_the_width_that_was_painted_and_found(family, a90, bound, told):
    sentence = FamilyLimit(family, DEFECTS, curve(a90, bound)).sentence(0.05)
    assert sentence.startswith(told)
    assert sentence.endswith("2 of 3 found)")


def test_a_family_without_a_curve_says_why():
    assert FamilyLimit("pit", DEFECTS, why="all 3 were found").sentence(0.05) == "pits: no limit, as all 3 were found"


def test_the_file_holds_sentences_curves_and_every_defect(tmp_path):
    family = FamilyLimit("crack", DEFECTS, curve(0.016, float("inf")))
    files.write_json(tmp_path / "limit.json", DetectionLimit(0.05, [0.012], [2.0], [family], DEFECTS[:1]).as_dict())
    content = json.loads((tmp_path / "limit.json").read_text())
    crack = content["families"]["crack"]
    assert (crack["a90"], crack["a90_95"]) == (0.016, None)
    assert crack["sentence"] == family.sentence(0.05)
    assert [defect["found"] for defect in crack["defects"]] == [False, True, True]
    assert content["real"][0]["width"] == 0.012
