"""Foreign textures, mixed with the photograph where smooth noise is high."""

from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.random import Generator

from anomaly_diffusion.data.painting.families.family import Drawing, Family, Form, Sketch, lattice, placed, tint
from anomaly_diffusion.data.painting.families.pictures import pictures
from anomaly_diffusion.data.reading.photographs import Pixels, read_pixels

__all__ = ["BUILT_IN_TEXTURES", "Foreign"]

BUILT_IN_TEXTURES = ("brick", "grass", "gravel")
_PATTERN = 128  # side of the noise that is cut
_PATCH = 32  # pixels of the photograph that are looked for in a texture
_SAME = 0.9  # correlation above which a texture is the photograph's own


class Foreign(Family):
    """Another texture that shows in cloudy pieces.

    Reference: Zavrtanik et al., "DRAEM", 2021, and Yang et al., "MemSeg", 2022: periods 2^0 to 2^5 along each axis,
    turned, above .5; I (1 - M) + (1 - b) A M + b I M with b uniform in [0, .8]. Here the noise is a lattice joined by
    cubics instead of Perlin's, and the connected piece with the largest disc is kept, at the width asked for.

    Args:
        folder: photographs to take textures from; None: the built-in brick, grass and gravel, but for one that the
            photograph is itself a part of.
    """

    kind = "foreign"

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def draw(self, sketch: Sketch, form: Form, generator: Generator) -> Drawing:
        """Cut noise for the outline, and a texture for the material.

        Raises:
            ValueError: if the folder holds no image, or only the photograph's own texture.
        """
        period = 2.0 ** generator.integers(3, 6, 2)
        noise = lattice(generator, (_PATTERN, _PATTERN), (float(period[0]), float(period[1])))
        outline = placed(np.where(noise > 0.5, 255, 0).astype(np.uint8), sketch, form, generator.uniform(0, 2 * np.pi))
        foreign, own = self._texture(sketch, generator), sketch.image
        share = generator.uniform(0, 0.8)
        material = (1 - share) * foreign / max(float(foreign.std()), 1.0) + share * own / max(float(own.std()), 1.0)
        return Drawing(outline, material, int(generator.choice((-1, 1))), tint(generator, own.shape[2], 0.2))

    def names(self, sketch: Sketch) -> list[str]:
        """Return the names of the textures that are foreign to this photograph."""
        patch = _middle(sketch)
        key = hash(patch.tobytes())
        if key not in self._foreign:  # a photograph is drawn on several times in a row
            self._foreign.clear()
            self._foreign[key] = [name for name, texture in self._textures.items() if not _holds(texture, patch)]
        return self._foreign[key]

    def _texture(self, sketch: Sketch, generator: Generator) -> np.ndarray:
        """Cut a part of the size of the sketch, at a scale between a third and once."""
        names = self.names(sketch)
        if not names:
            raise ValueError(f"{self.folder} holds no texture that is foreign to the photograph; add others.")
        texture = self._textures[names[int(generator.integers(len(names)))]]
        cut = generator.uniform(0.34, 1.0) * min(texture.shape[:2])
        top, left = (int(generator.uniform(0, side - cut + 1)) for side in texture.shape[:2])
        part = texture[top : top + int(cut), left : left + int(cut)]
        side = max(sketch.size)
        shown = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA).reshape(side, side, -1)
        shown = shown[: sketch.size[0], : sketch.size[1]].astype(np.float32)
        channels = sketch.image.shape[2]
        grey = shown.mean(axis=2, keepdims=True).repeat(channels, axis=2)
        return np.asarray(shown if shown.shape[2] == channels else grey)

    @cached_property
    def _foreign(self) -> dict[int, list[str]]:
        return {}

    @cached_property
    def _textures(self) -> dict[str, Pixels]:
        if self.folder is not None:
            return {path.name: read_pixels(path) for path in pictures(self.folder, "textures")}
        from skimage import data

        return {name: np.asarray(getattr(data, name)(), np.uint8)[..., None] for name in BUILT_IN_TEXTURES}


def _middle(sketch: Sketch) -> Float32[np.ndarray, "h w"]:
    height, width = (min(_PATCH, side) for side in sketch.size)
    top, left = (sketch.size[0] - height) // 2, (sketch.size[1] - width) // 2
    return np.ascontiguousarray(sketch.grey[top : top + height, left : left + width])


def _holds(texture: Pixels, patch: Float32[np.ndarray, "h w"]) -> bool:
    """Whether a part of a photograph lies somewhere in a texture, as large as it is there."""
    grey = texture.mean(axis=2, dtype=np.float32)
    if patch.std() < 1 or patch.shape[0] > grey.shape[0] or patch.shape[1] > grey.shape[1]:
        return False
    return float(cv2.matchTemplate(grey, patch, cv2.TM_CCOEFF_NORMED).max()) > _SAME
