"""Speed of exported files on one core, against torch, and against anomalib's PaDiM and PatchCore exported likewise.

    python benchmarks/inference.py runs/feature-screw/001 runs/patchcore-screw/001 --batch 1
    python benchmarks/inference.py runs/feature-screw/001 --start_up photograph.png

Runs must have been exported, and their data be there. Engines take turns (A B C A B C ...); medians are printed, and
the median of the paired ratios. Where the CPU has instructions for it, lower precision takes part: bfloat16 in OpenVINO
and 8 bits (convolutions of networks only, scaled by training photographs). What it costs is printed: by how much it
moves the maps of the test photographs, and how many verdicts it changes. anomalib's models have the same backbone and
frame as the first run, random weights and as many patches in memory as `--memory`, none of which changes their speed;
where anomalib is not installed they are left out.
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from anomaly_diffusion import api, torchvision_import
from anomaly_diffusion.deploy.exporting.formats import silence
from anomaly_diffusion.deploy.exporting.graph import JudgingGraph
from anomaly_diffusion.detectors.normal_batches import first
from anomaly_diffusion.engine.acceleration import bfloat16_instructions
from anomaly_diffusion.runs.record import Run
from anomaly_diffusion.runtime import ExportedInspector, OnnxEngine, OpenVINOEngine
from anomaly_diffusion.runtime.description import Description
from anomaly_diffusion.runtime.engine import Answer, Engine
from anomaly_diffusion.types import ImageBatch

Turn = Callable[[], object]
_TOGETHER, _CALIBRATED = 4, 32  # photographs judged at a time; those from which scales of 8 bits come
LAYERS = ["blocks.1", "blocks.2", "blocks.4"]  # of timm's MobileNetV2: features.3, .6 and .13 of torchvision's


class Photographs(NamedTuple):
    """Framed photographs."""

    image: np.ndarray
    valid: np.ndarray


class Rows(CalibrationDataReader):
    """Gives photographs to the calibration of 8 bits, a few at a time."""

    def __init__(self, shown: Photographs) -> None:
        rows = [slice(start, start + _TOGETHER) for start in range(0, len(shown.image), _TOGETHER)]
        self._left = iter([{"image": shown.image[part], "valid": shown.valid[part]} for part in rows])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next ones; None after the last."""
        return next(self._left, None)


def engines(folder: Path, batch: int) -> dict[str, Turn]:
    """What judges random frames by a run, by name; prints what lower precision costs."""
    run, file = Run(folder), folder / "exported.onnx"
    exact = OnnxEngine(file, threads=1)
    told = Description.read(exact.description, file.name)
    given = frames(batch, (*told.frame, told.channels))
    graph = JudgingGraph(api.load(run)).eval()
    tensors = torch.from_numpy(given.image), torch.from_numpy(given.valid)
    found: dict[str, Turn] = {"torch": partial(graph, *tensors), "ONNX Runtime": partial(exact, *given)}
    test = framed([api.test_images(run)])
    for name, engine in further_engines(run, file).items():
        if name != "OpenVINO":
            print(f"  {name:20} {cost(engine, exact, test)}")
        found[name] = partial(engine, *given)
    return found


def further_engines(run: Run, file: Path) -> dict[str, Engine]:
    """Engines beside ONNX Runtime in float32: OpenVINO, and lower precision where the CPU has instructions for it."""
    found: dict[str, Engine] = {}
    kinds: dict[str, Callable[[Path], Engine]] = {"ONNX Runtime": partial(OnnxEngine, threads=1)}
    try:
        found["OpenVINO"] = OpenVINOEngine(file, threads=1)
        kinds["OpenVINO"] = partial(OpenVINOEngine, threads=1)
        if bfloat16_instructions():
            found["OpenVINO bf16"] = OpenVINOEngine(file, threads=1, bfloat16=True)
    except ImportError as error:
        print(f"  without OpenVINO: {error}")
    if not bfloat16_instructions():
        print("  without bfloat16: this CPU has no instructions for it")
    if not torch.cpu._is_vnni_supported():
        print("  without 8 bits: this CPU has no instructions for them")
        return found
    with tempfile.TemporaryDirectory() as into:
        path = in_8_bits(run, file, Path(into))
        return found | {f"{name} int8": kind(path) for name, kind in kinds.items()}


def in_8_bits(run: Run, file: Path, into: Path) -> Path:
    """The file of a run with the convolutions of its networks in 8 bits, scaled by training photographs."""
    graph = onnx.load(file).graph
    learnt = {one.name for one in graph.initializer if one.name.endswith(".weight")}
    networks = [node.name for node in graph.node if node.op_type == "Conv" and node.input[1] in learnt]
    normal, path = framed(first(_CALIBRATED, api.data_module(run).normal_batches())), into / file.name
    with silence():
        quantize_static(
            file,
            path,
            Rows(normal),
            nodes_to_quantize=networks,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return path


def framed(batches: Iterable[ImageBatch]) -> Photographs:
    """Batches as exported files take them."""
    parts = [(batch.image.permute(0, 2, 3, 1), batch.valid[:, 0]) for batch in batches]
    image, valid = (torch.cat(list(column)) for column in zip(*parts, strict=True))
    return Photographs(((image + 1) * 127.5).round().byte().numpy(), valid.numpy())


def cost(engine: Engine, exact: Engine, shown: Photographs) -> str:
    """What an engine says otherwise than another of photographs, in words."""
    ours, theirs = (judged(one, shown) for one in (engine, exact))
    apart, limit = np.abs(ours.maps - theirs.maps)[shown.valid], ExportedInspector(exact).limits["limit"]
    changed = np.count_nonzero((ours.scores > limit) != (theirs.scores > limit))
    return (
        f"moves maps by {np.median(apart):.2g} standard deviations (median; at most {apart.max():.2g}), scores by at "
        f"most {np.abs(ours.scores - theirs.scores).max():.2g}; changes {changed} of {len(ours.scores)} verdicts"
    )


def judged(engine: Engine, shown: Photographs) -> Answer:
    """What an engine says of photographs, a few at a time."""
    parts = [slice(start, start + _TOGETHER) for start in range(0, len(shown.image), _TOGETHER)]
    told = [engine(shown.image[part], shown.valid[part]) for part in parts]
    return Answer(*map(np.concatenate, zip(*told, strict=True)))


def frames(batch: int, shape: tuple[int, ...]) -> Photographs:
    """Random photographs."""
    image = np.random.default_rng(0).integers(0, 255, (batch, *shape), dtype=np.uint8)
    return Photographs(image, np.ones(image.shape[:3], bool))


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
    """Seconds from a command to its first verdict, by file in either engine and by run in torch."""
    file = str(folder / "exported.onnx")
    inspectors = {
        "ONNX Runtime": f"anomaly_diffusion.runtime import ExportedInspector as I; i = I({file!r})",
        "torch": f"anomaly_diffusion.deploy.inspector import Inspector as I; i = I({str(folder)!r})",
    }
    if importlib.util.find_spec("openvino"):
        engine = "anomaly_diffusion.runtime import ExportedInspector as I, OpenVINOEngine as E"
        inspectors["OpenVINO"] = f"{engine}; i = I(E({file!r}))"
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
