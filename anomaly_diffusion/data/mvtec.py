"""The layout of MVTec AD, in which most industrial sets are published."""

from pathlib import Path

from anomaly_diffusion.data.reading import image_files
from anomaly_diffusion.data.sample import GOOD, AnomalyDataset, Sample, find_root

__all__ = ["MVTecAD"]


class MVTecAD(AnomalyDataset):
    """train/good, test/<kind> and ground_truth/<kind>/<name>_mask.png, one folder per category.

    Reference: Bergmann et al., "MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", 2019.

    Args:
        root: the folder that holds the categories, or, without a category, the one that holds train and test.
        category: folder below `root`.
        white_level: value of a 16-bit photograph that is shown as white.
    """

    def __init__(self, root: str | Path = "mvtec_ad", category: str | None = None, white_level: int = 65535) -> None:
        super().__init__(Path(root, category) if category else root, white_level)

    def train_samples(self) -> list[Sample]:
        """Return train/good.

        Raises:
            FileNotFoundError: if there are no images.
        """
        good = self.folder / "train" / GOOD
        samples = [Sample(path) for path in image_files(good)]
        if not samples:
            raise FileNotFoundError(f"No images in {good}. {self._hint()}")
        return samples

    def test_samples(self) -> list[Sample]:
        """Return test/good and test/<kind>, kinds by name."""
        test = self.folder / "test"
        kinds = sorted(path.name for path in test.iterdir() if path.is_dir()) if test.is_dir() else []
        return [self._sample(path, kind) for kind in kinds for path in image_files(test / kind)]

    def _sample(self, path: Path, kind: str) -> Sample:
        if kind == GOOD:
            return Sample(path)
        return Sample(path, True, self.folder / "ground_truth" / kind / f"{path.stem}_mask.png", kind)

    def _hint(self) -> str:
        below = [path.parent.parent.name for path in sorted(find_root(self.root).glob("*/train/good"))]
        if below:
            return f"`category` (or the last folder of the path) must be one of: {', '.join(below)}."
        return "Expected train/good/*.png; for another layout use Folder."
