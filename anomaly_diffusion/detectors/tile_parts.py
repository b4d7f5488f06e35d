"""What networks make of a tile as a row of tensors, which can be put together one by one, and back."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.scoring.residual import Answers, Question
from anomaly_diffusion.types import Decoded, ImageBatch

__all__ = ["Seen", "look", "take_up"]


class Seen(NamedTuple):
    """What networks have made of images.

    Attributes:
        decoded: references and reconstructions, or maps that the strategy itself has found.
        answers: to what residuals ask; None where they ask about whole photographs, or nothing.
    """

    decoded: Decoded
    answers: Answers | None = None


def look(detector: Detector, tiles: ImageBatch, category: int) -> tuple[Tensor, ...]:
    """Reference, reconstruction, and either maps of the strategy's own or answers, of image and reconstruction.

    Args:
        detector: of one scale.
        tiles: each in its place.
        category: the number of the one that all of them show.
    """
    found = detector.decoded(tiles)
    if found.anomaly_maps is not None:
        return found.reference, found.reconstruction, found.anomaly_maps
    answers = detector.answers_of(tiles, found, _questions(detector, category))
    return found.reference, found.reconstruction, *answers.of_image, *answers.of_reconstruction


def take_up(detector: Detector, parts: Sequence[Tensor], category: int) -> Seen:
    """The record that `look` has laid out in a row; arguments likewise."""
    reference, reconstruction, *others = parts
    questions = _questions(detector, category)
    asked = len(questions), sum(question.of_reconstruction for question in questions)
    if len(others) != sum(asked):  # a strategy that has maps of its own is asked nothing
        return Seen(Decoded(reference, reconstruction, 0, others[0]))
    answers = Answers(tuple(others[: asked[0]]), tuple(others[asked[0] :])) if questions else None
    return Seen(Decoded(reference, reconstruction, 0), answers)


def _questions(detector: Detector, category: int) -> Sequence[Question]:
    return detector.scorings_of(category)[0].questions
