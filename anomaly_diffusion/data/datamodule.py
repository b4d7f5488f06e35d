"""The LightningDataModule of every experiment: train, validation, test and predict loaders."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import cast

import torch
import torch.distributed
from pytorch_lightning import LightningDataModule
from pytorch_lightning.overrides.distributed import UnrepeatedDistributedSampler
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DistributedSampler

from anomaly_diffusion.data.batches import BatchLoader, BatchSource, EpochSampler, as_they_are, leave_interrupts
from anomaly_diffusion.data.feedback import Feedback
from anomaly_diffusion.data.frame_cache import FrameStore, Loading, Photograph, Reader, painting_seed
from anomaly_diffusion.data.framing import Policy, to_original
from anomaly_diffusion.data.reading.notes import tell
from anomaly_diffusion.data.reading.photographs import BadImages, Mask, Pixels
from anomaly_diffusion.data.regions import Regions
from anomaly_diffusion.data.sample import AnomalyDataset, Sample
from anomaly_diffusion.data.split import FILE, Split, Validation
from anomaly_diffusion.data.tiles import Tiles
from anomaly_diffusion.data.transforms import Augmentation
from anomaly_diffusion.types import ImageBatch, Images

__all__ = ["AnomalyDataModule"]

_SMALLEST = 4  # pixels; filters that look at neighbours have none below
_log = logging.getLogger(__name__)
_JUDGED = ("test", "predict")
_USES = {"fit": ("validation", "train"), "validate": ("validation",), "test": ("test",), "predict": ("predict",)}


class AnomalyDataModule(LightningDataModule):
    """Trains on good photographs, validates on others with painted defects, and opens test photographs in `test` only.

    Where a test is to follow the training, `expects_test`, test photographs are opened before it as well: to see that
    they decode, for nothing else.

    The split is written to split.json in the trainer's root folder and read from there when a run is resumed.

    Args:
        dataset: lists the photographs.
        image_size: height and width of the frames, in pixels, at least 4; with `tiles`, that of a tile in its place.
        batch_size: photographs in a batch.
        channels: 1 or 3; grey is repeated, colour is weighed into grey.
        augmentation: what is done to training photographs; None: nothing.
        validation: how many are held out, and what is painted on them.
        loading: how files become frames: policy, cache, workers.
        tiles: photographs keep their own resolution: training sees crops, and judging walks over tiles. None: they are
            shrunk to the frame.
        feedback: a `feedback.csv`, whose photographs are trained on as well, and not tested on; None: there is none.

    Attributes:
        frame: what calibrations belong to: the size of frames, or the tiling.
        judged: names of photographs that are not to be predicted again.
    """

    def __init__(
        self,
        dataset: AnomalyDataset,
        image_size: tuple[int, int] = (64, 64),
        batch_size: int = 16,
        channels: int = 3,
        augmentation: Augmentation | None = None,
        validation: Validation | None = None,
        loading: Loading | None = None,
        tiles: Tiles | None = None,
        feedback: str | None = None,
    ) -> None:
        super().__init__()
        image_size = tiles.size if tiles else image_size
        _check(image_size, batch_size, channels)
        self.dataset, self.image_size, self.batch_size, self.channels = dataset, image_size, batch_size, channels
        self.augmentation = augmentation or Augmentation()
        self.validation, self.loading = validation or Validation(), loading or Loading()
        self.augmentation.check(image_size, channels)
        self.tiles, self.frame = tiles, tuple(tiles.tiling) if tiles else image_size
        if tiles:
            self.augmentation = replace(self.augmentation, crop=self.augmentation.crop or tiles.size)
            _check_free(self.loading)
        self.feedback = Feedback(Path(feedback)) if feedback else None
        self.seed = 0
        self.expects_test = False
        self.judged: frozenset[str] = frozenset()
        self.split: Split | None = None
        self._stores: dict[str, FrameStore] = {}
        self._said: set[str] = set()

    @property
    def policy(self) -> Policy:
        """Return where photographs go in their frames, which `to_original` needs."""
        return self.tiles.placing() if self.tiles else self.loading.placing()

    def to_original(self, anomaly_map: Tensor, size: tuple[int, int], outside: float = 0.0) -> Tensor:
        """Return a map (1, H, W) at the size (height, width) of its file; `outside` is what its frame does not show."""
        return to_original(anomaly_map, size, self.policy, outside)

    def test_image(self, name: str) -> Pixels:
        """Return a test photograph at the size of its file, read again.

        Args:
            name: what `ImageBatch.path` calls it.
        """
        return self.dataset.read_image(self._judged_sample(name))

    def test_mask(self, name: str, size: tuple[int, int]) -> Mask:
        """Return the defects of a test photograph at the size of its file; the photograph itself is not read again.

        Args:
            name: what `ImageBatch.path` calls it.
            size: height and width of the file, as in `ImageBatch.size`.
        """
        return self.dataset.read_mask(self._judged_sample(name), size)

    def _judged_sample(self, name: str) -> Sample:
        store = next(self._stores[use] for use in _JUDGED if use in self._stores and name in self._stores[use].names)
        return store.photographs[store.names.index(name)].sample

    def regions(self, use: str) -> Regions | None:
        """Return what became of the defective regions in "validation" or "test"; None if it is not known."""
        return self._stores[use].regions if use in self._stores else None

    def setup(self, stage: str) -> None:
        """Read and check the photographs that the stage needs, and only those.

        Raises:
            BadImages: naming every file that cannot be used.
        """
        uses = _USES[stage]
        if "train" in uses:
            self.seed = torch.initial_seed()
        wanted = {use: self._photographs(use) for use in uses if use not in self._stores}
        problems: dict[str, str] = {}
        for use, photographs in wanted.items():
            share = self._share(len(photographs)) if use == "predict" else None
            try:
                self._stores[use] = self._store(photographs, share)
            except BadImages as error:
                problems |= error.problems
        if "train" in uses and self.expects_test and self.loading.check:
            problems |= self._bad_tests()
        if stage == "predict":
            problems = _of_all_processes(problems)
        if problems:
            raise BadImages(problems)
        self._tell()
        if "test" in wanted:
            self._warn_of_regions()
        if "train" in uses:
            self._write(self._split())

    def held_out(self) -> list[Sample]:
        """Return the good photographs of validation, which nothing was learnt from."""
        samples = [*self.dataset.train_samples(), *self.dataset.validation_samples()]
        names = set(self._split().validation_normal)
        return [sample for sample in samples if self.dataset.name(sample) in names]

    def unpainted(self, names: Sequence[str]) -> Images | None:
        """Return photographs of validation without painted defects, in their frames; None if one was only painted.

        Args:
            names: what `ImageBatch.path` calls them.
        """
        store = self._stores["validation"]
        plain = {store.names[at]: at for at, one in enumerate(store.photographs) if one.painting is None}
        if not set(names) <= set(plain):
            return None  # a split of before November 2026
        return self._source(store).__getitems__([plain[name] for name in names]).image

    def test_labels(self) -> set[bool]:
        """Return which labels the test photographs have: nothing where there are none."""
        return {sample.label for sample in self.dataset.test_samples()}

    def train_dataloader(self) -> BatchLoader:
        """Return good photographs, shuffled and augmented anew in every epoch."""
        return self._training(self.augmentation)

    def whole_dataloader(self) -> BatchLoader:
        """Return the same in whole frames, also where training sees parts: to learn by position."""
        return self._training(self._whole)

    def normal_batches(self, epoch: int = 0, whole: bool = True) -> BatchLoader:
        """Return all training photographs of one epoch, for every process all of them: see `NormalImages`.

        Args:
            epoch: which of the orders and augmentations.
            whole: whether frames are like those of evaluation even where training sees crops.
        """
        self.setup("fit")
        loader = self.whole_dataloader() if whole else self.train_dataloader()  # the trainer's must not be begun anew
        cast(EpochSampler, loader.sampler).take_all(epoch)
        return loader

    def whole(self, batch: ImageBatch, epoch: int) -> ImageBatch:
        """Return the photographs of a training batch in whole frames, like those of evaluation.

        Args:
            batch: of `train_dataloader`.
            epoch: in which it came.
        """
        if self._whole is self.augmentation:
            return batch
        store = self._stores["train"]
        places = {key: place for place, key in enumerate(store.keys.tolist())}
        source = self._source(store, self._whole)
        return source.__getitems__([(epoch, places[key]) for key in batch.key.tolist()])

    @property
    def parts(self) -> int:
        """Return how many crops have the pixels of a training photograph; 1 without tiles."""
        sizes = self._stores["train"].sizes() if self.tiles else []
        return max((self.tiles.parts(size) for size in sizes), default=1) if self.tiles else 1

    @property
    def _whole(self) -> Augmentation:
        return self.augmentation.of_whole_frames if self.augmentation.takes_parts else self.augmentation

    def _training(self, augmentation: Augmentation) -> BatchLoader:
        source = self._source(self._stores["train"], augmentation)
        sampler = EpochSampler(source, *self._processes, seed=self.seed % 2**32)
        return self._loader(source, sampler)

    def val_dataloader(self) -> BatchLoader:
        """Return held-out good photographs, each as it is and painted; the same in every epoch."""
        return self._loader(self._source(self._stores["validation"]))

    def test_dataloader(self) -> BatchLoader:
        """Return the test photographs."""
        return self._loader(self._source(self._stores["test"]))

    def predict_dataloader(self) -> BatchLoader:
        """Return the same as for testing, but for what is `judged`; for unknown photographs set `dataset` to Images."""
        source, (processes, rank) = self._source(self._stores["predict"]), self._processes
        if processes == 1:
            return self._loader(source)
        few = self._share(len(source)) is None  # no process may have none: some judge the same, which counts once
        split = DistributedSampler if few else UnrepeatedDistributedSampler
        return self._loader(source, split(source, processes, rank, shuffle=False))

    def predicted(self) -> list[str]:
        """Return the names of all photographs to predict, those that are `judged` among them."""
        return [self.dataset.name(sample) for sample in self._test()]

    @property
    def _processes(self) -> tuple[int, int]:
        """How many there are, and which this one is."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _share(self, count: int) -> range | None:
        """Return which of so many photographs this process predicts; None where there are too few to be shared out."""
        processes, rank = self._processes
        return range(rank, count, processes) if count >= processes else None

    def _source(self, store: FrameStore, augmentation: Augmentation | None = None) -> BatchSource:
        tiling = self.tiles.tiling if self.tiles else None
        return BatchSource(store, augmentation, self.seed, tiling, self.dataset.category_names)

    def _loader(self, source: BatchSource, sampler: DistributedSampler | None = None) -> BatchLoader:
        workers = self.loading.num_workers
        return BatchLoader(
            source,
            batch_size=1 if source.tiling else self.batch_size,  # photographs of any size; their tiles are many
            sampler=sampler,
            num_workers=workers,
            collate_fn=as_they_are,
            worker_init_fn=leave_interrupts,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed % 2**32),  # workers must not draw from the global one
        )

    def _store(self, photographs: list[Photograph], share: range | None = None) -> FrameStore:
        room = self.loading.cache_mb * 1_000_000 - sum(store.bytes for store in self._stores.values())
        store = FrameStore(photographs, self._reader(), room, self.loading.check, share)
        if self.loading.cache_mb and not store.bytes:
            _log.info("`cache_mb` is too small for %d photographs: they are read at each use.", len(photographs))
        return store

    def _reader(self) -> Reader:
        painter = self.validation.painter()
        return Reader(self.dataset, self.policy, self.image_size, self.channels, painter, self.tiles)

    def _bad_tests(self) -> dict[str, str]:
        """Return what is wrong with each test file that cannot be used; nothing that was read is kept."""
        try:
            FrameStore([Photograph(sample) for sample in self.dataset.test_samples()], self._reader(), room=0)
        except BadImages as error:
            return error.problems
        return {}

    def _photographs(self, use: str) -> list[Photograph]:
        if use in _JUDGED:
            done = self.judged if use == "predict" else ()
            return [Photograph(sample) for sample in self._test() if self.dataset.name(sample) not in done]
        samples = [*self.dataset.train_samples(), *self.dataset.validation_samples()]
        by_name = {self.dataset.name(sample): sample for sample in samples}
        split = self._split()
        if use == "train":
            added = self.feedback.samples(self.dataset) if self.feedback else []
            return [*(Photograph(by_name[name]) for name in split.train), *map(Photograph, added)]
        turns = range(self.validation.paintings)
        held_out: list[tuple[str, int | None]] = [(name, None) for name in split.validation_normal]
        held_out += [
            (name, painting_seed(self.validation.seed, name, turn))
            for name in split.validation_painted
            for turn in turns
        ]
        return [Photograph(by_name[name], painting) for name, painting in sorted(held_out, key=itemgetter(0))]

    def _test(self) -> list[Sample]:
        samples = self.dataset.test_samples()
        if not samples:
            raise FileNotFoundError(f"No test images in {self.dataset.folder}. Expected test/good and test/<kind>.")
        return self.feedback.others(samples) if self.feedback else samples

    def _file(self) -> Path | None:
        return Path(self.trainer.default_root_dir) / FILE if self.trainer else None

    def _split(self) -> Split:
        if self.split is None:
            path = self._file()
            there = path is not None and path.is_file()
            self.split = Split.load(path, self.dataset) if path and there else self._new_split()
        return self.split

    def _new_split(self) -> Split:
        detector = self.trainer.lightning_module if self.trainer else None
        return Split.of(self.dataset, self.validation, getattr(detector, "cross_fits", False))

    @property
    def folds(self) -> list[list[str]]:
        """Names of photographs in parts, each held out from a copy of the detector of its own; none where all are."""
        return self._split().folds if self.split or self.trainer else []

    @rank_zero_only
    def _warn_of_regions(self) -> None:
        regions = self.regions("test") or Regions()
        if regions.whole < regions.files:
            _log.warning(
                "Frames of %d x %d pixels show %d of the %d defective regions of the test files as they are: %d lost, "
                "%d merged with others, %d split. A larger `image_size` shows more; `--metrics.size original` measures "
                "pixels at the size of the files.",
                *self.image_size,
                *(regions.whole, regions.files, regions.lost, regions.merged, regions.split),
            )

    @rank_zero_only
    def _tell(self) -> None:
        """Log what is worth knowing about the folder and all files read so far, unless it was said before."""
        notes = [note for store in self._stores.values() for note in store.notes]
        for told in tell(self.dataset.notes() + notes):
            if told.text not in self._said:
                _log.log(logging.WARNING if told.warns else logging.INFO, "%s", told.text)
                self._said.add(told.text)

    @rank_zero_only
    def _write(self, split: Split) -> None:
        path = self._file()
        if path is not None:
            split.save(path)


def _of_all_processes(problems: dict[str, str]) -> dict[str, str]:
    """What is wrong with the shares of all processes, so that all of them end with the same words."""
    if not torch.distributed.is_initialized():
        return problems
    gathered: list[dict[str, str]] = [{}] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, problems)
    return dict(sorted(item for one in gathered for item in one.items()))


def _check_free(loading: Loading) -> None:
    if loading.policy is not None:
        raise ValueError("`loading.policy` must be null with `tiles`, where photographs keep their own size.")


def _check(image_size: tuple[int, int], batch_size: int, channels: int) -> None:
    if min(image_size) < _SMALLEST:
        raise ValueError(f"`image_size` must be at least {_SMALLEST} pixels high and wide, got {image_size}.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
    if channels not in (1, 3):
        raise ValueError(f"`channels` must be 1 or 3, got {channels}.")
