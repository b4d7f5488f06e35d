"""Base class of all detectors: learn from normal images, calibrate on held-out normals, predict. Wiring only."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomaly_diffusion.codecs.codec import Codec
from anomaly_diffusion.detectors import old_checkpoints
from anomaly_diffusion.detectors.folds import Withheld, add_copies, is_frozen, let_forget, loss_of, mean_of, routed
from anomaly_diffusion.detectors.foreign_checkpoint import ForeignCheckpoint, differences
from anomaly_diffusion.detectors.micro_batching import MicroBatcher
from anomaly_diffusion.detectors.normal_batches import first, normals, training_batches, validation_batches
from anomaly_diffusion.detectors.recollection import Recollection
from anomaly_diffusion.detectors.registered import learn_mean, moved_back, moved_there
from anomaly_diffusion.detectors.scales import at_scales, check_scales
from anomaly_diffusion.detectors.tiled import Watch, over_tiles, seen_once, tiles_of
from anomaly_diffusion.diffusion.recorder import Evaluation
from anomaly_diffusion.scoring.calibration import Calibration, Moments
from anomaly_diffusion.scoring.categories import Categories
from anomaly_diffusion.scoring.normal_scores import NormalScores
from anomaly_diffusion.scoring.residual import ActivationReader, Answers, Learner, Question, reading_once
from anomaly_diffusion.scoring.scorer import Scoring, enlarged
from anomaly_diffusion.settings import Configured, canonical, fingerprint
from anomaly_diffusion.types import (
    Decoded,
    Encoded,
    ImageBatch,
    Images,
    Maps,
    Masks,
    PerImage,
    Prediction,
    Reconstructed,
    Scores,
)

__all__ = ["Detector"]

CODEC_LEARNS_FROM, LEARNT_FROM = 256, 512  # photographs: more of them only take more time
_OF_CATEGORIES = ("categories.", "apart.")
_OF_JUDGEMENT = (
    *("calibration.", "scoring.", "coarser.", "normal_scores.", *_OF_CATEGORIES),
    *("image_threshold", "pixel_threshold"),
)


@dataclass(frozen=True)
class _Compared(PerImage):
    """Images beside their reconstructions: the maps, and what was left."""

    maps: Float[Tensor, "B M H W"]
    left: Float[Tensor, " B"]


class Detector(Configured, pl.LightningModule, ABC):
    """Image -> model space -> reconstructions -> residuals -> calibrated map and score.

    A detector computes no metric and draws no picture; callbacks read the `Prediction` that its steps return.

    Calibration and thresholds belong to its `settings`, but those arguments that are `ignored`: they decide how weights
    are learnt, and a checkpoint brings the weights.

    Args:
        codec: the space in which reconstructions are sought.
        scoring: how image and reconstruction are compared.
        versions: number of reconstructions of each image.
        provides_maps: whether reconstructions come with maps that take the place of residuals.
        scales: factors by which images are made smaller to be reconstructed and compared once more, from 1 down.

    Attributes:
        coarser: a scoring like `scoring` for each scale but the first: what is learnt differs.
        categories: where the data have several, what is known of normal images of each but the first: `calibration` and
            `normal_scores` are those of the first.
        apart: likewise the scorings of each category but the first, where residuals learn.
        cross_fits: whether few images are split by folds; not where `training_step` is one's own: it knows no copies.
        withheld: paths of the images of a fold, which the detector does not learn from but judges in validation, where
            few images all train and all are held out.
        folds: copies of the detector for the other folds; verdicts on new images are the mean of all.
        left: mean square of what reconstructions leave of the photographs learnt from, and of those held out, in this
            process; None where nobody looked. Far apart, photographs were too few or steps too many.
        recollection: keeps the verdicts of a test as long as it lasts; None: nobody does.
        watch: goes through the tiles of a photograph that has some, and may show how far it is.
    """

    cross_fits: ClassVar[bool] = True
    image_threshold: Tensor
    pixel_threshold: Tensor

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "training_step" in vars(cls):
            cls.cross_fits = False

    def __init__(
        self,
        codec: Codec,
        scoring: Scoring,
        versions: int,
        provides_maps: bool = False,
        scales: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__()
        check_scales(scales)
        self.codec, self.scoring, self.scales = codec, scoring, tuple(scales)
        self.coarser = nn.ModuleList(deepcopy(scoring) for _ in scales[1:])
        for one in self.scorings:
            one.attach(self.activation_reader)
        self.weights = torch.ones(1) if provides_maps else scoring.weights  # of the maps of one depth
        self.calibration = scoring.calibration(len(scales) * versions * len(self.weights))
        self.normal_scores = NormalScores()
        self.categories, self.apart = Categories(), nn.ModuleList()
        self.micro_batches = MicroBatcher()
        self.watch: Watch | None = None
        self.recollection: Recollection | None = None
        self._calibrated_on: dict[int, Moments] = {}  # in this process, by category
        self.left: tuple[float | None, float | None] = (None, None)
        self.folds, self.withheld = nn.ModuleList(), frozenset[str]()
        self.frame: tuple[float, ...] | None = None  # size or tiling that the calibration belongs to, if it is known
        self.register_buffer("image_threshold", torch.tensor(torch.nan))
        self.register_buffer("pixel_threshold", torch.tensor(torch.nan))

    @abstractmethod
    def restore(self, batch: ImageBatch, x_0: Encoded) -> Reconstructed:
        """Reconstructions of a batch, both in model space."""

    @property
    def scoring_fingerprint(self) -> str:
        """Digest of the settings that decide what a residual is like: calibration and thresholds hold for no others."""
        return fingerprint(canonical(self.settings))

    @property
    def method(self) -> str:
        """How reconstructions are found, in a word for people."""
        return type(self).__name__

    @property
    def scorings(self) -> list[Scoring]:
        """How image and reconstruction are compared at each scale."""
        return [self.scoring, *self.coarser]

    @property
    def activation_reader(self) -> ActivationReader | None:
        """How residuals read the activations of a denoiser; None where there is none."""
        return None

    def reader_of(self, batch: ImageBatch) -> ActivationReader | None:
        """The same, of images that lie somewhere in their frame."""
        return self.activation_reader

    @property
    def depths(self) -> tuple[float, ...]:
        """Depths at which reconstructions are made; none where depth means nothing."""
        return ()

    def know(self, categories: Sequence[str]) -> None:
        """Tell which categories there are; what is known of some of them by now is kept.

        Args:
            categories: their names, by the numbers that a network with classes is told.
        """
        self.categories.name(categories, self.calibration)
        for one in self.ensemble if self.scoring.learners else ():
            shared = {id(kept): kept for kept in (one, *filter(is_frozen, one.modules()))}
            del one.apart[max(0, len(categories) - 1) :]
            missing = range(len(one.apart), len(categories) - 1)
            one.apart.extend(nn.ModuleList(deepcopy(one.scorings, dict(shared))) for _ in missing)

    def scorings_of(self, category: int) -> list[Scoring]:
        """How images of a category are compared with their reconstructions, at each scale.

        Args:
            category: its number.
        """
        apart = len(self.apart) and category
        return [*self.apart[category - 1]] if apart else self.scorings  # type: ignore[misc]

    def setup(self, stage: str) -> None:
        """Get to know the categories of the data, and make copies for its folds, where there are any."""
        data = getattr(self.trainer, "datamodule", None)
        if stage in ("fit", "validate") and not self.categories.names:
            self.know(_categories_of(data))
        if stage in ("fit", "validate") and self.cross_fits and not self.folds:
            add_copies(self, getattr(data, "folds", ()))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write down what the calibration and the thresholds belong to."""
        checkpoint["scoring_settings"], checkpoint["model"] = canonical(self.settings), type(self).__name__
        checkpoint["frame"] = None if self.frame is None else list(self.frame)
        checkpoint["categories"] = list(self.categories.names)
        checkpoint["folds"] = [sorted(one.withheld) for one in self.ensemble] if self.folds else []

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the weights, but leave the calibration and thresholds of other settings; make copies for folds."""
        if checkpoint.get("categories"):
            self.know(checkpoint["categories"])
        else:  # of before there were any
            mine = self.state_dict()
            checkpoint["state_dict"] |= {name: mine[name] for name in mine if name.startswith(_OF_CATEGORIES)}
        if not self.folds:
            add_copies(self, checkpoint.get("folds") or ())
        if not self.is_compatible(checkpoint):
            mine = self.state_dict()
            checkpoint["state_dict"] |= {name: mine[name] for name in mine if name.startswith(_OF_JUDGEMENT)}
            for name in set(checkpoint["state_dict"]) - set(mine):
                if name.startswith(_OF_JUDGEMENT):
                    del checkpoint["state_dict"][name]
        let_forget(self, checkpoint)
        frame = checkpoint.get("frame")
        self.frame = tuple(frame) if isinstance(frame, list) else None

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take the weights.

        Raises:
            ForeignCheckpoint: they are those of another model.
        """
        state_dict = old_checkpoints.renamed(state_dict)
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError:
            raise ForeignCheckpoint(differences(state_dict, self)) from None

    def is_compatible(self, checkpoint: Mapping[str, Any]) -> bool:
        """Whether calibration and thresholds of `checkpoint` are those of this detector's settings."""
        told = checkpoint.get("scoring_settings")
        if isinstance(told, str):
            return fingerprint(told) == self.scoring_fingerprint
        return old_checkpoints.is_compatible(checkpoint, self)

    @staticmethod
    def calibrated_in(checkpoint: Mapping[str, Any]) -> bool:
        """Whether `checkpoint` holds a calibration at all, for whatever way of judging."""
        counts = _of_each_category(checkpoint, "calibration.count")
        return bool(counts) and all(bool(count > 1) for count in counts)

    @staticmethod
    def knows_normals(checkpoint: Mapping[str, Any]) -> bool:
        """Whether `checkpoint` holds scores of normal images, which verdicts need."""
        scores = _of_each_category(checkpoint, "normal_scores.held_out")
        return bool(scores) and all(held_out.shape[1] > 0 for held_out in scores)

    def on_fit_start(self) -> None:
        """Let the codec see normal images, unless it knows them from a checkpoint.

        Raises:
            TypeError: a part does not know its settings; better now than with the first checkpoint.
        """
        canonical(self.settings)
        if not self.codec.fitted:
            batches = first(CODEC_LEARNS_FROM, self.training_batches())
            parts = chain.from_iterable(map(seen_once, batches))
            seen = [self.codec.moments(part.image, part.valid) for part in parts]
            self.codec.fit(torch.stack(seen).sum(0))
        for copy in self.ensemble[1:]:
            copy.on_fit_start()

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """Loss of a batch; those of copies are added, as they have no weights in common."""
        losses = [loss_of(one, batch, batch_idx) for one in self.ensemble]
        self.log(
            "train/loss", losses[0] if len(losses) == 1 else torch.stack(losses).mean(), batch_size=len(batch.image)
        )
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def training_loss(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """Mean loss of a batch.

        Raises:
            NotImplementedError: the detector neither has this method nor a `training_step` of its own.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method `training_loss`.")

    def on_validation_epoch_start(self) -> None:
        """Learn from training images and calibrate on normal validation images, with the weights to be validated.

        Raises:
            ValueError: the codec knows no normal images, because nothing was trained or loaded.
        """
        if not self.codec.fitted:
            raise ValueError("The detector has seen no normal image. Train it first, or name a checkpoint of a run.")
        with self.trainer.precision_plugin.val_step_context():
            for one in self.ensemble if len(self.apart) or self.sees_all_categories() else ():
                learn_mean(one.scoring.registration, one.training_batches, LEARNT_FROM, one.categories.names)
                one.learn_normals()
            self.calibrate(validation_batches(self))

    def sees_all_categories(self) -> bool:
        """Whether the data have all categories that are known: what all have taught, some alone must not change."""
        shown = _categories_of(getattr(self._trainer, "datamodule", None))
        return not len(self.categories) or not shown or set(self.categories.names) <= set(shown)

    def _shown(self) -> list[int]:
        """Numbers of the categories that the data have."""
        shown = _categories_of(getattr(self._trainer, "datamodule", None))
        return [number for number, name in enumerate(self.categories.names) if not shown or name in shown]

    @property
    def calibrations(self) -> list[Calibration]:
        """The calibration of each category; the only one where no more than one is known."""
        return [self.calibration, *(one.calibration for one in self.categories)]

    @property
    def normals_of_categories(self) -> list[NormalScores]:
        """The normal scores of each category; the only ones where no more than one is known."""
        return [self.normal_scores, *(one.normal_scores for one in self.categories)]

    def learn_normals(self) -> None:
        """Learn from training images what judging needs beside trained weights."""
        if self.scoring.learners:
            self.learn(self.training_batches())

    @torch.no_grad()
    def validation_step(self, batch: ImageBatch, batch_idx: int) -> Prediction:  # type: ignore[override]
        """The verdict on a batch; on each normal image by a calibration that it is no part of."""
        return self._routed(batch, apart=True)

    def test_step(self, batch: ImageBatch, batch_idx: int) -> Prediction:  # type: ignore[override]
        """The verdict on a batch."""
        return self.forward(batch) if self.recollection is None else self.recollection(self.forward, batch)

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> Prediction:
        """The verdict on a batch."""
        return self.forward(batch)

    @torch.no_grad()
    def forward(self, batch: ImageBatch) -> Prediction:
        """The verdict on a batch; that on each image depends on nothing but the image.

        Raises:
            ValueError: the detector has not been calibrated.
        """
        calibrations = self.calibrations
        if not all(calibrations[number].fitted for number in set(self.categories.numbers(batch))):
            raise ValueError(
                "The detector is not calibrated. Validate it once, or load a checkpoint of a finished run."
            )
        return self.micro_batches(lambda part: mean_of([one._judged(part) for one in self.ensemble]), batch)

    @torch.no_grad()
    def unseen(self, batch: ImageBatch) -> Prediction:
        """The verdict on a batch of held-out images, painted by now: on each by the copy that did not learn from it."""
        return self._routed(batch, apart=False)

    def _routed(self, batch: ImageBatch, apart: bool) -> Prediction:
        parts = list(routed(self, batch))
        judged = [one.micro_batches(partial(one._judged, apart=apart), batch.rows(rows)) for one, rows in parts]
        if len(judged) == 1:
            return judged[0]
        return Prediction.cat(judged).rows(torch.cat([rows for _, rows in parts]).argsort())

    def _judged(self, batch: ImageBatch, apart: bool = False) -> Prediction:
        batch, motions = moved_there(self.scoring.registration, batch)
        decoded = self.decoded(batch)
        depth_maps, anomaly_map = (self._maps_apart if apart else self._maps_together)(
            self.residual_maps(batch, decoded), batch
        )
        score = self.score(batch, decoded, anomaly_map)
        nfe = decoded.nfe + self._evaluations(batch, decoded)
        found = Prediction(*self.pictures(batch, decoded), depth_maps, anomaly_map, score, nfe)
        return moved_back(found, motions)

    def _evaluations(self, batch: ImageBatch, decoded: Decoded) -> int:
        """Network evaluations that residuals ask for; tiles are reconstructed anew where they look at those."""
        tiles = sum(tiles_of(view) for view in at_scales(batch, self.scales))
        again = batch.tiles is not None and any(question.of_reconstruction for question in self.scoring.questions)
        return tiles * self.scoring.evaluations(decoded.reconstruction.shape[1]) + again * decoded.nfe

    def _maps(self, residuals: Tensor, calibration: Calibration) -> tuple[Tensor, Tensor]:
        """Maps of each depth, and of all fused."""
        return self.scoring.judge(residuals, calibration, self.weights, len(self.scales))

    def _maps_together(self, residuals: Tensor, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """The same, of each image by the calibration of its category."""
        if not len(self.categories):
            return self._maps(residuals, self.calibration)
        known, numbers = self.calibrations, self.categories.numbers(batch)
        return _cat([self._maps(one, known[at]) for one, at in zip(residuals.split(1), numbers, strict=True)])

    def _maps_apart(self, residuals: Tensor, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """The same, of each normal image by the calibration of all others: what sets limits is in no statistic."""
        known, numbers = self.calibrations, self.categories.numbers(batch)
        images = zip(residuals.split(1), batch.valid.split(1), batch.label.tolist(), numbers, strict=True)
        return _cat(
            [
                self._maps(one, known[at] if defective else self._calibration_without(one, valid, at))
                for one, valid, defective, at in images
            ]
        )

    def _calibration_without(self, residuals: Tensor, valid: Masks, category: int) -> Calibration:
        """The calibration without an image that it was fitted to; as it is where there was no other image."""
        calibration, fitted_to = self.calibrations[category], self._calibrated_on.get(category)
        if fitted_to is None:
            return calibration
        others = fitted_to.minus(calibration.moments(residuals, valid))
        return calibration.fitted_to(others) if others.products[0, 0] > 1 else calibration

    def decoded(self, batch: ImageBatch, x_0: Encoded | None = None) -> Decoded:
        """A batch and its reconstructions, where the codec compares them, at each scale.

        Args:
            batch: the images.
            x_0: the same in model space, where they have been encoded before.
        """
        finest, *coarser = at_scales(batch, self.scales)
        found, others = self._decoded(finest, x_0), tuple(self._decoded(view) for view in coarser)
        return replace(found, nfe=found.nfe + sum(other.nfe for other in others), coarser=others)

    def _decoded(self, batch: ImageBatch, x_0: Encoded | None = None) -> Decoded:
        """A batch at one scale."""
        if batch.tiles is not None:
            whole = over_tiles(self._of_tile, batch, self.micro_batches, self.watch)
            return whole if whole.reference.shape[1] else replace(whole, reference=batch.image)
        x_0 = self.codec.encode(batch.image) if x_0 is None else x_0
        found = self.restore(batch, x_0)
        reconstruction = self.codec.decode(found.x_0.flatten(0, 1)).unflatten(0, found.x_0.shape[:2])
        return Decoded(self.codec.reference(batch.image, x_0), reconstruction, found.nfe, found.anomaly_maps)

    def _of_tile(self, tile: ImageBatch) -> Decoded:
        """A tile; without a reference that is the image itself, for there is the photograph."""
        found = self._decoded(tile)
        return replace(found, reference=found.reference[:, :0]) if found.reference is tile.image else found

    def encode_training(self, batch: ImageBatch, step: int | None = None) -> Encoded:
        """Training photographs in model space.

        Args:
            batch: as `training_batches` gives them, or as they come at a step.
            step: the training step; None before and after.
        """
        return self._encoded(batch)

    def _encoded(self, batch: ImageBatch) -> Encoded:
        """Images in model space, those with tiles by tiles."""
        if batch.tiles is not None:
            return over_tiles(self._encoded, batch, self.micro_batches, self.watch)
        return self.codec.encode(batch.image)

    def residual_maps(
        self, batch: ImageBatch, decoded: Decoded, category: int | None = None, answers: Answers | None = None
    ) -> Float[Tensor, "B M H W"]:
        """Smoothed maps, S * D * K of them: residuals, or what the strategy itself has found.

        Scales S vary slowest, then depths D.

        Args:
            batch: the images.
            decoded: the same and their reconstructions.
            category: the number of the one that all of them show, where somebody knows.
            answers: those of `answers_of` the tiles, put together, where somebody has asked; there is one scale then.
        """
        if category is None and len(self.apart):
            # maps of the whole batch: of fewer images at once they would be rounded otherwise
            found = {number: self.residual_maps(batch, decoded, number) for number, _ in self.categories.rows(batch)}
            return torch.stack([found[number][row] for row, number in enumerate(self.categories.numbers(batch))])
        size = batch.image.shape[-2:]
        views = at_scales(batch, self.scales)
        seen = zip(views, self.scorings_of(category or 0), (decoded, *decoded.coarser), strict=True)
        maps = [enlarged(self._maps_of(view, scoring, one, answers), size) for view, scoring, one in seen]
        return maps[0] if len(maps) == 1 else torch.cat(maps, 1)

    def _maps_of(
        self, batch: ImageBatch, scoring: Scoring, decoded: Decoded, answers: Answers | None = None
    ) -> Float[Tensor, "B M H W"]:
        """Smoothed maps of one scale."""
        size = batch.image.shape[-2:]
        if decoded.anomaly_maps is None:
            answers = answers or self._answers(batch, scoring.questions)
            return scoring.compare(decoded.reference, decoded.reconstruction, size, answers)
        smoothed: Tensor = scoring.smoothing(enlarged(decoded.anomaly_maps, size))
        return smoothed

    def _answers(self, batch: ImageBatch, questions: Sequence[Question]) -> Answers | None:
        """What networks say about photographs that they see by tiles; None where they are asked about the whole."""
        if batch.tiles is None or not questions:
            return None
        looked_at = self._decoded if any(one.of_reconstruction for one in questions) else self._reference

        def of_tiles(part: ImageBatch) -> Answers:
            with torch.autocast(part.image.device.type, enabled=False):
                return self.answers_of(part, looked_at(part), questions)

        return over_tiles(of_tiles, batch, self.micro_batches, self.watch)

    def answers_of(self, batch: ImageBatch, decoded: Decoded, questions: Sequence[Question]) -> Answers:
        """What networks say about images that lie somewhere in a photograph, in the precision of residuals."""
        with torch.autocast(batch.image.device.type, enabled=False):
            return Answers.to(questions, decoded.reference, decoded.reconstruction, self.reader_of(batch))

    def pictures(self, batch: ImageBatch, decoded: Decoded) -> tuple[Images, Float[Tensor, "B D C H W"]]:
        """Reference and reconstructions in pixels, for people."""
        size, depths = batch.image.shape[-2:], decoded.reconstruction.shape[:2]
        shown = self.codec.picture(decoded.reconstruction.flatten(0, 1), size).unflatten(0, depths)
        return self.codec.picture(decoded.reference, size), shown

    def score(self, batch: ImageBatch, decoded: Decoded, anomaly_map: Maps) -> Scores:
        """One number per image: that of its map, unless a detector knows better."""
        return self.pool(anomaly_map, batch.valid)

    def pool(self, anomaly_map: Maps, valid: Masks) -> Scores:
        """One number per image."""
        return self.scoring.pooling(anomaly_map, valid)

    def trace(self, batch: ImageBatch) -> list[Evaluation]:
        """All that a network was asked about a batch and answered, in pixels; nothing where none is asked."""
        return []

    @torch.no_grad()
    def learn(self, batches: Iterable[ImageBatch]) -> None:
        """Let residuals that learn see the first of `batches` of normal images, once for each lesson, by category.

        Raises:
            ValueError: there is no batch.
        """
        left = []
        for number in self._shown() if len(self.apart) else [0]:
            own = self.categories.only(batches, number)
            for lesson in zip(*(scoring.lessons for scoring in self.scorings_of(number)), strict=True):
                self._learn(lesson, own)
            left += [] if self.left[0] is None else [self.left[0]]
        self.left = (sum(left) / len(left), self.left[1]) if left else self.left

    def _learn(self, learners: Sequence[Sequence[Learner]], batches: Iterable[ImageBatch]) -> None:
        """Let the learners of each scale see normal images once."""
        reads = any(learner.reads_reconstruction for learner in chain(*learners))
        sums: list[Any] = []
        left: list[Tensor] = []
        for photographs in first(LEARNT_FROM, batches):
            batch, _ = moved_there(self.scoring.registration, photographs)
            seen = self.micro_batches(self._normal if reads else self._unrestored, batch)
            views = zip(learners, at_scales(batch, self.scales), (seen, *seen.coarser), strict=True)
            with reading_once():
                new = [more for those, view, at in views for more in self._moments(those, view, at)]
            sums = [total + more for total, more in zip(sums, new, strict=True)] if sums else new
            left += [seen.left] if reads else []
        if not sums:
            raise ValueError("No normal training image to learn differences from.")
        for learner, total in zip(chain(*learners), sums, strict=True):
            learner.fit(total)
        self.left = (float(torch.cat(left).mean()), self.left[1]) if left else self.left

    def _moments(self, learners: Sequence[Learner], batch: ImageBatch, seen: Decoded) -> list[Any]:
        """What each learner wants to know of normal images at one scale."""
        questions = [question for learner in learners for question in learner.questions]
        answers = self._answers(batch, questions)
        if answers is not None:
            answers.tell(questions, seen.reference, seen.reconstruction)
        keys = batch.key.tolist()
        return [learner.moments(seen.reference, seen.reconstruction, batch.valid, keys) for learner in learners]

    def _normal(self, batch: ImageBatch) -> Decoded:
        return self.decoded(batch, self._known(batch))

    def _unrestored(self, batch: ImageBatch) -> Decoded:
        """Normal images without their reconstructions, for whoever learns from the images alone."""
        finest, *coarser = at_scales(batch, self.scales)
        x_0 = self._known(finest)
        found, *others = self._reference(finest, x_0), *(self._reference(view) for view in coarser)
        return replace(found, coarser=tuple(others))

    def _known(self, batch: ImageBatch) -> Encoded | None:
        """Training photographs in model space, where they may have been encoded before: as they came, and whole."""
        return None if batch.tiles or self.scoring.registration else self.encode_training(batch)

    def _reference(self, batch: ImageBatch, x_0: Encoded | None = None) -> Decoded:
        """Images at one scale without their reconstructions."""
        if batch.tiles is not None:
            return over_tiles(self._reference, batch, self.micro_batches, self.watch)
        reference = self.codec.reference(batch.image, self.codec.encode(batch.image) if x_0 is None else x_0)
        return Decoded(reference, reference[:, None][:, :0], nfe=0)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[ImageBatch]) -> None:
        """Fit the calibration of each category to its normal images among `batches`; without any it stays as it is.

        Raises:
            ValueError: there is no normal image.
        """
        totals: dict[int, Moments] = {}
        calibrations = self.calibrations
        left: list[Tensor] = []
        for batch in batches:
            normal = normals(self, batch)
            self.frame = tuple(batch.tiles or batch.image.shape[-2:])
            for one, rows in routed(self, normal):
                part, _ = moved_there(one.scoring.registration, normal.rows(rows))
                compared = one.micro_batches(one._compared, part)
                for number, inside in self.categories.rows(part):
                    found = calibrations[number].moments(compared.maps[inside], part.valid[inside])
                    totals[number] = totals[number].plus(found) if number in totals else found
                left.append(compared.left)
        if not totals or any(total.products[0, 0] < 2 for total in totals.values()):
            raise ValueError("No normal image to calibrate on. Hold out some defect-free images for validation.")
        for one in self.ensemble:
            one._calibrated_on = totals
        for number, total in totals.items():
            calibrations[number].fit(total)
        known = [one.left[0] for one in self.ensemble if one.left[0] is not None]
        self.left = sum(known) / len(known) if known else None, float(torch.cat(left).mean())

    def _compared(self, batch: ImageBatch) -> _Compared:
        decoded = self.decoded(batch)
        return _Compared(self.residual_maps(batch, decoded), decoded.left)

    def training_batches(self, epoch: int = 0, whole: bool = True) -> Iterable[ImageBatch]:
        """Batches of all normal images of one epoch, on the device, also where only a validation runs.

        Args:
            epoch: which of the orders and augmentations.
            whole: whether frames are like those of evaluation even where training sees crops.
        """
        batches = training_batches(self, epoch, whole)
        return Withheld(batches, self.withheld) if self.withheld else batches

    @property
    def ensemble(self) -> list["Detector"]:
        """This detector and its copies."""
        return [self, *self.folds]


def _cat(judged: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Maps of single images as those of a batch."""
    depth_maps, fused = zip(*judged, strict=True)
    return torch.cat(depth_maps), torch.cat(fused)


def _categories_of(data: Any) -> tuple[str, ...]:
    """Names of the categories of a data module; none where it names none."""
    return tuple(getattr(getattr(data, "dataset", None), "category_names", ()))


def _of_each_category(checkpoint: Mapping[str, Any], name: str) -> list[Tensor]:
    """A tensor of the first category and of all others, as far as a checkpoint has them."""
    stored = checkpoint["state_dict"].items()
    return [tensor for key, tensor in stored if key == name or (key.startswith(_OF_CATEGORIES) and key.endswith(name))]
