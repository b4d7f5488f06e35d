"""Nearest-neighbour residual: distance of a difference from the nearest one of normal images."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_diffusion.networks.buffers import AnySize
from anomaly_diffusion.networks.in_parts import one_by_one
from anomaly_diffusion.scoring.memory import Candidates, coreset, nearest
from anomaly_diffusion.scoring.residual import Residual
from anomaly_diffusion.types import Encoded, Maps, Masks, inside

__all__ = ["NearestResidual"]

_PROJECTED = 64  # dimensions in which the memory is chosen


class NearestResidual(Residual, AnySize):
    r"""Distance of a difference, where it stands, from the nearest one that normal images have.

    d = min_n sqrt(|r - r_n|^2 + context * |h - h_n|^2),   r = image - reconstruction,   h = reconstruction

    over a memory of positions of normal images, for each depth one. No reconstruction errs alike everywhere: what it
    gets wrong on normal threads or edges is excused on threads and edges, wherever they lie.

    Reference: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), 2022, section 3.2, whose
    distance this is of a constant reconstruction.

    Differs from the paper: differences are compared in place of features, in their surroundings (`context`); the memory
    has an absolute size and is chosen from a random sample, theirs has a share of all patches and is chosen from all;
    scores are not weighted by how dense the memory is; each depth has a memory of its own. `PatchCore` is the paper's.

    Args:
        context: weight of the reconstruction, >= 0: in what surroundings a difference was seen.
        at_most: how many positions are kept, >= 1.
        candidates: number of positions, drawn at random from all, from which they are chosen; >= 1.
        seed: of what is drawn.

    Raises:
        ValueError: a number lies outside its range.
    """

    learns = True
    of_any_size = ("items",)
    items: Tensor

    def __init__(self, context: float = 0.3, at_most: int = 8192, candidates: int = 65536, seed: int = 0) -> None:
        super().__init__()
        if context < 0:
            raise ValueError(f"`context` must not be negative, got {context}.")
        for name, value in (("at_most", at_most), ("candidates", candidates)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")
        self.context, self.at_most, self.candidates, self.seed = context, at_most, candidates, seed
        self.register_buffer("items", torch.empty(0))  # (D, N, C), or 2 * C with a context

    def moments(
        self, reference: Encoded, reconstruction: Float[Tensor, "B D c h w"], valid: Masks, keys: Sequence[int]
    ) -> Candidates:
        """A sample of the positions of photographs; samples add up over batches."""
        rows = self._rows(reference, reconstruction)  # (B, D, P, 2 * C)
        sample = Candidates(self.candidates, self.seed)
        sample.add(rows.transpose(1, 2), inside(valid, reconstruction.shape[-2:]), keys)
        return sample

    def fit(self, moments: Candidates) -> None:
        """Remember positions that are far from one another.

        Raises:
            ValueError: there is none.
        """
        if not moments.seen:
            raise ValueError("No normal image to learn differences from.")
        depths = moments.patches.to(self.items).unbind(1)
        self.items = torch.stack([coreset(rows, self.at_most, _PROJECTED, self.seed) for rows in depths])

    def forward(self, image: Encoded, reconstruction: Encoded) -> Maps:
        """Distances of one reconstruction; as `maps`."""
        return self.maps(image, reconstruction[:, None])

    def maps(self, reference: Encoded, reconstruction: Float[Tensor, "B D c h w"]) -> Float[Tensor, "B D h w"]:
        """Distances of each depth.

        Raises:
            RuntimeError: nothing has been learnt.
            ValueError: there are other depths than those learnt.
        """
        rows = self._rows(reference, reconstruction)
        self._check(rows)
        remembered = self.items[..., : rows.shape[-1]]  # until November 2026 with zeros for reconstructions not counted

        def of_image(depths: Float[Tensor, "*B D P C"]) -> Float[Tensor, "*B D P"]:
            pairs = zip(remembered, depths.unbind(-3), strict=True)
            return torch.stack([_distances(items, patches) for items, patches in pairs], dim=-2)

        maps: Tensor = one_by_one(of_image, rows).unflatten(2, reconstruction.shape[-2:])
        return maps

    def _rows(self, reference: Encoded, reconstruction: Float[Tensor, "B D c h w"]) -> Float[Tensor, "B D P _"]:
        """What is compared, at each position: the difference and, where it counts, the reconstruction."""
        rows = reference[:, None] - reconstruction
        if self.context:
            rows = torch.cat([rows, math.sqrt(self.context) * reconstruction], dim=2)
        return rows.float().flatten(3).transpose(2, 3)

    def _check(self, rows: Tensor) -> None:
        if not self.items.numel():
            raise RuntimeError("The residual has learnt nothing yet. Validate the detector once.")
        if len(self.items) != rows.shape[1]:
            raise ValueError(
                f"Differences of {len(self.items)} depths are remembered, got {rows.shape[1]}. Keep the depths, or "
                "validate the detector again."
            )


def _distances(items: Float[Tensor, "N C"], patches: Float[Tensor, "*B P C"]) -> Float[Tensor, "*B P"]:
    """From each patch to the nearest item, exact where they are equal."""
    rows = patches.flatten(0, -2)
    distance: Tensor = torch.linalg.vector_norm(rows - items[nearest(items, rows)[:, 0]], dim=1)
    return distance.view(patches.shape[:-1])
