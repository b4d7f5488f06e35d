"""A list of photographs: what it may leave out, and how each mistake in it is told."""

import logging
import sys
from collections import Counter

import pytest
from trees import ready, write, write_mask

from anomaly_diffusion.cli.main import main
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.examination import layout_of
from anomaly_diffusion.data.layouts.tabular import Tabular

GOOD = [f"a/{number}.png" for number in range(10)]
BAD = ["b/0.png", "b/1.png"]


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate([*GOOD, *BAD]):
        write(tmp_path / name, number)
    write_mask(tmp_path / "b/0_mask.png")
    return tmp_path


def listed(folder, rows, heads="path,label", name="samples.csv", encoding="utf-8"):
    (folder / name).write_text("\n".join([heads, *rows]) + "\n", encoding=encoding)
    return Tabular(folder / name)


def plain(folder, **how):
    return listed(folder, [f"{name},good" for name in GOOD] + [f"{name},defective" for name in BAD], **how)


def names(dataset, samples):
    return [dataset.name(sample) for sample in samples]


def test_without_a_split_a_fixed_fifth_of_the_good_ones_is_tested_on(folder):
    dataset = plain(folder)
    train, test = names(dataset, dataset.train_samples()), names(dataset, dataset.test_samples())
    assert len(train) == 8
    assert test[2:] == BAD
    assert sorted(train + test[:2]) == GOOD
    turned = listed(folder, [f"{name},good" for name in reversed(GOOD)] + [f"{name},1" for name in BAD])
    assert set(names(turned, turned.train_samples())) == set(train)
    assert [sample.kind for sample in dataset.test_samples()] == ["good"] * 2 + ["defect"] * 2


def test_what_is_listed_is_what_is_read(folder, tmp_path_factory):
    elsewhere = write(tmp_path_factory.mktemp("elsewhere") / "x.png", 99)
    rows = [f"{name};normal;train;;;screw" for name in GOOD[:8]]
    rows += [f"{GOOD[8]};0;val;;;nut", f"{elsewhere};ok;test;;good;nut", "", "b\\0.png;Bad;TEST;b/0_mask.png;bent;nut"]
    dataset = listed(folder, rows, "path;label;split;mask;kind;category", "mine.csv", "utf-8-sig")
    assert len(dataset.train_samples()) == 8
    assert names(dataset, dataset.validation_samples()) == [GOOD[8]]
    good, bent = dataset.test_samples()
    assert (good.path, good.kind, good.category) == (elsewhere, "good", 0)
    assert (bent.path, bent.label, bent.mask, bent.kind) == (folder / "b/0.png", True, folder / "b/0_mask.png", "bent")
    assert dataset.read(bent)[1].sum() == 200
    assert dataset.categories == ["nut", "screw"]
    assert not Tabular(folder / "mine.csv", "nut").train_samples()
    assert {sample.category for sample in Tabular(folder / "mine.csv", ["screw", "nut"]).train_samples()} == {0}
    with pytest.raises(ValueError, match=r"got bolt. .*mine.csv has: nut, screw"):
        Tabular(folder / "mine.csv", ["nut", "bolt"]).test_samples()


def test_good_ones_of_every_category_are_tested_on(folder):
    rows = [f"{name},good,{'screw' if number < 5 else 'nut'}" for number, name in enumerate(GOOD)]
    tested = listed(folder, rows, "path,label,category").test_samples()
    assert Counter(sample.category for sample in tested) == {0: 1, 1: 1}


def test_a_data_module_takes_it(folder, caplog):
    caplog.set_level(logging.INFO)
    data = ready(AnomalyDataModule(plain(folder), (16, 16), batch_size=2), "fit", "test")
    assert len(data.train_dataloader()) == 2
    assert "2 of 10 good photographs of the list are kept for testing." in caplog.text


def test_a_parquet_file_says_the_same(folder):
    arrow = pytest.importorskip("pyarrow", reason="no pyarrow: pip install 'anomaly-diffusion[parquet]'")
    from pyarrow import parquet

    columns = {
        "image_path": [*GOOD, *BAD],
        "label": [0.0] * 10 + [1.0] * 2,
        "split": ["train"] * 9 + ["test"] * 3,
        "mask_path": [None] * 10 + ["b/0_mask.png", None],
        "taken": list(range(12)),
    }
    parquet.write_table(arrow.table(columns), folder / "samples.parquet")
    dataset = layout_of(folder)
    assert isinstance(dataset, Tabular)
    assert names(dataset, dataset.train_samples()) == GOOD[:9]
    assert [sample.mask for sample in dataset.test_samples()] == [None, folder / "b/0_mask.png", None]
    (folder / "samples.parquet").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match="is no Parquet file"):
        Tabular(folder).train_samples()


def test_without_pyarrow_the_package_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (folder / "samples.parquet").touch()
    with pytest.raises(ImportError, match=r"pip install 'anomaly-diffusion\[parquet\]'"):
        Tabular(folder).train_samples()


HEADS = "path,label,split,mask,kind,category"


@pytest.mark.parametrize(
    ("heads", "row", "told"),
    [
        ("file,label", "a/0.png,good", "must have a column `path` in its first row, got file, label."),
        ("path,lable", "a/0.png,good", "must have a column `label` .* Is it called 'lable'"),
        ("path,label,masks", "a/0.png,good,", "has no column `mask`, but one called 'masks'. Rename it"),
        ("path,label,label", "a/0.png,good,good", "must have one column `label`, got 2"),
        ("path,label", "a/0.png,good,more", "row 2: it has 3 cells, but there are 2 columns"),
        (HEADS, ",good,train,,,x", "row 2: `path` is empty"),
        (HEADS, "a/0.png,,train,,,x", "row 2: `label` must be good or defective, got ''"),
        (HEADS, "a/0.png,scratch,test,,,x", "got 'scratch'. The kind of defect goes into the column kind"),
        (HEADS, "a/0.png,good,,,,x", "row 2: `split` must be train, validation or test, got ''"),
        (HEADS, "a/0.png,good,trian,,,x", "row 2: `split` must be .*, got 'trian'"),
        (HEADS, "b/0.png,bad,train,,,x", "row 2: `split` of a defective photograph must be test"),
        (HEADS, "a/0.png,good,train,b/0_mask.png,,x", "row 2: `mask` of a good photograph must be empty"),
        (HEADS, "a/0.png,good,train,,bent,x", "row 2: `kind` of a good photograph cannot be 'bent'"),
        (HEADS, "b/0.png,bad,test,,good,x", "row 2: `kind` of a defective photograph cannot be 'good'"),
        (HEADS, "a/11.png,good,train,,,x", "row 2: `path` must be a file, but there is none at .*a/11.png"),
        (HEADS, "b/0.png,bad,test,b/9.png,,x", "row 2: `mask` must be a file, but there is none at .*b/9.png"),
        (HEADS, "a/0.png,good,train,,,x\na/1.png,good,train,,,", "row 3: `category` is empty, but other rows"),
        (HEADS, "a/0.png,good,train,,,x\na/0.png,good,test,,,x", "row 3: a/0.png stands in row 2 already"),
        ("path,label", "", "must list photographs, but has no row below its heads"),
    ],
)
def test_a_mistake_is_told_with_its_row(folder, heads, row, told):
    with pytest.raises(ValueError, match=told):
        listed(folder, [row], heads).train_samples()


def test_many_mistakes_are_told_together_on_few_lines(folder):
    with pytest.raises(ValueError, match=r"row 2: .*\n.*row 3: (.|\n)*and 12 more") as error:
        listed(folder, [f"{number}.png,good" for number in range(20)]).train_samples()
    assert len(str(error.value).splitlines()) < 12


def test_what_is_no_list_is_told(folder, tmp_path):
    (folder / "samples.csv").write_bytes("path,label\nä.png,good".encode("latin-1"))
    with pytest.raises(ValueError, match="no CSV in UTF-8"):
        Tabular(folder).train_samples()
    with pytest.raises(FileNotFoundError, match=r"there is none at .*other.csv"):
        Tabular(folder / "other.csv").train_samples()
    with pytest.raises(FileNotFoundError, match="holds none"):
        Tabular(folder / "a").train_samples()
    with pytest.raises(ValueError, match="`category` must name at least one"):
        Tabular(folder, [])


def test_the_doctor_takes_the_list_itself(folder, capsys):
    plain(folder, name="mine.csv")
    assert main(["doctor", str(folder / "mine.csv")]) == 0
    assert "read as Tabular" in capsys.readouterr().out
