"""The layout of MVTec AD, in which most industrial sets are published."""

import logging
from pathlib import Path

from anomaly_diffusion.data.layouts.conventions import image_files, is_normal, kind_folders, normal_folder, splits_below
from anomaly_diffusion.data.sample import AnomalyDataset, Sample, find_root

__all__ = ["MVTecAD"]

_log = logging.getLogger(__name__)


class MVTecAD(AnomalyDataset):
    """train/good, test/<kind> and ground_truth/<kind>/<name>_mask.png, or <name>.png, one folder per category.

    A kind of defect without a folder in ground_truth counts for image figures only.

    Reference: Bergmann et al., "MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", 2019.

    Args:
        root: the folder that holds the categories, or, without a category, the one that holds train and test.
        category: folder below `root`; several make one data set, for a backbone with as many classes.
        white_level: value of a 16-bit photograph that is shown as white.
    """

    generality = 1

    def __init__(
        self, root: str | Path = "mvtec_ad", category: str | list[str] | None = None, white_level: int = 65535
    ) -> None:
        if category == []:
            raise ValueError("`category` must name at least one folder, or be null, got [].")
        super().__init__(Path(root, category) if isinstance(category, str) else root, white_level)
        self.categories = category if isinstance(category, list) else ["."]
        self._named = tuple(category) if isinstance(category, list) else (category,) if category else ()
        self._unmasked: set[str] = set()

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is train/good, or one in a category below."""
        return normal_folder(root / "train").is_dir() or bool(splits_below(root))

    def train_samples(self) -> list[Sample]:
        """Return train/good.

        Raises:
            FileNotFoundError: if there are no images.
        """
        return [sample for number, name in enumerate(self.categories) for sample in self._good(number, name)]

    def test_samples(self) -> list[Sample]:
        """Return test/good and test/<kind>, kinds by name; nothing without such folders.

        Raises:
            ValueError: if the name of a kind says that it may be good.
        """
        samples = [
            self._sample(path, kind, number)
            for number, place in enumerate(self.places())
            for kind in kind_folders(place / "test")
            for path in image_files(kind)
        ]
        self._tell_unmasked({sample.kind for sample in samples if sample.label and sample.mask is None})
        return samples

    @property
    def category_names(self) -> tuple[str, ...]:
        """Return the categories as they were named; nothing without any."""
        return self._named

    def _tell_unmasked(self, kinds: set[str]) -> None:
        """Log once which kinds have no masks."""
        if kinds - self._unmasked:
            _log.info("No masks for %s in ground_truth: image figures only.", ", ".join(sorted(kinds)))
            self._unmasked |= kinds

    def places(self) -> list[Path]:
        """Return the folders of the categories."""
        return [self.folder / name for name in self.categories]

    def _good(self, number: int, name: str) -> list[Sample]:
        good = normal_folder(self.folder / name / "train")
        samples = [Sample(path, category=number) for path in image_files(good)]
        if not samples:
            raise FileNotFoundError(f"No images in {good}. {self._hint()}")
        return samples

    def _sample(self, path: Path, kind: Path, number: int) -> Sample:
        if is_normal(kind.name):
            return Sample(path, category=number)
        masks = kind.parents[1] / "ground_truth" / kind.name
        return Sample(path, True, _mask(path.relative_to(kind), masks), kind.name, number)

    def _hint(self) -> str:
        below = splits_below(find_root(self.root))
        if below:
            return f"`category` (or the last folder of the path) must be one of: {', '.join(below)}."
        return "Expected train/good/*.png; for another layout use Folder."


def _mask(photograph: Path, folder: Path) -> Path | None:
    """Return the mask of a photograph of a kind, or where it is expected; None where there is no folder of masks."""
    endings = ("_mask.png", ".png", f"_mask{photograph.suffix}", photograph.suffix)
    places = [folder / photograph.with_name(f"{photograph.stem}{ending}") for ending in endings]
    return next((place for place in places if place.is_file()), places[0]) if folder.is_dir() else None
