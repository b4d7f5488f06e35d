"""What an `Inspector` says of one photograph."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from anomaly_diffusion.data.framing import Policy, to_original
from anomaly_diffusion.verdict_records import AnomalousRegion, Verdict

__all__ = ["Inspection"]


@dataclass(frozen=True)
class Inspection:
    """The verdict on a photograph; regions, peak, map and mask are in its own pixels.

    Attributes:
        name: of the file; of what is no file, "image".
        score: image anomaly score, larger is worse.
        verdict: what follows from it.
        size: height and width of the photograph.
        pixel_limit: above which at most the promised share of normal photographs have any pixel.
    """

    name: str
    score: float
    verdict: Verdict
    size: tuple[int, int]
    pixel_limit: float
    _framed: Float[np.ndarray, "1 h w"] = field(repr=False)
    _policy: Policy = field(repr=False)

    @property
    def defective(self) -> bool:
        """Whether its score lies above the limit."""
        return self.verdict.defective

    @property
    def p_value(self) -> float:
        """How often a normal photograph has a score as large."""
        return self.verdict.p_value

    @property
    def limit(self) -> float:
        """The score beyond which a photograph is called defective."""
        return self.verdict.limit

    @property
    def drift(self) -> str:
        """In which way it is unlike all normal photographs, so that limits may not hold; nothing if it is like them."""
        return self.verdict.drift

    @property
    def regions(self) -> tuple[AnomalousRegion, ...]:
        """Where it stands out: boxes, area, mass, peak and p-value, heaviest first."""
        return self.verdict.regions

    @property
    def peak(self) -> tuple[int, int]:
        """Column and row of the map's largest value."""
        return self.verdict.peak

    @property
    def frame_values(self) -> Float[np.ndarray, " n"]:
        """The map's values in its frame, without padding."""
        values: np.ndarray = self._framed[0][self._policy.place(self.size, self._framed.shape[-2:]).valid()]
        return values

    @cached_property
    def map(self) -> Float[np.ndarray, "H W"]:
        """In standard deviations of normal photographs; 0 where the frame does not show the photograph."""
        return self._original()

    @cached_property
    def mask(self) -> Bool[np.ndarray, "H W"]:
        """Where the map exceeds `pixel_limit`."""
        return self.map > self.pixel_limit

    @property
    def framed_values(self) -> Float[np.ndarray, " n"]:
        """The map's values in its frame, without padding."""
        frame = self._framed.shape[-2:]
        return np.asarray(self._framed[0][self._policy.place(self.size, frame).valid()])

    def _original(self) -> Float[np.ndarray, "H W"]:
        import torch  # which an exported file does without

        return to_original(torch.from_numpy(self._framed), self.size, self._policy)[0].numpy()

    def __str__(self) -> str:
        word = "defective" if self.defective else "normal"
        told = f"{self.name}: {word}, score {self.score:.3g}, limit {self.limit:.3g}, p {self.p_value:.2g}"
        return f"{told}; {self.drift}" if self.drift else told
