"""OpenSimplex noise as a sum over its lattice, cut into tiles that repeat.

The value at a point p is the sum over every lattice vertex v of attenuation * (gradient(v) . (p - v)) / 103, where
attenuation = max(0, 2 - |p - v|^2)^4. Vertices are (i, j, k) + (i + j + k) / 3, a face-centred cubic lattice of one
vertex per volume 2; about six reach a point. A slice of fixed depth repeats under (1, -1) and (6, 0), whatever the
gradients: what a tile of pixels takes from the gradients near it is one of a few matrices, and those can be kept.

Reference: Spencer, "OpenSimplex noise in Java", 2014 (the `noise3` of the `opensimplex` package).
"""

from functools import lru_cache
from itertools import product

import torch
from torch import Tensor

__all__ = ["PERIOD", "Octave", "contributions", "gradient_table", "octave", "vertices_near"]

PERIOD = 6
REACH = 2**0.5
NORM = 103.0
GRADIENT_VARIANCE = 51.0  # of each component; the components are uncorrelated


def gradient_table() -> Tensor:
    """The 24 gradients, (24, 3): the permutations of (+-11, +-4, +-4)."""
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=3)))
    return torch.cat(
        [signs * torch.tensor([4.0, 4.0, 4.0]).index_fill(0, torch.tensor(axis), 11.0) for axis in range(3)]
    )


def vertices_near(box: tuple[float, float, float, float], depth: float) -> Tensor:
    """Vertices (K, 3), as whole numbers i, j, k, that reach the rectangle (left, top, right, bottom) at z = depth."""
    left, top, right, bottom = box
    # 3 * world coordinates are whole numbers a, b, c; they are a vertex where i = a/3 - (i + j + k)/3 is whole
    low = [int(3 * (edge - REACH)) - 1 for edge in (left, top, depth)]
    high = [int(3 * (edge + REACH)) + 2 for edge in (right, bottom, depth)]
    axes = [torch.arange(start, stop) for start, stop in zip(low, high, strict=True)]
    thirds = torch.cartesian_prod(*axes)
    total = thirds.sum(-1)  # 6 * (i + j + k)
    whole = (total % 6 == 0) & ((thirds - (total // 6)[:, None]) % 3 == 0).all(-1)
    thirds = thirds[whole]
    nearest = thirds.double() / 3
    edges = torch.tensor([[left, top, depth], [right, bottom, depth]], dtype=torch.float64)
    reached = (nearest - nearest.clamp(edges[0], edges[1])).square().sum(-1) < REACH**2
    return (thirds[reached] - (thirds[reached].sum(-1) // 6)[:, None]) // 3


def contributions(vertices: Tensor, x: Tensor, y: Tensor, depth: float) -> Tensor:
    """What each component of each vertex's gradient adds to points (x, y), each (P), at z = depth: (3 * K, P)."""
    world = vertices.double() + vertices.sum(-1, keepdim=True) / 3
    points = torch.stack([x.double(), y.double(), torch.full_like(x, depth, dtype=torch.float64)])
    offset = points[None] - world[:, :, None]  # (K, 3, P)
    attenuation = (2 - offset.square().sum(1, keepdim=True)).clamp(min=0) ** 4
    return (attenuation * offset / NORM).flatten(0, 1)


class Octave:
    """One octave of simplex noise at one depth: the kinds of tiles there are, and the matrix of each.

    A vertex has an address: levels * (pitch * row + column) + level, where row and column count the repeats of the
    slice and level is its height. Rows run on into one another, so a shift of the slice by one repeat adds a constant.

    Args:
        size: pixels per unit of the lattice.
        tile: pixels per side of a tile; `size` times or by a whole number.
        depth: z of the slice; by symmetry every slice is one with 0 <= z < 1/3, shifted.
    """

    def __init__(self, size: int, tile: int, depth: float) -> None:
        self.size, self.tile, self.depth = size, tile, depth
        self.step = min(tile, size)
        self.across, self.down = PERIOD * size // self.step, size // self.step
        self.lowest = int(3 * (depth - REACH)) - 1
        self.levels = int(3 * (depth + REACH)) + 2 - self.lowest
        corners = [(x, y) for y in range(self.down) for x in range(self.across)]
        self.vertices = [self._near(x, y) for x, y in corners]
        self.weights = [self._weights(near, x, y) for near, (x, y) in zip(self.vertices, corners, strict=True)]
        self.stride = max(size // 2, self.step)
        self.shifts = PERIOD * (size // self.stride) ** 2
        power = sum(float(weights.double().square().sum(0).mean()) for weights in self.weights)
        self.variance = GRADIENT_VARIANCE * power / len(self.weights)

    def offset(self, shift: int) -> tuple[int, int]:
        """Pixels down and right that a shift from 0 to `shifts` stands for: half units, but no less than a tile."""
        down, right = divmod(shift, PERIOD * self.size // self.stride)
        return down * self.stride, right * self.stride

    def kinds(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Kind, row and column of the tiles whose upper left pixels are (x, y)."""
        row = y // self.size
        x = x + self.size * row
        kind = y % self.size // self.step * self.across + x % (PERIOD * self.size) // self.step
        return kind, row, x // (PERIOD * self.size)

    def address(self, vertices: Tensor, pitch: int) -> Tensor:
        """Address of each vertex (K, 3)."""
        thirds = 3 * vertices + vertices.sum(-1, keepdim=True)
        row = thirds[:, 1] // 3
        column = (thirds[:, 0] + 3 * row) // (3 * PERIOD)
        return self.levels * (pitch * row + column) + thirds[:, 2] - self.lowest

    def pitch(self, width: int) -> int:
        """Repeats per row that a canvas of `width` pixels needs for each vertex to have an address of its own."""
        return int((width / self.size + 2 * REACH) // PERIOD) + 2

    def _near(self, x: int, y: int) -> Tensor:
        left, top, side = x * self.step / self.size, y * self.step / self.size, (self.tile - 1) / self.size
        return vertices_near((left, top, left + side, top + side), self.depth)

    def _weights(self, vertices: Tensor, x: int, y: int) -> Tensor:
        """(3 * K, tile * tile), row by row."""
        place = torch.arange(self.tile)
        across, down = (place + x * self.step) / self.size, (place + y * self.step) / self.size
        points = across.repeat(self.tile), down.repeat_interleave(self.tile)
        return contributions(vertices, *points, self.depth).float()


@lru_cache(maxsize=64)
def octave(size: int, tile: int, depth: float, device: torch.device) -> Octave:
    """The octave of these settings, kept with its matrices on a device."""
    kept = Octave(size, tile, depth)
    kept.weights = [weights.to(device) for weights in kept.weights]
    return kept
