"""What frequencies an image is made of: how coarse and how fine its structure is.

Frequencies are in cycles per pixel: 0.5 is the finest that pixels can show, 1 / 16 a period of 16 pixels.
"""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_diffusion.types import Images, Masks

__all__ = ["BANDS", "frequencies", "radial_spectra", "radial_spectrum", "retained", "spectrum_ratio", "window"]

BANDS = {"coarse": (0.0, 1 / 16), "middle": (1 / 16, 1 / 8), "fine": (1 / 8, 0.5)}
_MOST, _FLOOR = 32, 1e-9  # bins; power that rounding alone makes


def frequencies(bins: int) -> Float[Tensor, " K"]:
    """Middles of `bins` equal intervals of [0, 0.5] cycles per pixel."""
    return (torch.arange(bins, dtype=torch.float64) + 0.5) / (2 * bins)


def radial_spectrum(images: Images, inside: Masks | None = None, bins: int | None = None) -> Float[Tensor, "B K"]:
    """Mean power of the grey image over all directions, for each interval of frequencies.

    power(f) = mean over |k| near f of |FFT(w * (x - mean))|^2 / sum(w^2): white noise of variance v has v everywhere.
    The window w keeps borders and holes from looking like fine structure.

    Reference: Durall et al., "Watch your Up-Convolution: CNN Based Generative Deep Neural Networks are Failing to
    Reproduce Spectral Distributions", 2020 (radial averages of the Fourier spectrum).

    Args:
        images: any number of channels; their mean is measured.
        inside: pixels that count; all, if not given.
        bins: number of intervals, at least 1; by default one per two cycles in the shorter side, at most 32: none is
            empty then.

    Raises:
        ValueError: `bins` is not positive.
    """
    inside = torch.ones_like(images[:, :1], dtype=torch.bool) if inside is None else inside
    return radial_spectra(images.float().mean(1, keepdim=True), inside, bins)[:, 0]


def radial_spectra(grey: Float[Tensor, "B N H W"], inside: Masks, bins: int | None = None) -> Float[Tensor, "B N K"]:
    """The `radial_spectrum` of several grey versions of each image, all on the same pixels."""
    H, W = grey.shape[-2:]
    bins = max(1, min(_MOST, min(H, W) // 4)) if bins is None else bins
    if bins < 1:
        raise ValueError(f"`bins` must be at least 1, got {bins}.")
    w = window(inside).to(grey)
    mean = (grey * w).sum((2, 3), keepdim=True) / w.sum((2, 3), keepdim=True).clamp(min=1e-6)
    coefficients = torch.view_as_real(torch.fft.rfft2((grey - mean) * w))
    power = coefficients.square().sum(-1).flatten(2) / w.square().sum((2, 3)).clamp(min=1e-6)[..., None]
    place, weight = (part.to(power.device) for part in _rings(H, W, bins))
    total = power.new_zeros(*power.shape[:2], bins + 1).index_add_(2, place, power * weight)
    counts = weight.new_zeros(bins + 1).index_add_(0, place, weight)
    return (total / counts.clamp(min=1))[..., :bins]


def spectrum_ratio(reference: Float[Tensor, "*B K"], reconstruction: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
    """Power of the reconstruction over that of the reference in each interval: 1 where they are alike.

    Of a linear blur it is the square of the blur's transfer function.
    """
    return (reconstruction + _FLOOR) / (reference + _FLOOR)


def retained(reference: Float[Tensor, "*B K"], reconstruction: Float[Tensor, "*B K"]) -> Float[Tensor, "*B 3"]:
    """Power of the reconstruction over that of the reference in the three `BANDS`: coarse, middle and fine.

    An interval counts by the area of its ring; bands narrower than an interval have the ratio of the nearest one.
    """
    f = frequencies(reference.shape[-1]).to(reference)
    parts = []
    for low, high in BANDS.values():
        weight = f * ((f >= low) & (f < high))
        nearest = (f - (low + high) / 2).abs().argmin()
        weight = weight if weight.any() else (torch.arange(len(f), device=f.device) == nearest).to(f)
        parts.append(
            spectrum_ratio(*((power * weight).sum(-1) / weight.sum() for power in (reference, reconstruction)))
        )
    return torch.stack(parts, dim=-1)


def window(inside: Masks) -> Float[Tensor, "B 1 H W"]:
    """Hann window over the rows and columns that have pixels inside, zero at all that lie outside."""
    return _hann(inside.any(3, keepdim=True), 2) * _hann(inside.any(2, keepdim=True), 3) * inside


def _hann(used: Tensor, axis: int) -> Tensor:
    """sin^2 over the places in use."""
    place = used.int().cumsum(axis) - 0.5  # integers: sums of floats are not deterministic on a GPU
    return (torch.pi * place / used.sum(axis, keepdim=True).clamp(min=1)).sin().square() * used


@lru_cache(maxsize=4)
def _rings(H: int, W: int, bins: int) -> tuple[Tensor, Tensor]:
    """For each coefficient of `rfft2` its interval (`bins` for the corners), and how often it counts."""
    rows, columns = torch.fft.fftfreq(H), torch.fft.rfftfreq(W)
    radius = (rows[:, None].square() + columns.square()).sqrt()
    place = (radius * 2 * bins).long().clamp(max=bins)
    place[radius == 0.5] = bins - 1
    weight = torch.full((H, len(columns)), 2.0)  # the other half of the plane mirrors this one
    weight[:, 0] = 1
    weight[:, -1] = 2 - (W + 1) % 2
    weight[0, 0] = 0  # the mean has been taken away
    return place.flatten(), weight.flatten()
