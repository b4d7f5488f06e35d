"""Folds: of few photographs each is judged, in validation, by a copy of the detector that has not seen it."""

import pytest
import torch
from analytic import TinyFeatures
from detector_cases import QUIET
from pytorch_lightning.utilities.seed import isolate_rng
from trees import write

from anomaly_diffusion.baselines.gaussian_by_position import GaussianByPosition
from anomaly_diffusion.baselines.patchcore import PatchCore
from anomaly_diffusion.callbacks.verdicts import Verdicts
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.detectors.folds import add_copies
from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.engine.trainer import RunTrainer
from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual
from anomaly_diffusion.scoring.residual import L1Residual
from anomaly_diffusion.scoring.scorer import Scoring

COUNT = 8


class LearningDetector(PixelDetector):
    """With an optimiser of its own, which is otherwise the command line's business."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def _pixel() -> Detector:
    return LearningDetector(
        UNet(width=8, multipliers=(1, 2)),
        CosineSchedule(),
        VelocityPrediction(),
        GaussianNoise(),
        Objective(),
        OneShot((0.5,), draws=1),
        Scoring([L1Residual(), MahalanobisResidual()]),
    )


def _gaussian() -> Detector:
    return GaussianByPosition(TinyFeatures(), Scoring([MahalanobisResidual()]), components=3)


def _patchcore() -> Detector:
    return PatchCore(TinyFeatures(), components=3, neighbours=2)


DETECTORS = {"pixel": _pixel, "gaussian": _gaussian, "patchcore": _patchcore}


def _photographs(root, changed: str = "") -> MVTecAD:
    for number in range(COUNT):
        write(root / f"train/good/{number:02}.png", number)
    if changed:
        write(root / changed, 99)
    write(root / "test/good/0.png", 50)
    write(root / "test/scratch/0.png", 51)
    return MVTecAD(root)


def _trained(root, make=_pixel, changed: str = "") -> tuple[Detector, RunTrainer]:
    """A detector after a few steps on eight photographs, and its trainer, which knows its data."""
    data = AnomalyDataModule(_photographs(root, changed), (16, 16), batch_size=3)
    with isolate_rng():
        torch.manual_seed(3)
        detector = make().train()
        options = {"max_steps": 6, "val_check_interval": 3, "check_val_every_n_epoch": None, "max_epochs": -1}
        trainer = RunTrainer(default_root_dir=root / "run", callbacks=[Verdicts()], **QUIET, **options)
        trainer.fit(detector, datamodule=data)
    return detector.eval(), trainer


def _state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """All that one detector learns; calibration and limits are those of all copies."""
    others = ("calibration.", "folds.", "normal_scores.", "image_threshold", "pixel_threshold")
    return {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(others)}


def _equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    pairs = zip(ours.values(), theirs.values(), strict=True)
    return all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in pairs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Detector, RunTrainer]:
    return _trained(tmp_path_factory.mktemp("few"))


@pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS.keys())
def test_a_copy_does_not_know_its_fold_by_a_bit(tmp_path, make):
    before, trainer = _trained(tmp_path / "before", make)
    name = trainer.datamodule.folds[0][0]
    assert name in before.withheld
    after, _ = _trained(tmp_path / "after", make, changed=name)
    pairs = zip((before, *before.folds), (after, *after.folds), strict=True)
    assert [_equal(_state(a), _state(b)) for a, b in pairs] == [True, False]


def test_in_validation_each_photograph_is_judged_by_the_copy_that_has_not_seen_it(trained):
    detector, trainer = trained
    for batch in trainer.datamodule.val_dataloader():
        together = detector.validation_step(batch, 0)
        for copy in (detector, *detector.folds):
            rows = torch.tensor([n for n, path in enumerate(batch.path) if path in copy.withheld], dtype=torch.int64)
            if len(rows):
                alone = copy.validation_step(batch.rows(rows), 0)
                assert torch.equal(together.anomaly_map[rows], alone.anomaly_map)
                assert torch.equal(together.reconstruction[rows], alone.reconstruction)
    assert len(detector.normal_scores.held_out[0]) == COUNT


def test_new_photographs_are_judged_by_the_mean_of_all_copies(trained):
    detector, trainer = trained
    trainer.datamodule.setup("test")
    batch = next(iter(trainer.datamodule.test_dataloader()))
    found, parts = detector(batch), [one.micro_batches(one._judged, batch) for one in (detector, *detector.folds)]
    torch.testing.assert_close(found.anomaly_map, (parts[0].anomaly_map + parts[1].anomaly_map) / 2)
    torch.testing.assert_close(found.score, (parts[0].score + parts[1].score) / 2)
    assert found.nfe == parts[0].nfe + parts[1].nfe


def test_painted_photographs_are_judged_by_the_copy_that_has_not_seen_them(trained):
    detector, trainer = trained
    batch = next(iter(trainer.datamodule.val_dataloader()))
    found = detector.unseen(batch)
    for copy in (detector, *detector.folds):
        rows = torch.tensor([path in copy.withheld for path in batch.path])
        assert torch.equal(found.anomaly_map[rows], copy.micro_batches(copy._judged, batch.rows(rows)).anomaly_map)


def test_a_checkpoint_brings_the_copies_along(trained, tmp_path):
    detector, trainer = trained
    trainer.save_checkpoint(tmp_path / "all.ckpt")
    stored, fresh = torch.load(tmp_path / "all.ckpt", weights_only=True), _pixel().eval()
    fresh.on_load_checkpoint(stored)
    fresh.load_state_dict(stored["state_dict"])
    trainer.datamodule.setup("test")
    batch = next(iter(trainer.datamodule.test_dataloader()))
    assert torch.equal(fresh(batch).anomaly_map, detector(batch).anomaly_map)
    assert [one.withheld for one in (fresh, *fresh.folds)] == [one.withheld for one in (detector, *detector.folds)]


def test_frozen_networks_and_the_calibration_are_not_copied(trained):
    detector, _ = trained
    assert all(copy.calibration is detector.calibration for copy in detector.folds)
    assert all(copy.denoiser is not detector.denoiser for copy in detector.folds)
    fresh = _patchcore()
    add_copies(fresh, [["a"], ["b"], ["c"]])
    assert all(copy.codec.extractor is fresh.codec.extractor for copy in fresh.folds)
    assert all(copy.memory is not fresh.memory for copy in fresh.folds)


def test_a_frozen_network_with_running_statistics_stays_as_it_is_in_every_copy():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    fresh = PatchCore(Stages(network), components=3, neighbours=2)
    add_copies(fresh, [["a"], ["b"]])
    fresh.train()
    image, before = torch.rand(2, 3, 16, 16), network[1].running_mean.clone()
    assert torch.equal(fresh.folds[0].codec.extractor(image), fresh.codec.extractor(image))
    assert torch.equal(network[1].running_mean, before)


class Stages(FeatureExtractor):
    """One stage, of a network of torch that is copied in its mode of training: as fx does with torchvision's."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__(network, stride=8, neighbourhood=1)

    def stages(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [self.network(image)]

    def __deepcopy__(self, memo):
        copied = Stages(self.network)
        copied.network.train()
        return copied
