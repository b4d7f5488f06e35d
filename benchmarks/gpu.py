"""How much of what a device can do is used: the default U-Net in training and one-shot scoring, against matmul.

    python benchmarks/gpu.py                                                       # a GPU if there is one
    python benchmarks/gpu.py --device cpu --size 256 --batch 4 --seconds 5         # the same on a CPU

Prints samples per second of training (forward, backward, fused AdamW), images per second of one-shot reconstruction
(one depth, the mean noise: one evaluation), what share of the measured ceiling either is, and the largest memory. The
ceiling is that of the largest of several square matrix products in the same precision; operations of the network are
counted by `torch.utils.flop_counter`. Noise is drawn on the device.
"""

import argparse
import resource
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import GaussianNoise, NoiseStream
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.one_shot import OneShot

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def rate(act: Callable[[], object], device: torch.device, seconds: float) -> float:
    """How often a second something can be done, after two times of warming up."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(2):
        act()
    wait()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or not count:
        for _ in range(10 if device.type == "cuda" else 1):
            act()
            count += 1
        wait()
    return count / (time.perf_counter() - start)


def ceiling(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """Operations per second of the fastest square matrix product."""
    best = 0.0
    for side in (2048, 4096, 8192) if device.type == "cuda" else (512, 1024, 2048):
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        best = max(best, 2 * side**3 * rate(lambda a=a, b=b: a @ b, device, seconds / 3))  # type: ignore[misc]
    return best


def operations(act: Callable[[], object]) -> int:
    """How many a call takes."""
    with FlopCounterMode(display=False) as counter:
        act()
    return int(counter.get_total_flops())


def memory_mb(device: torch.device) -> float:
    """The largest so far: of the GPU, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Run the benchmark."""
    options = _options()
    device, dtype = torch.device(options.device), _TYPES[options.precision]
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    backbone = UNet(width=options.width).to(device, memory_format=layout)  # type: ignore[call-overload]
    denoiser = Denoiser(backbone, CosineSchedule(), VelocityPrediction())
    objective, noise, strategy = Objective(0.05, 1.5), GaussianNoise(), OneShot([0.5], draws=0)
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-4, fused=True)
    images = torch.rand(options.batch, 3, options.size, options.size, device=device) * 2 - 1
    draw = NoiseStream(noise, list(range(options.batch)), 0)

    def cast() -> torch.autocast:
        return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with cast():
            loss = objective(denoiser, noise, images).mean()
        loss.backward()
        optimizer.step()

    @torch.inference_mode()
    def score() -> Tensor:
        with cast():
            return strategy(denoiser, images, draw).x_0

    of_train, of_score = operations(train), operations(score)
    if options.compile:
        backbone.compile()
    limit = ceiling(device, dtype, options.seconds)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    flags = " compiled" * options.compile + " channels_last" * options.channels_last
    print(f"{name}; torch {torch.__version__}; {options.precision}{flags}; U-Net of width {options.width}")
    print(f"{options.batch} images of {options.size} x {options.size} pixels; ceiling {limit / 1e12:.2f} TFLOP/s")
    for what, act, count in (("training", train, of_train), ("one-shot", score, of_score)):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        calls = rate(act, device, options.seconds)
        print(
            f"{what:9} {calls * options.batch:10.1f} images/s   {count / options.batch / 1e9:8.2f} GFLOP per image   "
            f"{100 * calls * count / limit:5.1f} % of the ceiling   {memory_mb(device):9.0f} MB"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    gpu = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if gpu else "cpu")
    parser.add_argument("--precision", choices=_TYPES, default="bf16" if gpu else "fp32")
    parser.add_argument("--size", type=int, default=256, help="side of an image in pixels")
    parser.add_argument("--batch", type=int, default=64 if gpu else 4)
    parser.add_argument("--width", type=int, default=32, help="of the U-Net; pixel.yaml has 32")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--channels_last", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
