"""CPU time of a batch of noise, 8 x 3 x 256 x 256, on one thread: all sources against `opensimplex`.

python benchmarks/noise.py [--turns 9] [--gpu]

All take turns within one run (A B C A B C ...), and medians of the CPU time of this process are printed, which other
programs on the machine distort less than the wall clock. `opensimplex` draws AnoDDPM's six octaves for one field,
times 24 fields; without numba, a 16 x 16 corner, scaled up to the batch. Bars, against opensimplex with numba:
faithful simplex 14 x, spectral 28 x, bank 200 x. On a GPU, wall time after synchronising.
"""

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
import torch
from opensimplex import internals
from torch import Tensor

from anomaly_diffusion.diffusion.noise import GaussianNoise, MixtureNoise, NoiseSource
from anomaly_diffusion.diffusion.noise_bank import NoiseBank
from anomaly_diffusion.diffusion.pyramid import PyramidNoise
from anomaly_diffusion.diffusion.simplex import SimplexNoise
from anomaly_diffusion.diffusion.spectral import SpectralNoise

IMAGES, CHANNELS, SIDE = 8, 3, 256
PEER = "opensimplex"
SOURCES: dict[str, NoiseSource] = {
    "simplex, faithful": SimplexNoise(unit_variance=False),
    "simplex": SimplexNoise(),
    "spectral": SpectralNoise(),
    "pyramid": PyramidNoise(),
    "mixture of spectral and white": MixtureNoise([SpectralNoise(), GaussianNoise()], [0.7, 0.3]),
    "bank of simplex": NoiseBank(SimplexNoise()),
    "white (torch.randn)": GaussianNoise(),
}


def main() -> None:
    """Take turns, print a table."""
    options = parse()
    torch.set_num_threads(1)
    blank = torch.empty(IMAGES, CHANNELS, SIDE, SIDE)
    rivals: dict[str, Callable[[], object]] = {name: partial(source, blank) for name, source in SOURCES.items()}
    scale = dict.fromkeys(rivals, 1.0)
    numba = importlib.util.find_spec("numba") is not None
    side = SIDE if numba else 16
    rivals[PEER] = lambda: simplex(side)
    scale[PEER] = IMAGES * CHANNELS * (SIDE / side) ** 2
    times = race(rivals, options.turns, time.process_time)
    report(
        {name: value * scale[name] for name, value in times.items()}, numba, graphics(options) if options.gpu else {}
    )


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=9, help="how often each has its turn")
    parser.add_argument("--gpu", action="store_true", help="a column for the GPU, too")
    return parser.parse_args()


def race(rivals: dict[str, Callable[[], object]], turns: int, clock: Callable[[], float]) -> dict[str, float]:
    """Return the median time of each, in ms."""
    for _ in range(60):  # simplex noise keeps a matrix for each of many shifts
        rivals["simplex"]()
    for rival in rivals.values():
        rival()
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(turns):
        for name, rival in rivals.items():
            start = clock()
            rival()
            times[name].append(1000 * (clock() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def simplex(side: int) -> Tensor:
    """Draw AnoDDPM's octaves with `opensimplex`: one field of side x side pixels."""
    tables, depth = internals._init(int(torch.randint(2**31, ()))), int(torch.randint(1000, ()))
    field = np.zeros((side, side))
    for level in range(6):
        axis, z = np.arange(side) / (64 / 2**level), np.array([depth / (64 / 2**level)])
        field += 0.8**level * internals._noise3a(axis, axis, z, *tables)[0]
    return torch.from_numpy(field)


def graphics(options: argparse.Namespace) -> dict[str, float]:
    """Return the median wall time of each source on the GPU, in ms."""
    blank = torch.empty(IMAGES, CHANNELS, SIDE, SIDE, device="cuda")

    def clock() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return race({name: partial(source, blank) for name, source in SOURCES.items()}, options.turns, clock)


def report(times: dict[str, float], numba: bool, graphics: dict[str, float]) -> None:
    """Print the table."""
    print(f"{IMAGES} x {CHANNELS} x {SIDE} x {SIDE}, one thread; ratios are against opensimplex")
    print("with numba" if numba else "numba not installed: opensimplex runs without it, several hundred times slower")
    for name, value in times.items():
        gpu = f"{graphics[name]:12.2f} ms on the GPU" if name in graphics else ""
        print(f"{name:32s}{value:12.1f} ms{times[PEER] / value:10.1f} x{gpu}")


if __name__ == "__main__":
    main()
