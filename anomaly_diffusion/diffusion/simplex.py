"""Simplex noise as AnoDDPM draws it, for a whole batch at once."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Generator, Tensor
from torch.nn import functional

from anomaly_diffusion.diffusion.noise import MOST_OCTAVES, NoiseSource
from anomaly_diffusion.diffusion.simplex_lattice import Octave, gradient_table, octave
from anomaly_diffusion.types import Images

__all__ = ["SimplexNoise"]

DEPTHS = (1 / 24, 5 / 24)  # with their mirror images, four equally spaced ones
TOGETHER = 24  # fields
_LARGEST = 2**16  # pixels: no photograph is larger
MEMORY = 24 * 2**20  # bytes of tiles held at a time; allocators ask the system for more than 32 MB, at each call anew


class SimplexNoise(NoiseSource):
    r"""Octaves of OpenSimplex noise: clouds as large as `feature_size`, down to grain.

    field = sum_i persistence^i * simplex(x / size_i, y / size_i, z_i),   size_i = feature_size / 2^i

    Each octave is a slice of three-dimensional simplex noise at a random depth and a random shift by whole pixels, so
    that no pixel is noisier than another. Every field has gradients of its own; depths, of which there are two (every
    slice is, shifted, one with 0 <= z < 1/3), and shifts are shared by up to 24 fields that are drawn in one call.
    AnoDDPM calls the feature size "frequency". Its defaults, for 256 x 256 pixels, are these. What is kept for that
    size, once all shifts have occurred, takes 32 MB.

    Reference: Wyatt et al., "AnoDDPM", CVPR workshops 2022; Spencer, "OpenSimplex noise", 2014.

    Differs from the paper: depths and shifts are drawn, AnoDDPM takes the time step for the depth of all octaves and
    never shifts; fields are scaled to unit variance unless that is turned off.

    Args:
        octaves: how many sizes are summed, >= 1.
        persistence: amplitude of an octave relative to the one twice as large, > 0.
        feature_size: pixels per unit of the largest octave; a multiple of 2^(octaves - 1).
        unit_variance: False leaves the sum as it is, with a standard deviation of about 0.5, as AnoDDPM does: at equal
            time its images keep four times the signal-to-noise ratio.
    """

    def __init__(
        self, octaves: int = 6, persistence: float = 0.8, feature_size: int = 64, unit_variance: bool = True
    ) -> None:
        _check(octaves, persistence, feature_size)
        self.octaves, self.persistence = octaves, persistence
        self.feature_size, self.unit_variance = feature_size, unit_variance

    def __call__(self, like: Images, generator: Generator | None = None) -> Images:
        """Fields of the shape, type and device of `like`."""
        images, channels, height, width = like.shape
        canvas = _Canvas(height, width, _tile(self.feature_size >> (self.octaves - 1)), like.device)
        counts = [min(TOGETHER, images * channels - start) for start in range(0, images * channels, TOGETHER)]
        fields = [self._draw(count, canvas, generator) for count in counts]
        return torch.cat(fields or [like]).reshape(like.shape).to(like.dtype)

    def _draw(self, count: int, canvas: "_Canvas", generator: Generator | None) -> Tensor:
        """`count` fields (count, height, width), whose octaves are summed a few at a time."""
        drawn = torch.randint(2**31, (self.octaves + 1, 2), generator=generator, device=canvas.home(generator)).tolist()
        slices = [canvas.slice(self.feature_size >> level, *drawn[level]) for level in range(self.octaves)]
        even = count + count % 2  # gradients are drawn in pairs
        at_once = max(1, MEMORY // (4 * even * canvas.rows * canvas.columns * canvas.tile**2))
        amplitudes = self._amplitudes(slices)
        parts = [slice(first, first + at_once) for first in range(0, self.octaves, at_once)]
        tiles = _sum_of_tiles(slices[parts[0]], amplitudes[parts[0]], even, generator)
        for some in parts[1:]:
            tiles += _sum_of_tiles(slices[some], amplitudes[some], even, generator)
        return canvas.image(tiles.view(-1, even, canvas.tile**2)[:, :count], *drawn[-1])

    def _amplitudes(self, slices: list["_Slice"]) -> list[float]:
        amplitudes = [self.persistence**level for level in range(self.octaves)]
        power = sum(a**2 * piece.octave.variance for a, piece in zip(amplitudes, slices, strict=True))
        return [amplitude / power**0.5 for amplitude in amplitudes] if self.unit_variance else amplitudes


def _sum_of_tiles(slices: list["_Slice"], amplitudes: list[float], count: int, generator: Generator | None) -> Tensor:
    """Tiles of the sum of some octaves, in the order of the canvas: (tiles, count * tile^2)."""
    canvas = slices[0].canvas
    tiles = torch.empty(len(slices), canvas.rows * canvas.columns, count * canvas.tile**2, device=canvas.device)
    for piece, amplitude, out in zip(slices, amplitudes, tiles, strict=True):
        piece.draw(amplitude, out.view(-1, canvas.tile**2), generator)
    place = torch.stack([piece.place + number * len(piece.place) for number, piece in enumerate(slices)], dim=1)
    return functional.embedding_bag(place, tiles.flatten(0, 1), mode="sum")


@dataclass(frozen=True)
class _Canvas:
    """Tiles of `tile` x `tile` pixels, enough of them for an image at any shift below one tile."""

    height: int
    width: int
    tile: int
    device: torch.device

    @property
    def rows(self) -> int:
        return -(-(self.height + self.tile - 1) // self.tile)

    @property
    def columns(self) -> int:
        return -(-(self.width + self.tile - 1) // self.tile)

    def home(self, generator: Generator | None) -> torch.device:
        """Where random numbers are drawn."""
        return self.device if generator is None else generator.device

    def slice(self, size: int, depth: int, shift: int) -> "_Slice":
        """The octave of `size` at the depth and shift that these random numbers choose."""
        piece = octave(size, self.tile, DEPTHS[depth % len(DEPTHS)], self.device)
        return _slice(piece, self, shift % piece.shifts)

    def image(self, tiles: Tensor, y: int, x: int) -> Tensor:
        """Images (N, height, width) from tiles (rows * columns, N, tile^2), shifted."""
        y, x, count = y % self.tile, x % self.tile, tiles.shape[1]
        whole = tiles.reshape(self.rows, self.columns, count, self.tile, self.tile).permute(2, 0, 3, 1, 4)
        whole = whole.reshape(count, self.rows * self.tile, self.columns * self.tile)
        return whole[:, y : y + self.height, x : x + self.width]


class _Slice:
    """An octave on a canvas at one shift: which gradients its tiles need, kind by kind, and where the tiles are.

    The canvas adds a shift by less than a tile.
    """

    def __init__(self, octave: Octave, canvas: _Canvas, shift: int) -> None:
        self.octave, self.canvas = octave, canvas
        down, right = octave.offset(shift)
        y = (torch.arange(canvas.rows) * octave.tile + down)[:, None].expand(-1, canvas.columns)
        x = (torch.arange(canvas.columns) * octave.tile + right).expand(canvas.rows, -1)
        pitch = octave.pitch((canvas.columns + 1) * octave.tile)
        kind, row, column = (place.flatten() for place in octave.kinds(x, y))
        kind, order = kind.sort()
        self.place = order.argsort().to(canvas.device)
        present, counts = kind.unique_consecutive(return_counts=True)
        self.counts = counts.tolist()
        self.weights = [octave.weights[number] for number in present.tolist()]
        self.rows = [len(weights) for weights in self.weights]
        self._find(octave.levels * (pitch * row + column)[order], present, counts, pitch)

    def _find(self, base: Tensor, present: Tensor, counts: Tensor, pitch: int) -> None:
        """Rows of the gradients: for each kind, component of vertex by tile."""
        near = [self.octave.vertices[number] for number in present.tolist()]
        vertices = torch.tensor([len(some) for some in near])
        address = self.octave.address(torch.cat(near), pitch)
        self.lowest = lowest = int(base.min() + address.min())
        self.addresses = int(base.max() + address.max()) - lowest + 1
        length = 3 * vertices * counts
        kind = torch.arange(len(near)).repeat_interleave(length)
        inside = torch.arange(len(kind)) - (length.cumsum(0) - length)[kind]
        row, tile = inside // counts[kind], inside % counts[kind]
        first_vertex = vertices.cumsum(0) - vertices
        first_tile = counts.cumsum(0) - counts
        found = address[first_vertex[kind] + row // 3] + base[first_tile[kind] + tile] - lowest
        self.needed = (row % 3 * self.addresses + found).int().to(self.canvas.device)

    def draw(self, amplitude: float, out: Tensor, generator: Generator | None) -> None:
        """Fill `out` (tiles * count, tile^2) with the tiles of `count` fresh fields, kind by kind."""
        count = len(out) // len(self.place)
        around = self._gradients(amplitude, count, generator).index_select(0, self.needed).flatten()
        tiles = [number * count for number in self.counts]
        lengths = [number * rows for number, rows in zip(tiles, self.rows, strict=True)]
        pieces = zip(around.split(lengths), tiles, self.weights, out.split(tiles), strict=True)
        for some, number, weights, result in pieces:
            torch.mm(some.view(-1, number).t(), weights, out=result)

    def _gradients(self, amplitude: float, count: int, generator: Generator | None) -> Tensor:
        """Components of fresh gradients (3 * addresses, count), by pairs whose chances are equal to 3e-4."""
        words = self.addresses * count // 2
        bits = torch.empty(-(-words // 2), dtype=torch.int64, device=self.canvas.home(generator))
        bits = bits.random_(-(2**63), None, generator=generator).view(torch.int32)[:words]
        pair = (((bits & 0x1FFFFF) * 576) >> 21).to(self.canvas.device)
        components = torch.empty(3, words, dtype=torch.complex64, device=self.canvas.device)
        for component, table in zip(components, _pairs(self.canvas.device) * amplitude, strict=True):
            torch.index_select(table, 0, pair, out=component)
        return torch.view_as_real(components).view(-1, count)


@lru_cache(maxsize=256)
def _slice(octave: Octave, canvas: _Canvas, shift: int) -> _Slice:
    return _Slice(octave, canvas, shift)


@lru_cache(maxsize=8)
def _pairs(device: torch.device) -> Tensor:
    """Every pair of gradients, component by component, as complex numbers (3, 576)."""
    table = gradient_table().T
    return torch.complex(table.repeat_interleave(24, 1), table.repeat(1, 24)).to(device)


def _tile(finest: int) -> int:
    """Side of a tile: near eight pixels, and the finest octave times or by a power of two."""
    while finest > 12 and finest % 2 == 0:
        finest //= 2
    while finest < 6:
        finest *= 2
    return finest


def _check(octaves: int, persistence: float, feature_size: int) -> None:
    if not 1 <= octaves <= MOST_OCTAVES:
        raise ValueError(f"`octaves` must lie in [1, {MOST_OCTAVES}], got {octaves}.")
    if not 0 < persistence < math.inf:
        raise ValueError(f"`persistence` must be positive and finite, got {persistence}.")
    if feature_size < 1 or feature_size % 2 ** (octaves - 1):
        raise ValueError(
            f"`feature_size` must be a multiple of 2^(`octaves` - 1) = {2 ** (octaves - 1)}, so that the finest octave "
            f"has whole pixels and none is finer than a pixel, got {feature_size}. Choose another or fewer octaves."
        )
    if feature_size > _LARGEST:
        raise ValueError(f"`feature_size` must be at most {_LARGEST} pixels, got {feature_size}.")
