"""ONNX Runtime; the only file that imports it."""

from os import PathLike
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from anomaly_diffusion.runtime.engine import KEY, Answer, Engine

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

    def __call__(self, image: UInt8[np.ndarray, "B H W C"], valid: Bool[np.ndarray, "B H W"]) -> Answer:
        """Judge framed photographs; threads may call it at the same time."""
        return Answer(*self._model.run(None, {"image": image, "valid": valid}))


def check(file: str | PathLike[str], threads: int | None) -> None:
    """Refuse a file that is not there, and threads that are none."""
    if threads is not None and threads < 1:
        raise ValueError(f"`threads` must be at least 1, got {threads}.")
    if not Path(file).is_file():
        raise FileNotFoundError(f"There is no file {file}. Make one: anomaly-diffusion export --run_folder last")
