"""OpenVINO; the only file that imports it."""

from collections.abc import Mapping
from os import PathLike
from threading import Lock
from typing import Any

import numpy as np

from anomaly_diffusion.runtime.engine import JUDGING, KEY, Engine, wanted
from anomaly_diffusion.runtime.onnx_engine import check

__all__ = ["OpenVINOEngine"]


class OpenVINOEngine(Engine):
    """Carries out a file on the CPU by OpenVINO, in float32 if nothing else is said.

    Args:
        file: as `export --format onnx` writes it.
        threads: of the CPU, at least 1; None: as many as OpenVINO likes.
        bfloat16: whether to calculate in bfloat16, which is fast on CPUs that know it, and costs digits.

    Raises:
        ImportError: OpenVINO is not installed.
        FileNotFoundError: there is no such file.
        ValueError: it is no model, or `threads` is not positive.
    """

    def __init__(self, file: str | PathLike[str], threads: int | None = None, bfloat16: bool = False) -> None:
        check(file, threads)
        try:
            import openvino
        except ImportError:
            raise ImportError("openvino is not installed. Run: pip install 'anomaly-diffusion[openvino]'") from None
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32"}
        try:
            model = openvino.Core().read_model(str(file))
            limited = settings if threads is None else settings | {"INFERENCE_NUM_THREADS": threads}
            self._compiled = openvino.Core().compile_model(model, "CPU", limited)
        except RuntimeError as error:
            raise ValueError(f"{file} cannot be read as a model: {str(error).strip().splitlines()[0]}") from None
        path = ["framework", KEY]
        self.description = model.get_rt_info(path).astype(str) if model.has_rt_info(path) else ""
        self._outputs = [one.any_name for one in model.outputs]
        self._nothing = {one.any_name: _nothing(one) for one in model.inputs}
        self._one_at_a_time = Lock()

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """What the part of the graph says that has these inputs; threads are served one after the other."""
        given = {**self._nothing, **inputs}
        if JUDGING in given:
            given[JUDGING] = np.array("image" in inputs)
        with self._one_at_a_time:
            told = self._compiled(given)
            return [np.array(told[name]) for name in wanted(self._outputs, inputs)]


def _nothing(one: Any) -> np.ndarray:
    """What is given for an input that the part of the graph does not have which is carried out."""
    shape = [0 if side.is_dynamic else side.get_length() for side in one.partial_shape]
    return np.zeros(shape, one.element_type.to_dtype())
