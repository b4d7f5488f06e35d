"""ONNX Runtime; the only file that imports it."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from anomaly_diffusion.runtime.engine import JUDGING, KEY, Engine, wanted

__all__ = ["OnnxEngine"]


class OnnxEngine(Engine):
    """Carries out a file on the CPU by ONNX Runtime.

    Args:
        file: as `export --format onnx` writes it.
        threads: of the CPU, at least 1; None: as many as there are cores.

    Raises:
        ImportError: ONNX Runtime is not installed.
        FileNotFoundError: there is no such file.
        ValueError: it is no model, or `threads` is not positive.
    """

    def __init__(self, file: str | PathLike[str], threads: int | None = None) -> None:
        check(file, threads)
        try:
            import onnxruntime
        except ImportError:
            raise ImportError(
                "onnxruntime is not installed. Run: pip install anomaly-diffusion-runtime (without torch), or "
                "pip install 'anomaly-diffusion[runtime]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        try:
            self._model = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of classes that ONNX Runtime does not name in public
            raise ValueError(f"{file} cannot be read as an ONNX model: {str(error).strip().splitlines()[0]}") from None
        self.description = self._model.get_modelmeta().custom_metadata_map.get(KEY, "")
        self._outputs = [output.name for output in self._model.get_outputs()]
        self._nothing = {one.name: _nothing(one.shape, one.type) for one in self._model.get_inputs()}

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """What the part of the graph says that has these inputs; threads may call it at the same time."""
        given = {**self._nothing, **inputs}
        if JUDGING in given:
            given[JUDGING] = np.array("image" in inputs)
        told: list[np.ndarray] = self._model.run(wanted(self._outputs, inputs), given)
        return told


def check(file: str | PathLike[str], threads: int | None) -> None:
    """Refuse a file that is not there, and threads that are none."""
    if threads is not None and threads < 1:
        raise ValueError(f"`threads` must be at least 1, got {threads}.")
    if not Path(file).is_file():
        raise FileNotFoundError(f"There is no file {file}. Make one: anomaly-diffusion export --run_folder last")


def _nothing(shape: list[int | str], kind: str) -> np.ndarray:
    """What is given for an input that the part of the graph does not have which is carried out."""
    types = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_}
    return np.zeros([side if isinstance(side, int) else 0 for side in shape], types[kind])
