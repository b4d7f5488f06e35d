"""`predict PHOTOGRAPH...`: its words, what it writes, and what becomes of what cannot be judged."""

import csv
import io
import json
import shutil
import threading

import cv2
import pytest
from commands import unchanged_process
from skimage import data
from small_run import NARROW, SMALL_RUN

from anomaly_diffusion.api import train
from anomaly_diffusion.cli import predict
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.deploy.found_photographs import Arrivals, Bad, photographs
from anomaly_diffusion.runs import image_results
from anomaly_diffusion.runs.predictions import Predictions

SMALL = SMALL_RUN | NARROW | {"data.image_size": [32, 32]}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, `new` with two photographs and one below, and a torn one."""
    folder = tmp_path_factory.mktemp("predicted")
    with unchanged_process():
        train("model/pixel.yaml", settings=SMALL | {"runs_dir": folder / "runs", "experiment": "small"})
    brick = data.brick()
    (folder / "new/below").mkdir(parents=True)
    for number, name in enumerate(["new/0.png", "new/1.png", "new/below/2.png"]):
        cv2.imwrite(str(folder / name), brick[40 * number : 40 * number + 64, 90:154])
    (folder / "torn.png").write_bytes((folder / "new/0.png").read_bytes()[:200])
    return folder


@pytest.fixture
def typed(place, monkeypatch, capsys):
    """`typed(word, ...)` is the exit status, standard output and standard error of a prediction."""
    monkeypatch.chdir(place)

    def run(*words):
        capsys.readouterr()
        with unchanged_process():
            status = main(["predict", "--run_folder", "runs/small/001", *words])
        return status, *capsys.readouterr()

    return run


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_trainer_and_this_way_write_the_same_but_for_time_and_place(place, typed):
    status, _, _ = typed("--data.dataset", "Images", "--data.dataset.init_args.root", "new", "--wandb.mode", "disabled")
    assert status == 0
    (written,) = place.glob("runs/small/001/evaluations/0*/predictions.csv")
    theirs = {row["path"]: row for row in rows(written.read_text())}
    status, told, _ = typed("new", "--output", "-")
    assert status == 0
    mine = {row["path"].removeprefix("new/"): row for row in rows(told)}
    assert set(mine) == set(theirs) == {"0.png", "1.png", "below/2.png"}
    for name in ("0.png", "1.png"):  # noise is drawn by the name of a file, which below another folder is a path there
        assert all(mine[name][key] == theirs[name][key] for key in theirs[name] if key not in ("path", "seconds"))


def test_folders_patterns_files_and_lists_are_judged_each_photograph_once_and_the_bad_ones_told(
    place, typed, monkeypatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("new/0.png\n\nabsent.png\n"))
    status, told, error = typed("new", "new/*.png", "-", "torn.png", "no*.jpg", "--output", "-")
    assert status == 1
    assert [row["path"] for row in rows(told)] == ["new/0.png", "new/1.png", "new/below/2.png"]
    lines = error.splitlines()
    assert "absent.png: does not exist" in lines
    assert "torn.png: is corrupt or no image; copy it again or delete it" in lines
    assert "no*.jpg: matches no file" in lines
    assert "judged 3 photographs" in lines[-1]
    assert lines[-1].endswith("3 could not be judged")


def test_a_table_and_pictures_are_left_in_the_run_and_can_be_read_back(place, typed):
    status, told, _ = typed("new", "--masks", "--overlays")
    assert status == 0
    folder = max(place.glob("runs/small/001/evaluations/predict-*"))
    assert str(folder.relative_to(place)) in told
    assert [result.path for result in image_results.read(folder / "predictions.csv")] == [
        row.partition(":")[0] for row in told.splitlines()[:3]
    ]
    overlays, masks = ({path.name for path in (folder / name).iterdir()} for name in ("overlays", "masks"))
    assert overlays == masks
    assert cv2.imread(str(next((folder / "overlays").iterdir()))).shape == (64, 64, 3)
    assert {"predict.png", "predict-001.png", "predict.json"} <= {path.name for path in (folder / "panels").iterdir()}


def test_json_lines_hold_what_the_table_holds(typed):
    _, table, _ = typed("new/0.png", "--output", "-")
    _, lines, _ = typed("new/0.png", "--output", "-", "--json")
    (row,), told = rows(table), json.loads(lines)
    assert told["score"] == float(row["score"])
    assert told["peak"] == [int(number) for number in row["peak"].split()]
    assert told["regions"] == json.loads(row["regions"] or "[]")
    assert told["label"] is None


def test_another_rate_has_another_limit(typed):
    tables = [typed("new/0.png", "--output", "-", "--false_alarms", rate)[1] for rate in (".5", ".2")]
    often, seldom = (float(rows(table)[0]["limit"]) for table in tables)
    assert often < seldom


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_an_output_is_gone_on_with_where_a_kill_left_it(place, typed, tmp_path, ending):
    output = tmp_path / f"out.{ending}"
    assert typed("new/0.png", "new/1.png", "--output", str(output))[0] == 0
    whole = output.read_text()
    status, _, error = typed("new/0.png", "--output", str(output))
    assert status == 2
    assert "exists. Name another file, or go on with it by --append" in error
    output.write_text(whole[: whole.rstrip("\n").rfind("\n") + 20])
    status, told, _ = typed("new/0.png", "new/1.png", "--output", str(output), "--append")
    assert status == 0
    assert "judged 1 photographs" in told
    names = ("new/0.png", "new/1.png")
    lines = output.read_text().splitlines()[ending == "csv" :]
    assert [name in line for name, line in zip(names, lines, strict=True)] == [True, True]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["new", "--false_alarms", "2"], "`--false_alarms` must lie in (0, 1), got 2.0."),
        (["new", "--flase_alarms", ".1"], "`--flase_alarms` is no option of predict. Did you mean `--false_alarms`?"),
        (["new", "--output", "out.txt"], "`--output` must end in .csv or .jsonl, or be -, got out.txt."),
        (["new", "--json"], "`--json` is for `--output -`. For a file of JSON lines: --output FILE.jsonl"),
        (["--watch", "nowhere"], "`--watch` must be a folder, got nowhere."),
        (["new", "--watch", "new"], "name no others"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(typed, words, told):
    status, _, error = typed(*words)
    assert status == 2
    assert told in error
    assert len(error.splitlines()) <= 2


def test_a_full_disk_is_told_and_what_was_judged_is_whole(place, typed, monkeypatch, tmp_path):
    calls = []

    def full(self, text):
        calls.append(text)
        if len(calls) > 2:  # the header and one photograph
            raise OSError(28, "No space left on device; results before are whole", str(self.path))
        self._stream.write(text)

    monkeypatch.setattr(Predictions, "_put", full)
    status, _, error = typed("new", "--output", str(tmp_path / "out.csv"))
    assert status == 1
    assert "No space left on device; results before are whole" in error
    assert len(rows((tmp_path / "out.csv").read_text())) == 1


def test_a_watched_folder_is_judged_as_photographs_arrive_and_none_twice(place, typed, monkeypatch):
    arriving = place / "arriving"
    arriving.mkdir()
    shutil.copy(place / "new/0.png", arriving / "0.png")
    late = threading.Timer(1.0, shutil.copy, [place / "new/1.png", arriving / "1.png"])
    late.start()
    judged = predict._Work._judge

    def until(count):
        def judge(self, some):
            judged(self, some)
            if self.judged == count:
                raise KeyboardInterrupt

        return judge

    monkeypatch.setattr(predict._Work, "_judge", until(2))
    status, told, _ = typed("--watch", "arriving")
    assert status == 0
    assert "judged 2 photographs" in told
    shutil.copy(place / "new/below/2.png", arriving / "2.png")
    monkeypatch.setattr(predict._Work, "_judge", until(1))
    status, told, _ = typed("--watch", "arriving")
    assert "arriving/2.png" in told
    assert "judged 1 photographs" in told
    (table,) = place.glob("runs/small/001/evaluations/watch-*/predictions.csv")
    assert [row["path"] for row in rows(table.read_text())] == ["arriving/0.png", "arriving/1.png", "arriving/2.png"]


def test_a_file_that_is_still_written_is_waited_for_and_one_that_stays_broken_told_once(place, tmp_path):
    whole = (place / "new/0.png").read_bytes()
    file, arrivals = tmp_path / "0.png", Arrivals(tmp_path, set(), patience=5.0)
    file.write_bytes(whole[:100])
    assert [list(arrivals.look(now)) for now in (0.0, 1.0)] == [[], []]
    file.write_bytes(whole[:300])
    assert [list(arrivals.look(now)) for now in (2.0, 3.0)] == [[], []]
    ((bad,), again) = (list(arrivals.look(now)) for now in (8.0, 9.0))
    assert isinstance(bad, Bad)
    assert bad.name == str(file)
    assert again == []
    file.write_bytes(whole)
    assert [list(arrivals.look(now)) for now in (10.0, 11.0, 12.0)] == [[], [file], []]


def test_a_list_is_read_as_it_comes(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").touch()
    asked = []

    def lines():
        for name in "ab":
            asked.append(name)
            yield str(tmp_path / f"{name}.png") + "\n"

    found = photographs(["-"], lines())
    assert next(found) == tmp_path / "a.png"
    assert asked == ["a"]
