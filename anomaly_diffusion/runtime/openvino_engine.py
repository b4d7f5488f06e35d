"""OpenVINO; the only file that imports it."""

from os import PathLike
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from anomaly_diffusion.runtime.engine import KEY, Answer, Engine
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
        self._one_at_a_time = Lock()

    def __call__(self, image: UInt8[np.ndarray, "B H W C"], valid: Bool[np.ndarray, "B H W"]) -> Answer:
        """Judge framed photographs; threads are served one after the other."""
        with self._one_at_a_time:
            told = self._compiled([image, valid])
            return Answer(*(np.array(told[number]) for number in range(3)))
