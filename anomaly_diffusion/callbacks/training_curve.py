"""The course of a training run, in bounded memory."""

from typing import Any

from torch import Tensor

LONGEST = 2000


class Course:
    """Losses and validation figures by optimiser step, and the seconds spent.

    When there are more than `LONGEST` losses, neighbours are averaged, so that a run of any length stays drawable.
    """

    def __init__(self) -> None:
        self.figures: list[tuple[int, dict[str, float]]] = []
        self.fit_seconds = 0.0
        self.validation_seconds = 0.0
        self._losses: list[tuple[int, float]] = []
        self._fresh: list[tuple[int, Tensor]] = []
        self._pace = 1

    def note_loss(self, step: int, loss: Tensor) -> None:
        """Remember a loss; it is read later, so that an accelerator need not wait."""
        self._fresh.append((step, loss))
        if len(self._fresh) >= 100 * self._pace:
            self._settle()

    def note_figures(self, step: int, figures: dict[str, float]) -> None:
        """Remember the figures of a validation."""
        self.figures.append((step, figures))

    @property
    def losses(self) -> list[tuple[int, float]]:
        """(step, loss), averaged over neighbours in a long run."""
        self._settle()
        return self._losses

    def state_dict(self) -> dict[str, Any]:
        """All of it as plain numbers."""
        seconds = {"fit_seconds": self.fit_seconds, "validation_seconds": self.validation_seconds}
        return {"losses": list(self.losses), "figures": list(self.figures), "pace": self._pace, **seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._losses = [(step, loss) for step, loss in state["losses"]]
        self.figures = [(step, figures) for step, figures in state["figures"]]
        self.fit_seconds, self.validation_seconds = state["fit_seconds"], state["validation_seconds"]
        self._pace = state["pace"]

    def _settle(self) -> None:
        fresh, self._fresh = [(step, float(loss)) for step, loss in self._fresh], []
        self._losses += _averaged(fresh, self._pace)
        while len(self._losses) > LONGEST:
            self._losses, self._pace = _averaged(self._losses, 2), 2 * self._pace


def _averaged(points: list[tuple[int, float]], width: int) -> list[tuple[int, float]]:
    groups = [points[start : start + width] for start in range(0, len(points), width)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
