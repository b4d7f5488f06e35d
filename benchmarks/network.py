"""Speed and learning of the default U-Net against the `UNet2DModel` of diffusers with as many parameters.

    python benchmarks/network.py --sizes 64 128 256
    python benchmarks/network.py --sizes 64 128 256 --detail 12
    python benchmarks/network.py --race 120 --sizes 64

Both networks take turns within one run (A B A B ...), and the median of the turns is printed. On a CPU, time is the CPU
time of this process, which other programs on the machine do not distort; the wall clock is printed beside it. In the
race both (with --shortcut: and both with a `LinearShortcut`) train for equal time on crops of a photograph of a brick
wall and are validated on its unseen right part.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial

import torch
from skimage import data
from torch import Generator, Tensor

from anomaly_diffusion import torchvision_import
from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.unet import Backbone, DiffusersUNet, LinearShortcut, UNet
from anomaly_diffusion.reconstruction.one_shot import OneShot

torchvision_import.install()  # before diffusers, which imports torchvision where it is installed
TURNS = 5
MILESTONES = 4
NAMES = ("ours", "diffusers")


@dataclass
class Rival:
    """A network on its way through the benchmark."""

    name: str
    backbone: Backbone
    denoiser: Denoiser
    optimizer: torch.optim.Optimizer
    options: argparse.Namespace
    objective: Objective = field(default_factory=lambda: Objective(shallowest=0.05, deepest=1.5))
    generator: Generator = field(default_factory=Generator)

    def loss(self, images: Tensor, generator: Generator) -> Tensor:
        """Mean loss, in the precision asked for."""
        with _precision(self.options):
            return self.objective(self.denoiser, GaussianNoise(), images, generator).mean()

    def train(self, images: Tensor) -> None:
        """One optimiser step."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(images, self.generator).backward()
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
        self.optimizer.step()

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> None:
        """Noise-free one-shot reconstruction."""
        with _precision(self.options):
            OneShot(depths=(0.3,))(self.denoiser, images, torch.zeros_like)

    @torch.no_grad()
    def validate(self, images: Tensor) -> float:
        """Loss with the same depths and noise at every call."""
        generator = Generator(images.device).manual_seed(1)
        self.denoiser.eval()
        losses = [float(self.loss(part, generator)) for _ in range(4) for part in images.split(32)]
        self.denoiser.train()
        return statistics.fmean(losses)


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def matching_widths(wanted: int) -> tuple[int, int, int]:
    """Widths in multiples of eight, near 1 : 2 : 4, with which diffusers has about `wanted` parameters."""

    def misfit(widths: tuple[int, int, int]) -> float:
        with torch.device("meta"):
            return abs(parameters(DiffusersUNet(widths=widths)) / wanted - 1)

    regular = min(((width, 2 * width, 4 * width) for width in range(8, 129, 8)), key=misfit)
    fine, middle, coarse = regular
    return min(((fine, middle + b, coarse + c) for b in (-8, 0, 8) for c in range(-16, 17, 8)), key=misfit)


def rivals(options: argparse.Namespace) -> list[Rival]:
    torch.manual_seed(0)
    ours = UNet(detail=options.detail)
    widths = matching_widths(parameters(ours))
    theirs = DiffusersUNet(widths=widths)
    print(f"parameters: ours {parameters(ours):,}, diffusers {parameters(theirs):,} (widths {widths})")
    return [_rival(name, network, options) for name, network in zip(NAMES, (ours, theirs), strict=True)]


def _rival(name: str, network: Backbone, options: argparse.Namespace) -> Rival:
    denoiser = Denoiser(network, CosineSchedule(), VelocityPrediction()).to(options.device)
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=options.rate, betas=(0.9, 0.99), weight_decay=0.01)
    generator = Generator(options.device).manual_seed(0)
    return Rival(name, network, denoiser, optimizer, options, generator=generator)


def _precision(options: argparse.Namespace) -> torch.autocast:
    return torch.autocast(options.device, torch.bfloat16, enabled=options.precision == "bf16")


def clock(options: argparse.Namespace) -> float:
    """Seconds of work: CPU time of this process, or wall time once a GPU has finished."""
    if options.device == "cpu":
        seconds: float = time.process_time() / options.threads
        return seconds
    torch.cuda.synchronize()
    return time.perf_counter()


def rate(work: Callable[[], None], count: int, seconds: float, options: argparse.Namespace) -> tuple[float, float]:
    """Images per second of CPU (or GPU) time and of wall time."""
    start, wall, images = clock(options), time.perf_counter(), 0
    while clock(options) - start < seconds:
        work()
        images += count
    return images / (clock(options) - start), images / (time.perf_counter() - wall)


def compare_speed(options: argparse.Namespace) -> None:
    """Print medians and their ratio for training and for one-shot reconstruction."""
    contestants = rivals(options)
    print(
        f"{'size':>4} {'batch':>5}  {'work':<20} {'ours':>9} {'diffusers':>9} {'ratio':>6}  {'ratio by wall clock':>19}"
    )
    for size in options.sizes:
        count = max(1, options.batch * 64**2 // size**2)
        images = torch.rand(count, 3, size, size, device=options.device) * 2 - 1
        for title, method in (("training samples/s", Rival.train), ("one-shot images/s", Rival.reconstruct)):
            works = [partial(method, rival, images) for rival in contestants]
            for work in works:
                work()  # warm up
            turns = [[rate(work, count, options.seconds, options) for work in works] for _ in range(TURNS)]
            (ours, ours_wall), (theirs, theirs_wall) = (_medians(turn[i] for turn in turns) for i in (0, 1))
            row = f"{size:>4} {count:>5}  {title:<20} {ours:>9.2f} {theirs:>9.2f} {ours / theirs:>6.2f}"
            print(f"{row}  {ours_wall / theirs_wall:>19.2f}", flush=True)


def _medians(pairs: Iterator[tuple[float, float]]) -> tuple[float, float]:
    first, second = zip(*pairs, strict=True)
    return statistics.median(first), statistics.median(second)


def crops(columns: slice, size: int, count: int, generator: Generator) -> Tensor:
    """Random crops of the brick wall, at half resolution, (count, 3, size, size) in [-1, 1]."""
    wall = torch.from_numpy(data.brick()).float().div(127.5).sub(1)[None, None]
    region = torch.nn.functional.avg_pool2d(wall, 2)[0, 0][:, columns]
    rows = torch.randint(region.shape[0] - size + 1, (count,), generator=generator).tolist()
    lefts = torch.randint(region.shape[1] - size + 1, (count,), generator=generator).tolist()
    parts = [region[row : row + size, left : left + size] for row, left in zip(rows, lefts, strict=True)]
    return torch.stack(parts)[:, None].repeat(1, 3, 1, 1)


def race(options: argparse.Namespace) -> None:
    """Train all for equal time, turn by turn, and print the validation loss on the way."""
    size = min(options.sizes[0], 80)  # the unseen part is 80 pixels wide
    unseen = crops(slice(176, 256), size, 64, Generator().manual_seed(2)).to(options.device)
    contestants = rivals(options)
    if options.shortcut:
        contestants += [
            _rival(f"{rival.name} + shortcut", LinearShortcut(deepcopy(rival.backbone)), options)
            for rival in contestants
        ]
    draw = Generator().manual_seed(3)
    pool = crops(slice(0, 168), size, 4096, draw).to(options.device)
    steps = dict.fromkeys((rival.name for rival in contestants), 0)
    print(
        "validation loss (steps) after seconds of training\n" + _row("seconds", [rival.name for rival in contestants])
    )
    for milestone in range(1, MILESTONES + 1):
        for rival in contestants:
            start = clock(options)
            while clock(options) - start < options.race / MILESTONES:
                rival.train(pool[torch.randint(len(pool), (options.batch,), generator=draw)])
                steps[rival.name] += 1
        cells = [f"{rival.validate(unseen):.4f} ({steps[rival.name]})" for rival in contestants]
        print(_row(f"{options.race * milestone / MILESTONES:.0f}", cells), flush=True)


def _row(head: str, cells: list[str]) -> str:
    return f"{head:>7}" + "".join(f"{cell:>22}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256], help="sides of the images, in pixels")
    parser.add_argument("--seconds", type=float, default=3.0, help=f"length of each of the {TURNS} turns")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--precision", choices=["32", "bf16"], default="32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch", type=int, default=16, help="images in a batch at 64 pixels; fewer at larger sizes")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of both networks in the race")
    parser.add_argument("--detail", type=int, default=0, help="channels of our head at full resolution; 0: none")
    parser.add_argument("--shortcut", action="store_true", help="race both with a LinearShortcut as well")
    parser.add_argument("--race", type=float, metavar="SECONDS", help="train both this long instead of measuring speed")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    race(options) if options.race else compare_speed(options)


if __name__ == "__main__":
    main()
