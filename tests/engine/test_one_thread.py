"""Images are judged with one thread for each operation; training has all of them, and nothing is left changed."""

import pytest
import torch
from pytorch_lightning import Callback
from toy_detector import ToyDetector, ToyImages, trainer

from anomaly_diffusion.detectors.micro_batching import MicroBatcher
from anomaly_diffusion.engine.one_thread import OneThread


class Ledger(Callback):
    """Notes how many threads there are in each kind of step, and how many parts may run side by side."""

    def __init__(self, fails: bool = False) -> None:
        self.seen: dict[str, set[tuple[int, int | None]]] = {}
        self.fails = fails

    def note(self, kind, module) -> None:
        self.seen.setdefault(kind, set()).add((torch.get_num_threads(), module.micro_batches.threads))

    def on_train_batch_start(self, trainer, module, *_) -> None:
        self.note("train", module)

    def on_validation_batch_start(self, trainer, module, *_) -> None:
        self.note("validate", module)
        if self.fails:
            raise RuntimeError("an accident")

    def on_validation_end(self, trainer, module) -> None:
        self.note("end of validation", module)

    def on_test_batch_start(self, trainer, module, *_) -> None:
        self.note("test", module)

    def on_test_end(self, trainer, module) -> None:
        self.note("end of test", module)


ALL, ONE = {(3, None)}, {(1, 3)}
TRAIN, OTHERS = ToyImages(10, normal_only=True), ToyImages(10, seed=1)


@pytest.fixture
def detector():
    """With the means to judge parts side by side."""
    detector = ToyDetector()
    detector.micro_batches = MicroBatcher()
    return detector


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


@pytest.mark.parametrize("sanity", [0, 1])
def test_training_has_all_threads_and_validation_within_it_one(tmp_path, detector, sanity) -> None:
    ledger = Ledger()
    run = trainer(tmp_path, ledger, OneThread(), num_sanity_val_steps=sanity)
    run.fit(detector, TRAIN.loader(), OTHERS.loader())
    assert ledger.seen == {"train": ALL, "validate": ONE, "end of validation": ONE}


def test_tests_have_one(tmp_path, detector) -> None:
    ledger = Ledger()
    run = trainer(tmp_path, ledger, OneThread())
    run.validate(detector, OTHERS.loader(), verbose=False)
    run.test(detector, OTHERS.loader(), verbose=False)
    assert ledger.seen == dict.fromkeys(("validate", "end of validation", "test", "end of test"), ONE)


def test_an_accident_leaves_nothing_changed(tmp_path, detector) -> None:
    with pytest.raises(RuntimeError, match="an accident"):
        trainer(tmp_path, Ledger(fails=True), OneThread()).validate(detector, OTHERS.loader())
    assert detector.micro_batches.threads is None
