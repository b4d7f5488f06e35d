"""Frozen networks with random weights: small, and in the format of the genuine ones."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from analytic import TinyFeatures, seeded
from safetensors.torch import save_file
from torch import Tensor

from anomaly_diffusion.scoring.perceptual import LPIPSResidual

__all__ = ["TinyFeatures", "lpips_weights", "random_lpips", "taef2_weights"]

TRUNK = {
    "slice1.0": (64, 3, 11, 11),
    "slice2.5": (192, 64, 5, 5),
    "slice3.9": (384, 192, 3, 3),
    "slice4.11": (256, 384, 3, 3),
    "slice5.13": (256, 256, 3, 3),
}
BLURS = {"slice1.1": 64, "slice2.4": 64, "slice3.8": 192}


def lpips_weights(seed: int = 0) -> dict[str, Tensor]:
    """Random weights, named as in stlpips_alex.safetensors."""
    generator, state = seeded(seed), {}
    for number, (name, shape) in enumerate(TRUNK.items()):
        fan_in = shape[1] * shape[2] * shape[3]
        state[f"net.{name}.weight"] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        state[f"net.{name}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
        state[f"lin{number}.model.1.weight"] = torch.rand(1, shape[0], 1, 1, generator=generator)
    binomial = torch.tensor([1.0, 2.0, 1.0]) / 4
    for name, channels in BLURS.items():
        state[f"net.{name}.filt"] = torch.outer(binomial, binomial).repeat(channels, 1, 1, 1)
    state["scaling_layer.shift"] = torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1)
    state["scaling_layer.scale"] = torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1)
    return state


def random_lpips(seed: int = 0, scale: int = 1) -> LPIPSResidual:
    """LPIPS that no one has trained."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stlpips_alex.safetensors"
        save_file(lpips_weights(seed), path)
        return LPIPSResidual(str(path), scale)


def taef2_weights(seed: int = 0) -> dict[str, Tensor]:
    """Random weights, named as in taef2_fp16.safetensors."""
    generator, state = seeded(seed), {}

    def conv(name: str, out: int = 64, into: int = 64, side: int = 3, bias: bool = True) -> None:
        fan_in = into * side**2
        state[f"{name}.weight"] = (torch.randn(out, into, side, side, generator=generator) / fan_in**0.5).half()
        if bias:
            state[f"{name}.bias"] = torch.zeros(out).half()

    def block(name: str, pooled: bool) -> None:
        for layer in (0, 2, 4):
            conv(f"{name}.conv.{layer}")
        if pooled:
            conv(f"{name}.pool.0", 256, side=1, bias=False)
            state[f"{name}.pool.1.weight"] = torch.ones(256).half()
            state[f"{name}.pool.1.bias"] = torch.zeros(256).half()
            conv(f"{name}.pool.3", into=256, side=1, bias=False)

    conv("encoder.0", into=3)
    for layer in (2, 6, 10):
        conv(f"encoder.{layer}", bias=False)
    for layer in (1, 3, 4, 5, 7, 8, 9, 11, 12, 13):
        block(f"encoder.{layer}", layer > 10)
    conv("encoder.14", out=32)
    conv("decoder.1", into=32)
    for layer in (3, 4, 5, 8, 9, 10, 13, 14, 15, 18):
        block(f"decoder.{layer}", layer < 6)
    for layer in (7, 12, 17):
        conv(f"decoder.{layer}", bias=False)
    conv("decoder.19", out=3)
    return state
