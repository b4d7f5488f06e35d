"""What the recipes of papers cost, computed: weights, operations and hours of one GPU. Nothing is run, none is needed.

    python benchmarks/recipes.py                     # all of experiments/published
    python benchmarks/recipes.py ddad thor --tflops 400

Networks are built without memory and counted by `torch.utils.flop_counter`, as benchmarks/gpu.py counts those it times;
a step of training is three times an evaluation. Hours are for one category as large as the mean of MVTec AD, 242 images
to train on and 115 to judge, at a speed that is assumed and not measured. Frozen networks, validation and the reading
of images are left out. Once benchmarks/gpu.py has told how fast a device is, give that to --tflops.
"""

import argparse
import importlib
import math
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from gpu import operations
from jsonargparse import ArgumentParser
from torch import nn

from anomaly_diffusion import reconstruction, torchvision_import
from anomaly_diffusion.baselines import strength  # noqa: F401 # depths that a recipe names
from anomaly_diffusion.cli.parsing.arguments import experiments_folder
from anomaly_diffusion.networks.transformer import DiffusionTransformer
from anomaly_diffusion.networks.unet import DiffusersUNet
from anomaly_diffusion.reconstruction.strategy import Reconstruction

torchvision_import.install()
TRAINING, TESTED = 242, 115  # images of a category of MVTec AD, in the mean
TFLOPS = 100.0  # assumed
_NETWORKS = {one.__name__: one for one in (DiffusersUNet, DiffusionTransformer)}
_STRIDE = {"LatentDetector": 8, "InvAD": 16, "LoRADetector": 8}  # pixels from one position of model space to the next


@dataclass(frozen=True)
class Cost:
    """What a recipe takes.

    Attributes:
        weights: of the network that denoises.
        forward: operations of one evaluation of one image.
        samples: images seen in training, each as often as it is seen.
        nfe: evaluations that an image takes in scoring.
    """

    weights: int
    forward: int
    samples: int
    nfe: int

    def hours(self, tflops: float = TFLOPS) -> tuple[float, float]:
        """Hours of training, and of judging the test images, at so many 10^12 operations a second."""
        rate = tflops * 1e12 * 3600
        return 3 * self.forward * self.samples / rate, self.nfe * self.forward * TESTED / rate


def recipes() -> list[Path]:
    """The files, by name."""
    return sorted((experiments_folder() / "published").glob("*.yaml"))


def cost(path: Path) -> Cost:
    """What the recipe in a file takes."""
    recipe = yaml.safe_load(path.read_text())
    model, data = recipe["model"], recipe["data"]
    network, channels = network_of(model)
    side = data["image_size"][0] // _STRIDE.get(model["class_path"], 1)
    with torch.device("meta"):
        x_t, t = torch.zeros(1, channels, side, side), torch.full((1,), 0.5)
        told = (torch.zeros(1, 77, 768),) if model["class_path"] == "LoRADetector" else ()
    count = sum(weight.numel() for weight in network.parameters())
    return Cost(count, operations(lambda: network(x_t, t, *told)), samples(recipe), evaluations(model))


def network_of(model: dict[str, Any]) -> tuple[nn.Module, int]:
    """The network of a recipe without memory, and the channels of what it works on."""
    parts = model["init_args"]
    with torch.device("meta"):
        if "backbone" not in parts:
            from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

            return UNet2DConditionModel(cross_attention_dim=768), 4  # that of Stable Diffusion 1
        channels = parts.get("components", parts["backbone"]["init_args"].get("channels", 3))
        given = {**parts["backbone"]["init_args"], "channels": channels}
        return _NETWORKS[parts["backbone"]["class_path"]](**given), channels


def samples(recipe: dict[str, Any]) -> int:
    """Images seen in training."""
    trainer, batch = recipe["trainer"], recipe["data"]["batch_size"]
    if trainer["max_steps"] > 0:
        return int(trainer["max_steps"] * batch)
    return int(trainer["max_epochs"] * math.ceil(TRAINING / batch) * batch)


def evaluations(model: dict[str, Any]) -> int:
    """Evaluations that an image takes in scoring."""
    parts = model["init_args"]
    if "reconstruction" not in parts:
        return int(parts["steps"]) + 1  # InvAD, and the picture
    for room in pkgutil.iter_modules(reconstruction.__path__, f"{reconstruction.__name__}."):
        importlib.import_module(room.name)  # a recipe names classes without their modules
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--reconstruction", type=Reconstruction)
    given = parser.parse_object({"reconstruction": parts["reconstruction"]})
    strategy: Reconstruction = parser.instantiate(given).reconstruction
    guided = parts.get("pipeline", {}).get("guidance", 1.0) != 1
    return int(strategy.evaluations * len(strategy.depths) * (1 + guided))


def size_line(found: Cost) -> str:
    """What the head of a recipe says of its size."""
    return f"{found.weights / 1e6:.1f} M weights, {found.forward / 1e9:.0f} GFLOP an evaluation of an image"


def cost_line(found: Cost, tflops: float = TFLOPS) -> str:
    """What the head of a recipe says of its cost."""
    train, test = (f"{hours:.2g}" for hours in found.hours(tflops))
    return (
        f"{train} GPU hours to train, {test} to judge by {found.nfe} NFE: computed, a category of {TRAINING} images, "
        f"{tflops:.0f} TFLOP/s"
    )


def main() -> None:
    """Print a row for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes; all if none is named")
    parser.add_argument("--tflops", type=float, default=TFLOPS, help="10^12 operations a second")
    options = parser.parse_args()
    print(f"computed, not measured: one category, {options.tflops:.0f} TFLOP/s")
    for path in recipes():
        if not options.names or path.stem in options.names:
            found = cost(path)
            print(f"{path.stem:12} {size_line(found)}; {cost_line(found, options.tflops)}", flush=True)


if __name__ == "__main__":
    main()
