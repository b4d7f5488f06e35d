"""What a run tells about the painted defects of a validation: how well they are found, and whether they are copied."""

import math
from types import SimpleNamespace

import pytest
import torch

from anomaly_diffusion.callbacks.painted_defects import PaintedDefects
from anomaly_diffusion.callbacks.result_callback import RunFigures
from anomaly_diffusion.callbacks.run_card import _copies
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.split import Split
from anomaly_diffusion.runs.painted_defects import PaintedDefect, as_csv, copying, mean_at_depths, read
from anomaly_diffusion.types import Prediction

DEPTHS = (0.1, 1.0)


@pytest.fixture(scope="module")
def data():
    module = AnomalyDataModule(Textures("brick", train=40, validation=16), (32, 32), 8)
    module.setup("fit")
    return module


def measured(data, photographs=True):
    """The callback after a validation whose first depth copies and shows all that was painted, the second nothing."""
    callback = PaintedDefects()
    callback.shared = RunFigures()
    trainer = SimpleNamespace(testing=False, datamodule=data, state=SimpleNamespace(fn="fit"))
    detector = SimpleNamespace(codec=SimpleNamespace(photographs=photographs), depths=DEPTHS)
    callback.begin(trainer, detector)
    for batch in data.val_dataloader():
        clean = data.unpainted(batch.path)
        maps = batch.mask.float()
        shown = torch.stack([batch.image, clean], dim=1)
        prediction = Prediction(batch.image, shown, torch.cat([maps, 1 - maps], 1), maps, maps.amax((1, 2, 3)), nfe=2)
        callback.consume(trainer, detector, prediction, batch)
    callback.on_validation_epoch_end(trainer, detector)
    return callback


def test_what_reconstructions_copy_is_counted_at_each_depth(data):
    callback = measured(data)
    painted = sum(int(batch.label.sum()) for batch in data.val_dataloader())
    assert painted >= 8
    assert callback.shared.copying == [(0.1, painted, painted), (1.0, 0, painted)]
    assert all(one.kept == pytest.approx((1, 0), abs=1e-5) for one in callback._defects)
    assert all(one.pixel_ap == 1 for one in callback._defects)
    assert callback.shared.painted_at_depths[0] == 1 > 10 * callback.shared.painted_at_depths[1]
    told = f"of {painted} painted defects, reconstructions copy {painted} at depth 0.1, 0 at depth 1"
    assert _copies(callback.shared.copying) == told


def test_where_no_photographs_are_reconstructed_nothing_is_said_of_copies(data):
    callback = measured(data, photographs=False)
    assert callback.shared.copying == []
    assert all(one.kept == () for one in callback._defects)


def test_a_split_that_only_painted_a_photograph_says_nothing_of_copies(data):
    names = [data.dataset.name(sample) for sample in data.dataset.train_samples()]
    other = AnomalyDataModule(data.dataset, (32, 32), 8)
    other.split = Split(names[:30], names[30:33], names[33:])
    other.setup("validate")
    assert other.unpainted(names[30:33]).shape == (3, 3, 32, 32)
    assert other.unpainted(names[32:34]) is None


def test_the_table_keeps_shares_and_reads_those_without(tmp_path):
    defects = [
        PaintedDefect("a.png", "pit", 0.5, (0.25, -1.5), (0.75, 0.125)),
        PaintedDefect("b.png", "crack", math.nan, ()),
    ]
    (tmp_path / "painted.csv").write_text(as_csv(defects))
    first, second = read(tmp_path)
    assert first == defects[0]
    assert math.isnan(second.pixel_ap)
    assert second.kept == ()
    (tmp_path / "painted.csv").write_text("path,family,pixel_ap\na.png,pit,0.5\n")
    assert read(tmp_path) == [PaintedDefect("a.png", "pit", 0.5)]


def test_defects_of_unknown_share_are_in_no_count():
    defects = [PaintedDefect("a", "pit", 1.0, (0.9,)), PaintedDefect("b", "pit", 1.0, (math.nan,))]
    assert copying([*defects, PaintedDefect("c", "pit", 1.0)], (0.5,)) == [(0.5, 1, 1)]
    assert copying(defects[1:], (0.5,)) == []


def test_a_defect_that_no_frame_shows_says_nothing_of_depths():
    unseen = PaintedDefect("b", "pit", math.nan, (), (math.nan, math.nan))
    seen = [PaintedDefect("a", "pit", 0.5, (), (0.25, 1.0)), PaintedDefect("c", "pit", 0.5, (), (0.75, 0.5))]
    assert mean_at_depths([*seen, unseen], 2) == [0.5, 0.75]
    assert mean_at_depths([unseen, PaintedDefect("of before", "pit", 0.5)], 2) == []
