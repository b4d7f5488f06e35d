"""Photographs moved onto the mean one between frames and judging, and predictions moved back."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain, islice

from anomaly_diffusion.scoring.registration import Motions, Registration
from anomaly_diffusion.types import ImageBatch, Prediction

__all__ = ["learn_mean", "moved_back", "moved_there"]


def learn_mean(
    registration: Registration | None,
    batches: Callable[[], Iterable[ImageBatch]],
    most: int,
    categories: Sequence[str] = (),
) -> None:
    """Let a registration find the mean of the first of some photographs.

    Args:
        registration: None: nothing is learnt.
        batches: of normal photographs, each time anew.
        most: how many photographs are looked at.
        categories: what they show.

    Raises:
        ValueError: they show several things, which have no mean.
    """
    if registration is None:
        return
    if len(categories) > 1:
        raise ValueError(
            f"`scoring.registration` moves photographs onto one mean, but the run has {', '.join(categories)}. Train a "
            "run of each."
        )
    registration.learn(lambda: islice(chain.from_iterable(one.image.split(1) for one in batches()), most))


def moved_there(registration: Registration | None, batch: ImageBatch) -> tuple[ImageBatch, Motions | None]:
    """A batch on the mean photograph, and how it came there; as it is where nothing is registered.

    Raises:
        ValueError: its photographs are judged on tiles.
    """
    if registration is None:
        return batch, None
    if batch.tiles is not None:
        raise ValueError("`scoring.registration` moves whole frames, but `data.tiles` judges parts. Leave one of them.")
    motions = registration.motions(batch.image)
    return batch._replace(image=motions.registered(batch.image), valid=motions.inside(batch.valid)), motions


def moved_back(prediction: Prediction, motions: Motions | None) -> Prediction:
    """A prediction on its photographs: maps and pictures; scores are those of the mean photograph's pixels."""
    if motions is None:
        return prediction
    depths = prediction.reconstruction.shape[:2]
    rebuilt = motions.repeated(depths[1]).unregistered(prediction.reconstruction.flatten(0, 1)).unflatten(0, depths)
    return replace(
        prediction,
        reference=motions.unregistered(prediction.reference),
        reconstruction=rebuilt,
        depth_maps=motions.unregistered(prediction.depth_maps),
        anomaly_map=motions.unregistered(prediction.anomaly_map),
    )
