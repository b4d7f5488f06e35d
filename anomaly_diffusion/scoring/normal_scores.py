"""What verdicts compare with: scores and statistics of normal images, kept with the weights of a detector."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_diffusion.networks.buffers import AnySize

__all__ = ["HELD_OUT", "OF_IMAGE", "NormalScores"]

HELD_OUT = ("score", "peak", "mass", "background")
OF_IMAGE = ("brightness", "contrast", "sharpness")


class NormalScores(AnySize):
    """Numbers of normal images that nothing else was learnt from, ascending; none before the first validation.

    Attributes:
        held_out: (4, n) of held-out normal images, each row by itself: score, largest value of the map, mass of its
            heaviest region, background level of the map; float64.
        of_image: (3, t) of training images, likewise: brightness, contrast, sharpness; float64.
        cut: above which a map has regions.
    """

    of_any_size = ("held_out", "of_image")
    held_out: Tensor
    of_image: Tensor
    cut: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("held_out", torch.zeros(len(HELD_OUT), 0, dtype=torch.float64))
        self.register_buffer("of_image", torch.zeros(len(OF_IMAGE), 0, dtype=torch.float64))
        self.register_buffer("cut", torch.zeros((), dtype=torch.float64))

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return self.held_out.shape[1] > 0

    def set(self, held_out: Mapping[str, Tensor], of_image: Float[Tensor, "3 t"], cut: float) -> None:
        """Replace all numbers.

        Args:
            held_out: n numbers for each name of `HELD_OUT`.
            of_image: rows in the order of `OF_IMAGE`.
            cut: as above.
        """
        self.held_out = torch.stack([held_out[name] for name in HELD_OUT]).sort(1).values.to(self.held_out)
        self.of_image = of_image.sort(1).values.to(self.of_image)
        self.cut.fill_(cut)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name, mine in self.named_buffers(recurse=False):  # checkpoints of before have none
            state_dict.setdefault(prefix + name, mine.new_zeros(*mine.shape[:-1], 0) if mine.ndim else mine)
        super()._load_from_state_dict(state_dict, prefix, *rest)
