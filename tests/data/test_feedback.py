"""Marked false alarms are kept whole, appended whole, trained on, and tested on no more."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from trees import write

from anomaly_diffusion import files
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.feedback import Feedback
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.layouts.textures import Textures


@pytest.fixture
def root(tmp_path):
    for number in range(8):
        write(tmp_path / f"data/train/good/{number}.png", seed=number, size=(16, 16, 3))
    for number in range(3):
        write(tmp_path / f"data/test/good/{number}.png", seed=20 + number, size=(16, 16, 3))
    return tmp_path


def marked(root, *names):
    feedback = Feedback(root / "run/feedback.csv")
    for name in names:
        feedback.add(name, (root / "data" / name).read_bytes(), 3.5, 2.25)
    return feedback


def names(data, use):
    return data._stores[use].names


def data_of(root, feedback=None):
    data = AnomalyDataModule(MVTecAD(root / "data"), (16, 16), feedback=feedback and str(feedback.path))
    data.setup("fit")
    data.setup("test")
    return data


def test_a_marked_photograph_is_trained_on_and_tested_on_no_more(root):
    before = data_of(root)
    feedback = marked(root, "test/good/1.png")
    after = data_of(root, feedback)
    (copy,) = feedback.photographs()
    assert copy.read_bytes() == (root / "data/test/good/1.png").read_bytes()
    assert names(after, "train") == [*names(before, "train"), copy.as_posix()]
    assert names(after, "validation") == names(before, "validation")
    assert names(after, "test") == ["test/good/0.png", "test/good/2.png"]
    assert after.split == before.split


def test_a_photograph_is_listed_once(root):
    feedback = marked(root, "test/good/1.png", "test/good/1.png", "test/good/2.png")
    assert not feedback.add("other.png", (root / "data/test/good/1.png").read_bytes(), 1, 1)
    rows = files.read_table(feedback.path)
    assert [(row["name"], row["score"], row["limit"]) for row in rows] == [
        ("test/good/1.png", "3.5", "2.25"),
        ("test/good/2.png", "3.5", "2.25"),
    ]


def test_many_may_append_at_once(root):
    feedback = Feedback(root / "run/feedback.csv")
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda number: feedback.add(f'a "{number}", b.png', b"%d" % number, 1, 1), range(64)))
    assert all(added)
    assert {row["name"] for row in files.read_table(feedback.path)} == {f'a "{number}", b.png' for number in range(64)}
    assert len(feedback.photographs()) == 64


def test_missing_files_are_told(root):
    feedback = marked(root, "test/good/1.png", "test/good/2.png")
    feedback.photographs()[0].unlink()
    with pytest.raises(FileNotFoundError, match=r"lists 1 photographs that are gone: .*test-good-1-.* Restore them"):
        data_of(root, feedback)
    with pytest.raises(FileNotFoundError, match="`feedback` must be a CSV file"):
        data_of(root, Feedback(root / "nowhere.csv"))
    feedback.path.write_text("file\na.png\n")
    with pytest.raises(ValueError, match="has no column path"):
        data_of(root, feedback)


def test_a_data_set_without_files_has_no_feedback(root):
    data = AnomalyDataModule(Textures(train=8, test=4), (16, 16), feedback=str(marked(root, "test/good/1.png").path))
    with pytest.raises(ValueError, match="needs a data set of files, got Textures"):
        data.setup("fit")
