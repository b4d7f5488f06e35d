"""Does a prior that has seen everything but the target change what is normal? One network on the rest, one on it.

    python benchmarks/foreign_prior.py data/tile.yaml data/screw.yaml data/ball_screw.yaml data/textures.yaml

Each DATA is an experiment; the built-in textures count as one set of three photographs. For each target one network is
trained on all other sets ("foreign") and one on the target ("own"), with the same steps; then the foreign one is tuned
on the target, all of it ("full") and by low-rank additions ("lora_4", "lora_16"), for `--tuning` steps, and a new one
is trained on the target for as many ("short"), so that it is seen what the foreign start is worth. Every network
restores images of the target in one noise-free evaluation and by a walk from noise, at each depth. Measured are

    psnr, ssim       of normal images
    fine             power that is kept of periods below 8 pixels, of normal images; above 1: more than there was
    added            power of reconstructions of normal images that no blur of the images explains, per power of the
                     images: what was added where nothing was
    copied           share of painted defects that reconstructions keep
    pixel_ap, aupro  of the absolute difference, smoothed by a pixel, on test images

Writes figures.csv, figures.json (with settings) and figures.png. One seed shows no more than one seed: take three.
"""

import argparse
import csv
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from anomaly_diffusion import api, files  # noqa: F401 # api loads Lightning as the command line does
from anomaly_diffusion.baselines.pipeline import library
from anomaly_diffusion.cli.parsing.arguments import experiments_folder
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.layouts import folder, loco, mvtec, textures  # noqa: F401 # named by experiments
from anomaly_diffusion.detectors.learning_rate import warmup_then_cosine
from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import GaussianNoise, NoiseStream
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.measures.fidelity import kept_share, psnr, ssim
from anomaly_diffusion.measures.spectra import radial_spectrum, retained, window
from anomaly_diffusion.metrics.anomaly import PixelMetrics
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.scoring.smoothing import GaussianSmoothing
from anomaly_diffusion.types import ImageBatch, Images, Masks

DEPTHS = (0.2, 0.5, 1.0, 2.0)
STRATEGIES = {"one-shot": OneShot(DEPTHS, draws=0), "walk": PartialDiffusion(DEPTHS, steps=5)}
FIGURES = {
    "psnr": "PSNR on normals, dB", "ssim": "SSIM on normals", "fine": "fine power kept", "added": "power added",
    "copied": "defect copied", "pixel_ap": "pixel AP", "aupro": "AUPRO",
}  # fmt: skip
RINGS = 16


class Target(NamedTuple):
    """What a set is trained and judged with.

    Attributes:
        train: normal images to learn from.
        normal: held-out normal images.
        painted: held-out images with painted defects.
        clean: the same without.
        test: test images, normal and defective.
    """

    train: Images
    normal: ImageBatch
    painted: ImageBatch
    clean: Images
    test: ImageBatch


def read(name: str, side: int, most: int) -> Target:
    """The images of an experiment of data; of textures all three photographs, a third of the images each.

    Args:
        name: experiment, such as data/tile.yaml.
        side: of square frames, in pixels.
        most: images of each kind but for training.
    """
    if "textures" not in name:
        return _target(module(name, side), most)
    parts = [_target(module(name, side, texture), most // 3) for texture in ("brick", "grass", "gravel")]
    return Target(*(_joined([part[place] for part in parts]) for place in range(len(Target._fields))))


def module(name: str, side: int, texture: str | None = None) -> AnomalyDataModule:
    """The data module that an experiment describes, at another size."""
    settings = files.read_mapping(experiments_folder() / name)["data"] | {"image_size": [side, side]}
    if texture:
        settings["dataset"]["init_args"]["texture"] = texture
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(AnomalyDataModule, "data", fail_untyped=False)
    made: AnomalyDataModule = parser.instantiate(parser.parse_object({"data": settings})).data
    return made


def _target(data: AnomalyDataModule, most: int) -> Target:
    data.setup("fit")
    data.setup("test")
    train = torch.cat([batch.image for batch in data.normal_batches()])
    held_out, test = (_joined(list(loader)) for loader in (data.val_dataloader(), data.test_dataloader()))
    painted = _some(held_out, held_out.label, most)
    clean = data.unpainted(painted.path)
    if clean is None:
        raise ValueError("Held-out images must be there without their painted defects, too.")
    known = ~test.label | test.mask.flatten(1).any(1)
    either = [_some(test, known & (test.label == label), most // 2) for label in (False, True)]
    return Target(train, _some(held_out, ~held_out.label, most), painted, clean, _joined(either))


def _joined(parts: list[Any]) -> Any:
    """Images, or batches, as one."""
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    columns = zip(*parts, strict=True)
    return ImageBatch(*(_column(list(column)) for column in columns))


def _column(values: list[Any]) -> Any:
    if values[0] is None:
        return None
    return torch.cat(values) if isinstance(values[0], Tensor) else [item for value in values for item in value]


def _some(batch: ImageBatch, among: Tensor, most: int) -> ImageBatch:
    """At most so many of the images that are chosen, evenly."""
    places = among.nonzero()[:, 0]
    return batch.rows(places[torch.linspace(0, len(places) - 1, min(most, len(places))).long()])


def network(width: int) -> Denoiser:
    """A new denoiser, the same for every arm."""
    backbone = UNet(width=width, multipliers=(1, 2, 4), detail=12)
    return Denoiser(backbone, CosineSchedule(), VelocityPrediction())


def train(denoiser: Denoiser, sets: list[Images], steps: int, options: argparse.Namespace) -> Denoiser:
    """Train what can be trained on batches whose images come from each set alike, mirrored at random."""
    learnt = [weight for weight in denoiser.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=options.rate, betas=(0.9, 0.99), weight_decay=0.01)
    schedule, objective = warmup_then_cosine(optimizer, steps), Objective(0.05, 2.5)
    generator = torch.Generator().manual_seed(options.seed)
    denoiser.train()
    for images in batches(sets, options.batch, steps, generator):
        optimizer.zero_grad()
        objective(denoiser, GaussianNoise(), images, generator).mean().backward()
        optimizer.step()
        schedule.step()
    return denoiser.eval()


def batches(sets: list[Images], size: int, steps: int, generator: torch.Generator) -> Iterator[Images]:
    """Batches of images drawn from sets that count alike, however large."""
    for _ in range(steps):
        chosen = torch.randint(len(sets), (size,), generator=generator).tolist()
        images = [sets[one][int(torch.randint(len(sets[one]), (), generator=generator))] for one in chosen]
        batch = torch.stack(images)
        yield batch.flip(3) if torch.rand((), generator=generator) < 0.5 else batch


def with_additions(denoiser: Denoiser, rank: int) -> Denoiser:
    """A copy whose convolutions and linear layers get low-rank additions, which alone can be trained."""
    peft, copy = library("peft"), deepcopy(denoiser)
    layers = [name for name, layer in copy.backbone.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=layers)
    peft.inject_adapter_in_model(config, copy.backbone)
    return copy


def arms(sets: Mapping[str, Target], name: str, options: argparse.Namespace) -> Iterator[tuple[str, Denoiser]]:
    """Every network for a target, named, as soon as it is trained."""
    own, others = [sets[name].train], [one.train for other, one in sets.items() if other != name]
    torch.manual_seed(options.seed)
    start = network(options.width)
    yield "own", train(deepcopy(start), own, options.steps, options)
    yield "short", train(deepcopy(start), own, options.tuning, options)
    foreign = train(deepcopy(start), others, options.steps, options)
    yield "foreign", foreign
    for rank in options.ranks:
        yield f"lora_{rank}", train(with_additions(foreign, rank), own, options.tuning, options)
    yield "full", train(deepcopy(foreign), own, options.tuning, options)


@torch.no_grad()
def measured(denoiser: Denoiser, target: Target, seed: int) -> Iterator[dict[str, Any]]:
    """A row of figures for each strategy and depth."""
    for name, strategy in STRATEGIES.items():

        def restored(batch: ImageBatch, strategy: Any = strategy) -> Tensor:
            draw = NoiseStream(GaussianNoise(), batch.key.tolist(), seed)
            found: Tensor = strategy(denoiser, batch.image, draw).x_0.clamp(-1, 1)
            return found

        normal, painted, test = (restored(batch) for batch in (target.normal, target.painted, target.test))
        kept = copied(target, painted)
        for place, depth in enumerate(DEPTHS):
            of_normals = fidelity(target.normal, normal[:, place])
            found = alignment(target.test, test[:, place])
            yield {"strategy": name, "depth": depth, **of_normals, "copied": float(kept[place]), **found}


def copied(target: Target, painted: Tensor) -> Tensor:
    """Share of the painted defects that reconstructions of each depth (B, D, C, H, W) keep; strong ones count more."""
    image, mask = target.painted.image, target.painted.mask
    kept = kept_share(target.clean, image, painted, mask)
    energy = ((image - target.clean) * mask).square().sum((1, 2, 3))[:, None]
    return (kept.nan_to_num() * energy).sum(0) / energy.sum()


def fidelity(batch: ImageBatch, rebuilt: Images) -> dict[str, float]:
    """How like normal images are to their reconstructions."""
    image, valid = batch.image, batch.valid
    powers = [radial_spectrum(one, valid) for one in (image, rebuilt)]
    return {
        "psnr": float(psnr(image, rebuilt, valid).mean()),
        "ssim": float(ssim(image, rebuilt, valid).mean()),
        "fine": float(retained(*(power.mean(0) for power in powers))[2]),
        "added": added_power(image, rebuilt, valid),
    }


def added_power(image: Images, rebuilt: Images, valid: Masks) -> float:
    """Power of reconstructions that is coherent with no linear filter of the images, per power of the images.

    On each ring of frequencies, over all images, rebuilt = H * image + added, with the H that explains most; a blur is
    an H below 1 and adds nothing. What a denoiser does here but not there counts as added too.
    """
    grey, seen = (one.mean(1, keepdim=True) for one in (image, rebuilt))
    w = window(valid).to(grey)
    x, r = (
        torch.fft.fft2((one - (one * w).sum((2, 3), keepdim=True) / w.sum((2, 3), keepdim=True)) * w)
        for one in (grey, seen)
    )
    rows, columns = (torch.fft.fftfreq(side) for side in grey.shape[-2:])
    ring = ((rows[:, None].square() + columns.square()).sqrt() * 2 * RINGS).long().clamp(max=RINGS).flatten()

    def summed(values: Tensor) -> Tensor:
        total = values.sum((0, 1)).flatten()
        return total.new_zeros(RINGS + 1).index_add_(0, ring, total)[:RINGS]

    image_power, rebuilt_power = summed(x.abs().square()), summed(r.abs().square())
    explained = summed(r * x.conj()).abs().square() / image_power.clamp(min=1e-9)
    return float((rebuilt_power - explained).clamp(min=0).sum() / image_power.sum())


def alignment(batch: ImageBatch, rebuilt: Images) -> dict[str, float]:
    """How well absolute differences find defects."""
    residual = GaussianSmoothing(1.0)((batch.image - rebuilt).abs().mean(1, keepdim=True))
    metric = PixelMetrics()
    metric.update(residual, batch.mask, batch.valid)
    found = metric.compute()
    return {"pixel_ap": float(found.ap), "aupro": float(found.aupro)}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """A panel for each figure and target: a line for each arm, dashed for walks."""
    from matplotlib.figure import Figure

    targets, shown = sorted({row["target"] for row in rows}), [one for one in FIGURES if one not in ("ssim", "aupro")]
    names = list(dict.fromkeys(row["arm"] for row in rows))
    drawing = Figure(figsize=(3.2 * len(shown), 2.7 * len(targets) + 0.5), dpi=90)
    panels = drawing.subplots(len(targets), len(shown), squeeze=False)
    for line, target in zip(panels, targets, strict=True):
        for axes, figure in zip(line, shown, strict=True):
            for place, arm in enumerate(names):
                for strategy, style in zip(STRATEGIES, ("o-", "s--"), strict=True):
                    mine = [
                        row for row in rows if (row["target"], row["arm"], row["strategy"]) == (target, arm, strategy)
                    ]
                    values = [mean_of(mine, depth, figure) for depth in DEPTHS]
                    axes.plot(DEPTHS, values, style, ms=3, lw=1.2, color=f"C{place}", label=f"{arm}, {strategy}")
            axes.set(xscale="log", yscale="log" if figure in ("fine", "added") else "linear")
            axes.set_xticks(DEPTHS, [f"{depth:g}" for depth in DEPTHS], fontsize=8)
            axes.minorticks_off()
            axes.set_title(f"{target}: {FIGURES[figure]}", fontsize=9)
            axes.grid(alpha=0.25)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="lower center", ncols=len(names), fontsize=8, frameon=False)
    drawing.supxlabel("depth, sigma / alpha", fontsize=9, y=0.09 / len(targets) + 0.03)
    drawing.tight_layout(rect=(0, 0.12 / len(targets) + 0.03, 1, 1))
    drawing.savefig(path)


def mean_of(rows: list[dict[str, Any]], depth: float, figure: str) -> float:
    """Mean of a figure over seeds."""
    values = [float(row[figure]) for row in rows if row["depth"] == depth]
    return sum(values) / len(values) if values else float("nan")


def write(rows: list[dict[str, Any]], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Write what is measured so far; rows of other seeds and targets stay. Returns all of them."""
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    before = output / "figures.json"
    old = json.loads(before.read_text())["rows"] if before.is_file() else []
    anew = {(row["seed"], row["target"]) for row in rows}
    rows = [row for row in old if (row["seed"], row["target"]) not in anew] + rows
    files.write(before, json.dumps({"settings": vars(options), "rows": rows}, indent=1))
    with (output / "figures.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def main() -> None:
    """Train and measure all arms of all targets."""
    options = parse()
    torch.manual_seed(options.seed)  # which the order and mirroring of training images depend on
    sets = {Path(name).stem: read(name, options.side, options.images) for name in options.data}
    if len(sets) < 2:
        raise SystemExit("error: `data` must name at least two sets: one of them is foreign to the other.")
    unknown = [target for target in options.targets or () if target not in sets]
    if unknown:
        raise SystemExit(f"error: `--targets` must be among {', '.join(sets)}, got {unknown[0]}.")
    rows: list[dict[str, Any]] = []
    for target in options.targets or sets:
        for arm, denoiser in arms(sets, target, options):
            told = {"seed": options.seed, "target": target, "arm": arm}
            new = [told | row for row in measured(denoiser, sets[target], options.seed)]
            rows += new
            for row in new:
                print(
                    " ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()),
                    flush=True,
                )
            drawn = write(rows, options)
        draw(drawn, Path(options.output) / "figures.png")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="experiments of data, such as data/tile.yaml")
    parser.add_argument("--targets", nargs="*", help="names of sets, such as tile; all if none is named")
    parser.add_argument("--steps", type=int, default=400, help="of training from nothing")
    parser.add_argument("--tuning", type=int, default=100, help="steps of tuning, and of the short training")
    parser.add_argument("--ranks", type=int, nargs="*", default=[4, 16], help="of the low-rank additions")
    parser.add_argument("--width", type=int, default=16, help="of the U-Net")
    parser.add_argument("--side", type=int, default=64, help="of the frames, in pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--images", type=int, default=24, help="of each kind, at most, to measure on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--output", default="runs/foreign_prior", help="folder; rows of other seeds and targets in it are kept"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
