"""The built-in data set: crops of brick, grass and gravel of scikit-image with synthetic defects; no download."""

from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from anomaly_diffusion.data.framing import Box
from anomaly_diffusion.data.painting.built_in import BUILT_IN_DEFECTS, BuiltInPainter
from anomaly_diffusion.data.reading.photographs import Mask, Pixels
from anomaly_diffusion.data.sample import GOOD, AnomalyDataset, Sample, stable_hash

__all__ = ["Textures"]

_SIDE = 512
_MOST = 100_000  # crops; more of one photograph are no other ones
# Disjoint parts of the photograph. Bricks are seen in perspective: the middle band has every slant that the two outer
# bands have, and sizes between theirs. Test and validation lie in it side by side.
_BAND = (168, 344)
REGIONS = {
    "train": (Box(0, 0, _BAND[0], _SIDE), Box(_BAND[1], 0, _SIDE - _BAND[1], _SIDE)),
    "test": (Box(_BAND[0], 0, _BAND[1] - _BAND[0], 336),),
    "validation": (Box(_BAND[0], 336, _BAND[1] - _BAND[0], _SIDE - 336),),
}


class Textures(AnomalyDataset):
    """Crops of the brick, grass or gravel photograph, half of those for testing with a painted defect.

    Training, validation and test crops come from disjoint parts of the photograph.

    Args:
        texture: which photograph.
        train: number of training crops, 1 to 100,000.
        test: number of test crops, 1 to 100,000; the odd ones are defective, kinds in turn.
        validation: number of crops for validation, 2 to 100,000.
        crop: side of a crop, 16 to 168 pixels of the 512.
        severity: how visible the defects are, (0, 1].
        seed: decides where the crops lie and what is painted.
    """

    def __init__(
        self,
        texture: Literal["brick", "grass", "gravel"] = "brick",
        train: int = 400,
        test: int = 80,
        validation: int = 64,
        crop: int = 64,
        severity: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(texture)
        if not 16 <= crop <= _BAND[0]:
            raise ValueError(f"`crop` must lie in [16, {_BAND[0]}], got {crop}.")
        for name, count, least in (("train", train, 1), ("test", test, 1), ("validation", validation, 2)):
            if not least <= count <= _MOST:
                raise ValueError(f"`{name}` must lie in [{least}, {_MOST}], got {count}.")
        if not 0 < severity <= 1:
            raise ValueError(f"`severity` must lie in (0, 1], got {severity}.")
        self.texture, self.crop, self.severity, self.seed = texture, crop, severity, seed
        self.train, self.test, self.validation = train, test, validation

    @cached_property
    def folder(self) -> Path:
        """Return the empty path: crops are named, but lie nowhere."""
        return Path()

    def places(self) -> list[Path]:
        """Return nothing."""
        return []

    def train_samples(self) -> list[Sample]:
        """Return crops of the training part."""
        return self._good("train", self.train)

    def validation_samples(self) -> list[Sample]:
        """Return crops of the validation part."""
        return self._good("validation", self.validation)

    def test_samples(self) -> list[Sample]:
        """Return crops of the test part, as many good ones as defective ones."""
        good = self._good("test", self.test - self.test // 2)
        kinds = [defect.kind for defect in BUILT_IN_DEFECTS]
        names = ((kinds[number % len(kinds)], number // len(kinds)) for number in range(self.test // 2))
        defective = [Sample(self.root / "test" / kind / f"{n:03}.png", True, kind=kind) for kind, n in names]
        return good + defective

    def read(self, sample: Sample) -> tuple[Pixels, Mask]:
        """Cut a crop out of the photograph and paint its defect, if it has one."""
        generator = np.random.default_rng(stable_hash(self.seed, sample.path.as_posix()))
        crop = np.ascontiguousarray(self._photograph[self._box(sample, generator).slices])
        if not sample.label:
            return crop, np.zeros(crop.shape[:2], bool)
        defects = [defect for defect in BUILT_IN_DEFECTS if defect.kind == sample.kind]
        return BuiltInPainter(self.severity, defects)(crop, generator)

    def read_image(self, sample: Sample) -> Pixels:
        """Paint the defect again, too."""
        return self.read(sample)[0]

    def read_mask(self, sample: Sample, size: tuple[int, int]) -> Mask:
        """Paint the defect again."""
        return self.read(sample)[1]

    def _good(self, use: str, count: int) -> list[Sample]:
        return [Sample(self.root / use / GOOD / f"{number:03}.png") for number in range(count)]

    def _box(self, sample: Sample, generator: np.random.Generator) -> Box:
        """Draw where a crop lies within the part of its use."""
        regions = REGIONS[sample.path.parts[1]]
        region = regions[generator.integers(len(regions))]
        top = region.top + int(generator.integers(region.height - self.crop + 1))
        left = region.left + int(generator.integers(region.width - self.crop + 1))
        return Box(top, left, self.crop, self.crop)

    @cached_property
    def _photograph(self) -> Pixels:
        from skimage import data

        return np.asarray(getattr(data, self.texture)(), np.uint8)[..., None]
