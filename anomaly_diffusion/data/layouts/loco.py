"""The layout of MVTec LOCO AD: logical and structural anomalies, one mask per region, saturation thresholds (sPRO)."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from anomaly_diffusion.data.layouts.conventions import (
    children,
    files_below,
    image_files,
    is_image,
    is_normal,
    kind_folders,
    normal_folder,
    splits_below,
)
from anomaly_diffusion.data.reading.photographs import BadImages, Mask, along, read_pixels
from anomaly_diffusion.data.sample import AnomalyDataset, Sample, find_root
from anomaly_diffusion.types import Region

__all__ = ["CONFIG", "MVTecLOCO"]

CONFIG = "defects_config.json"


class _Saturation(NamedTuple):
    """How much of a kind of defect must be found: a share of its pixels, or a number of them."""

    threshold: float
    relative: bool

    @classmethod
    def read(cls, kind: dict[str, Any]) -> "_Saturation":
        """That of an entry of `defects_config.json`."""
        return cls(float(kind["saturation_threshold"]), bool(kind["relative_saturation"]))

    def of(self, mask: Mask) -> float:
        """That number of pixels; all of them if there are fewer."""
        area = float(mask.sum())
        return self.threshold * area if self.relative else min(self.threshold, area)


class MVTecLOCO(AnomalyDataset):
    """train/good, validation/good, test/<kind> and ground_truth/<kind>/<name>/000.png, 001.png, one file per region.

    The grey value of a mask names its kind of defect in `defects_config.json`, which says when that is saturated.

    Reference: Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
    Localization", IJCV 2022.

    Args:
        root: the folder that holds the categories, or, without a category, the one that holds train and test.
        category: folder below `root`.
        white_level: value of a 16-bit photograph that is shown as white.
    """

    def __init__(
        self, root: str | Path = "mvtec_loco_ad", category: str | None = None, white_level: int = 65535
    ) -> None:
        super().__init__(Path(root, category) if category else root, white_level)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is a defects_config.json, or one in a category below."""
        return (root / CONFIG).is_file() or any((one / CONFIG).is_file() for one in children(root))

    def train_samples(self) -> list[Sample]:
        """Return train/good.

        Raises:
            FileNotFoundError: if there are no images.
        """
        samples = self._good("train")
        if not samples:
            raise FileNotFoundError(f"No images in {normal_folder(self.folder / 'train')}. {self._hint()}")
        return samples

    def validation_samples(self) -> list[Sample]:
        """Return validation/good."""
        return self._good("validation")

    def test_samples(self) -> list[Sample]:
        """Return test/good and test/<kind>, kinds by name.

        Raises:
            ValueError: if the name of a kind says that it may be good.
        """
        return [self._sample(path, kind) for kind in kind_folders(self.folder / "test") for path in image_files(kind)]

    def read_mask(self, sample: Sample, size: tuple[int, int]) -> Mask:
        """Read the pixels of all regions of a photograph.

        Raises:
            BadImages: if a mask cannot be used.
        """
        mask = np.zeros(size, bool)
        for path in self._masks(sample):
            region = self._region(path, sample.path, size).mask
            if region.shape != size:
                rule = "a mask has the size of its photograph"
                raise BadImages({str(path): f"mask is of {region.shape} pixels, its photograph of {size}; {rule}"})
            mask |= region
        return mask

    def regions(self, name: str, size: tuple[int, int]) -> list[Region]:
        """Return the defects of a test photograph; none of a good one.

        Args:
            name: what `AnomalyDataset.name` calls it.
            size: its height and width.

        Raises:
            BadImages: if a mask cannot be used, or its value has no entry in `defects_config.json`.
        """
        path, test = self.folder / name, self.folder / "test"
        kind = test / path.relative_to(test).parts[0]
        return [self._region(mask, path, size) for mask in self._masks(self._sample(path, kind))]

    def _region(self, path: Path, photograph: Path, size: tuple[int, int]) -> Region:
        values = read_pixels(path).max(axis=2)
        kinds = np.unique(values[values > 0]).tolist()
        if len(kinds) != 1:
            raise BadImages(
                {str(path): f"must hold one value besides 0, the kind of its defect, got {kinds or 'none'}"}
            )
        if kinds[0] not in self._saturations:
            known = ", ".join(map(str, sorted(self._saturations)))
            raise BadImages({str(path): f"holds the value {kinds[0]}, but {CONFIG} knows {known} only"})
        mask = along(values > 0, size, photograph)
        return Region(mask, self._saturations[kinds[0]].of(mask))

    @cached_property
    def _saturations(self) -> dict[int, _Saturation]:
        """How much of each kind of defect must be found, by its value in the masks."""
        path = self.folder / CONFIG
        try:
            return {int(kind["pixel_value"]): _Saturation.read(kind) for kind in json.loads(path.read_text())}
        except FileNotFoundError:
            raise FileNotFoundError(f"{path} is missing: it says how much of each defect must be found.") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} must be a list of entries with pixel_value, saturation_threshold and relative_saturation; "
                f"{type(error).__name__}: {error}."
            ) from None

    def _masks(self, sample: Sample) -> list[Path]:
        if sample.mask is None:
            return []
        found = [path for path in files_below(sample.mask) if is_image(path)]
        if not found:
            raise BadImages({str(sample.path): f"has no mask in {sample.mask}; add one, or delete the photograph"})
        return found

    def _good(self, use: str) -> list[Sample]:
        return [Sample(path) for path in image_files(normal_folder(self.folder / use))]

    def _sample(self, path: Path, kind: Path) -> Sample:
        if is_normal(kind.name):
            return Sample(path)
        masks = self.folder / "ground_truth" / kind.name / path.relative_to(kind).with_suffix("")
        return Sample(path, True, masks, kind.name)

    def _hint(self) -> str:
        below = splits_below(find_root(self.root))
        if below:
            return f"`category` (or the last folder of the path) must be one of: {', '.join(below)}."
        return "Expected train/good/*.png; for another layout use MVTecAD or Folder."
