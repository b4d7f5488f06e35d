"""A user's own photographs: one folder of good ones, any number of folders with defects, masks where there are any."""

import logging
from functools import cached_property
from pathlib import Path

from anomaly_diffusion.data.reading import image_files
from anomaly_diffusion.data.sample import AnomalyDataset, Sample, find_root
from anomaly_diffusion.data.split import held_out

__all__ = ["Folder", "Images"]

_log = logging.getLogger(__name__)


class Folder(AnomalyDataset):
    """Good photographs in one folder, each kind of defect in another, masks optional.

    A mask has the name of its photograph, with or without `_mask`, in <masks>/<defect>/ or in <masks>/ itself.
    Without masks, defective photographs count for image figures only.

    Args:
        root: the folder that holds the others.
        normal: folder of good photographs.
        defects: folders of defective ones; None: every other folder with images.
        masks: folder of masks; None: there are none.
        test_normal: folder of good photographs to test on; None: a fixed share of `normal`.
        test_share: that share, in (0, 1).
        white_level: value of a 16-bit photograph that is shown as white.
    """

    def __init__(
        self,
        root: str | Path,
        normal: str = "good",
        defects: list[str] | None = None,
        masks: str | None = None,
        test_normal: str | None = None,
        test_share: float = 0.2,
        white_level: int = 65535,
    ) -> None:
        super().__init__(root, white_level)
        if not 0 < test_share < 1:
            raise ValueError(f"`test_share` must lie in (0, 1), got {test_share}.")
        self.normal, self.defects, self.masks = normal, defects, masks
        self.test_normal, self.test_share = test_normal, test_share

    def train_samples(self) -> list[Sample]:
        """Return the good photographs that are not kept for testing.

        Raises:
            FileNotFoundError: if there are no images.
        """
        return [Sample(path) for path in self._normals[0]]

    def test_samples(self) -> list[Sample]:
        """Return the good photographs kept for testing and all defective ones."""
        kinds = self._kinds() if self.defects is None else self.defects
        defective = [self._defective(path, kind) for kind in kinds for path in self._images(kind)]
        return [Sample(path) for path in self._normals[1]] + defective

    @cached_property
    def _normals(self) -> tuple[list[Path], list[Path]]:
        """Good photographs to learn from, and to test on."""
        normals = self._images(self.normal)
        if self.test_normal is not None:
            return normals, self._images(self.test_normal)
        names = {path.relative_to(self.folder).as_posix(): path for path in normals}
        kept = held_out(names, max(1, round(self.test_share * len(names))), "test", left=4)
        _log.info("%d of %d photographs in %s are kept for testing.", len(kept), len(names), self.normal)
        return [path for name, path in names.items() if name not in kept], [names[name] for name in kept]

    def _kinds(self) -> list[str]:
        reserved = {Path(name).parts[0] for name in (self.normal, self.masks, self.test_normal) if name}
        return [path.name for path in sorted(self.folder.iterdir()) if path.name not in reserved and image_files(path)]

    def _images(self, name: str) -> list[Path]:
        found = image_files(self.folder / name)
        if not found:
            raise FileNotFoundError(f"No images in {self.folder / name}. {self._hint()}")
        return found

    def _hint(self) -> str:
        below = ", ".join(path.name for path in sorted(self.folder.iterdir()) if path.is_dir())
        return f"`normal`, `defects` and `test_normal` name folders in {self.folder}: {below or 'it has none'}."

    def _defective(self, path: Path, kind: str) -> Sample:
        kind = Path(kind).name
        return Sample(path, True, None if self.masks is None else self._mask(path, kind), kind)

    def _mask(self, path: Path, kind: str) -> Path:
        masks = self.folder / str(self.masks)
        candidates = [
            folder / f"{path.stem}{ending}"
            for folder in (masks / kind, masks)
            for ending in ("_mask.png", ".png", path.suffix)
        ]
        return _first_file(candidates) or candidates[1]


class Images(AnomalyDataset):
    """A folder of photographs about which nothing is known, for `predict`.

    Args:
        root: the folder.
        white_level: value of a 16-bit photograph that is shown as white.
    """

    def train_samples(self) -> list[Sample]:
        """Return nothing.

        Raises:
            ValueError: always, as unknown photographs may be defective.
        """
        raise ValueError("Images is for `predict` only. To learn from good photographs use Folder or MVTecAD.")

    def test_samples(self) -> list[Sample]:
        """Return every image of the folder.

        Raises:
            FileNotFoundError: if there are none.
        """
        found = image_files(find_root(self.root))
        if not found:
            raise FileNotFoundError(f"No images in {self.folder}.")
        return [Sample(path, kind="unknown") for path in found]


def _first_file(paths: list[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
