"""Speed of exported files on one core, against torch, and against anomalib's PaDiM and PatchCore exported likewise.

    python benchmarks/inference.py runs/feature-screw/001 runs/patchcore-screw/001 --batch 1
    python benchmarks/inference.py runs/feature-screw/001 --start_up photograph.png

Runs must have been exported. Engines take turns (A B C A B C ...); medians are printed, and the median of the paired
ratios. anomalib's models have the same backbone and frame as the first run, random weights and as many patches in
memory as `--memory`, none of which changes their speed; where anomalib is not installed they are left out.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from anomaly_diffusion import api, torchvision_import
from anomaly_diffusion.deploy.exporting.formats import silence
from anomaly_diffusion.deploy.exporting.graph import JudgingGraph
from anomaly_diffusion.runs.record import Run
from anomaly_diffusion.runtime import OnnxEngine, OpenVINOEngine
from anomaly_diffusion.runtime.description import Description

Turn = Callable[[], object]
LAYERS = ["blocks.1", "blocks.2", "blocks.4"]  # of timm's MobileNetV2: features.3, .6 and .13 of torchvision's


def engines(folder: Path, batch: int) -> dict[str, Turn]:
    """What judges random frames by a run, by name."""
    file = folder / "exported.onnx"
    onnx = OnnxEngine(file, threads=1)
    told = Description.read(onnx.description, file.name)
    image, valid = frames(batch, (*told.frame, told.channels))
    graph = JudgingGraph(api.load(Run(folder))).eval()
    tensors = torch.from_numpy(image), torch.from_numpy(valid)
    found: dict[str, Turn] = {"torch": lambda: graph(*tensors), "ONNX Runtime": lambda: onnx(image, valid)}
    try:
        exact, short = OpenVINOEngine(file, threads=1), OpenVINOEngine(file, threads=1, bfloat16=True)
    except ImportError as error:
        print(f"  without OpenVINO: {error}")
        return found
    away = np.abs(short(image, valid).maps - onnx(image, valid).maps).max()
    print(f"  bfloat16 moves a map of noise by up to {away:.2g} standard deviations")
    return found | {"OpenVINO": lambda: exact(image, valid), "OpenVINO bf16": lambda: short(image, valid)}


def frames(batch: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Random photographs and their valid pixels."""
    image = np.random.default_rng(0).integers(0, 255, (batch, *shape), dtype=np.uint8)
    return image, np.ones(image.shape[:3], bool)


def rivals(frame: tuple[int, int], batch: int, memory: int) -> dict[str, Turn]:
    """Anomalib's models, exported to ONNX, in ONNX Runtime."""
    try:
        torchvision_import.install()
        with silence():
            from anomalib.models.image.padim.torch_model import PadimModel
            from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    except ImportError as error:
        print(f"  without anomalib: {error}")
        return {}
    patchcore = PatchcoreModel(LAYERS, "mobilenetv2_100", pre_trained=False).eval()
    padim = PadimModel("mobilenetv2_100", LAYERS, pre_trained=False, n_features=100).eval()
    image = torch.rand(batch, 3, *frame)
    with silence():
        patchcore.memory_bank = torch.rand(memory, patchcore.feature_extractor(image)[LAYERS[0]].shape[1] + 32 + 96)
        positions = torch.Size(padim.feature_extractor(image)[LAYERS[0]].shape[-2:]).numel()
    padim.gaussian.mean = torch.rand(100, positions)
    padim.gaussian.inv_covariance = torch.rand(positions, 100, 100)
    return {"anomalib PatchCore": in_onnx(patchcore, image), "anomalib PaDiM": in_onnx(padim, image)}


def in_onnx(model: torch.nn.Module, image: torch.Tensor) -> Turn:
    """A model in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    with tempfile.TemporaryDirectory() as folder, silence(), torch.no_grad():
        path = str(Path(folder) / "model.onnx")
        torch.onnx.export(model, (image,), path, dynamo=True, external_data=False, verbose=False)
        runner = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {runner.get_inputs()[0].name: image.numpy()}
    return lambda: runner.run(None, given)


def seconds(turn: Turn) -> float:
    """How long one turn takes."""
    start = time.perf_counter()
    turn()
    return time.perf_counter() - start


def compare(turns: dict[str, Turn], first: str, batch: int, count: int) -> None:
    """Let all take turns, and print their speed beside that of `first`."""
    for turn in turns.values():
        turn()
    taken = [{name: seconds(turn) for name, turn in turns.items()} for _ in range(count)]
    for name in turns:
        median = statistics.median(row[name] for row in taken) / batch
        ratio = statistics.median(row[first] / row[name] for row in taken)
        print(f"  {name:34} {1000 * median:8.1f} ms/image {1 / median:8.1f} images/s {ratio:6.2f} x {first}")


def start_up(folder: Path, photograph: Path) -> None:
    """Seconds from a command to its first verdict, by file and by run."""
    inspectors = {
        "file": f"anomaly_diffusion.runtime import ExportedInspector as I; i = I({str(folder / 'exported.onnx')!r})",
        "run": f"anomaly_diffusion.deploy.inspector import Inspector as I; i = I({str(folder)!r})",
    }
    for name, code in inspectors.items():
        command = [sys.executable, "-c", f"from {code}; i({str(photograph)!r})"]
        taken = [seconds(lambda: subprocess.run(command, check=True)) for _ in range(5)]  # noqa: B023
        print(f"  start-up by {name}: {statistics.median(taken):.2f} s, at best {min(taken):.2f} s")


def main() -> None:
    """Measure every run, then all files beside the rivals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", type=Path, nargs="+", help="exported runs")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--memory", type=int, default=2048, help="patches in anomalib's memory")
    parser.add_argument("--start_up", type=Path, help="a photograph: measure the start of a process as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    files: dict[str, Turn] = {}
    with torch.inference_mode():
        for folder in options.runs:
            print(f"{folder}, batches of {options.batch}")
            turns = engines(folder, options.batch)
            compare(turns, "torch", options.batch, options.turns)
            files[f"ours, {folder.parent.name}"] = turns["ONNX Runtime"]
            if options.start_up:
                start_up(folder, options.start_up)
        told = Description.read(OnnxEngine(options.runs[0] / "exported.onnx").description, "the file")
    others = rivals(told.frame, options.batch, options.memory)
    if others:
        print("files in ONNX Runtime, side by side")
        compare(files | others, "anomalib PatchCore", options.batch, options.turns)


if __name__ == "__main__":
    main()
