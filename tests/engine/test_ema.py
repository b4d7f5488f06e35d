import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from toy_detector import ToyDetector, ToyImages, trainer

from anomaly_diffusion.engine.ema import EMA

TRAIN, VALIDATION = ToyImages(30, normal_only=True), ToyImages(10, seed=1)


class Watch(pl.Callback):
    """Notes the weight after each step, and the weight in place at each validation."""

    def __init__(self):
        self.trained, self.validated, self.after = [], [], []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.trained.append(pl_module.reconstruction.item())

    def on_validation_batch_end(self, trainer, pl_module, *_):
        self.validated.append(pl_module.reconstruction.item())

    def on_train_epoch_end(self, trainer, pl_module):
        self.after.append(pl_module.reconstruction.item())


def fit(folder, ema, epochs=2, resume=None, callbacks=(), **options):
    watch, detector = Watch(), ToyDetector()
    run = trainer(folder, ema, watch, *callbacks, epochs=epochs, **options)
    run.fit(detector, TRAIN.loader(), VALIDATION.loader(), ckpt_path=resume)
    return run, detector, watch


def closed_form(start, weights, decay):
    """sum over steps of (1 - decay_t) * weight_t * product of later decays, plus what is left of the start."""
    average = start
    for t, weight in enumerate(weights):
        now = min(decay, (1 + t) / (10 + t))
        average = now * average + (1 - now) * weight
    return average


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999])
def test_the_average_follows_its_closed_form_and_is_in_place_after_training(tmp_path, decay):
    _, detector, watch = fit(tmp_path, EMA(decay))
    assert detector.reconstruction.item() == pytest.approx(closed_form(0.3, watch.trained, decay), rel=1e-5)


def test_gathering_batches_counts_as_one_step(tmp_path):
    _, detector, watch = fit(tmp_path, EMA(0.9), accumulate_grad_batches=3)
    assert detector.reconstruction.item() == pytest.approx(closed_form(0.3, watch.trained[2::3], 0.9), rel=1e-5)


def test_validation_sees_the_average_and_training_goes_on_from_its_own_weights(tmp_path):
    _, _, watch = fit(tmp_path, EMA(0.9))
    assert watch.validated[0] == pytest.approx(closed_form(0.3, watch.trained[:6], 0.9), rel=1e-5)
    assert watch.after == [watch.trained[5], watch.trained[11]]


def test_buffers_written_on_validation_start_belong_to_the_average_and_survive(tmp_path):
    keep = ModelCheckpoint(tmp_path, save_last=True)
    _, detector, watch = fit(tmp_path, EMA(0.9), callbacks=[keep], enable_checkpointing=True)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert detector.calibrated_on.item() == watch.validated[-1] == saved["calibrated_on"].item()
    assert saved["reconstruction"].item() == watch.validated[-1] != watch.trained[-1]


def test_a_resumed_run_is_bit_equal_to_an_uninterrupted_one(tmp_path):
    _, straight, _ = fit(tmp_path / "straight", EMA(0.9), epochs=4)
    run, _, _ = fit(tmp_path / "halves", EMA(0.9), epochs=2)
    run.save_checkpoint(tmp_path / "half.ckpt")
    _, resumed, watch = fit(tmp_path / "halves", EMA(0.9), epochs=4, resume=tmp_path / "half.ckpt")
    assert torch.equal(straight.reconstruction, resumed.reconstruction)
    assert resumed.reconstruction.item() != watch.trained[-1]


def test_a_checkpoint_saved_between_validations_holds_average_and_trained_weights(tmp_path):
    often = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    _, _, watch = fit(tmp_path, EMA(0.9), callbacks=[often], enable_checkpointing=True)
    saved = torch.load(tmp_path / "step=4.ckpt", weights_only=True)
    assert saved["state_dict"]["reconstruction"].item() == pytest.approx(
        closed_form(0.3, watch.trained[:4], 0.9), rel=1e-5
    )
    assert saved["ema"]["trained"]["reconstruction"].item() == watch.trained[3]


def test_test_from_a_checkpoint_uses_the_average_without_any_fit(tmp_path):
    run, trained, _ = fit(tmp_path, EMA(0.9))
    run.save_checkpoint(tmp_path / "run.ckpt")
    fresh = ToyDetector()
    trainer(tmp_path, EMA(0.9)).test(fresh, VALIDATION.loader(), ckpt_path=tmp_path / "run.ckpt", verbose=False)
    assert torch.equal(fresh.reconstruction, trained.reconstruction)


def test_a_second_fit_averages_again_from_the_weights_it_finds(tmp_path):
    ema = EMA(0.9)
    _, first, _ = fit(tmp_path, ema)
    watch = Watch()
    start = first.reconstruction.item()
    trainer(tmp_path, ema, watch).fit(first, TRAIN.loader(), VALIDATION.loader())
    assert first.reconstruction.item() == pytest.approx(closed_form(start, watch.trained, 0.9), rel=1e-5)


def test_weights_only_checkpoints_are_refused(tmp_path):
    keep = ModelCheckpoint(tmp_path, save_weights_only=True)
    with pytest.raises(ValueError, match="`save_weights_only` must be false"):
        fit(tmp_path, EMA(), callbacks=[keep], enable_checkpointing=True)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"`decay` must lie in \[0, 1\)"):
        EMA(decay)
