"""The engine of files that `export --format torch` writes."""

from os import PathLike
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from anomaly_diffusion.runtime.engine import KEY, Answer, Engine
from anomaly_diffusion.runtime.onnx_engine import check

__all__ = ["ProgramEngine"]


class ProgramEngine(Engine):
    """Carries out a program of torch.export on the CPU.

    Args:
        file: as `export --format torch` writes it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no program.
    """

    def __init__(self, file: str | PathLike[str]) -> None:
        check(file, None)
        told: dict[str, Any] = {KEY: ""}
        try:
            self._program = torch.export.load(file, extra_files=told).module()
        except Exception as error:  # of an archive that is none, nearly anything
            raise ValueError(f"{file} cannot be read as a program of torch.export: {error}") from None
        self.description = told[KEY]

    @torch.no_grad()
    def __call__(self, image: UInt8[np.ndarray, "B H W C"], valid: Bool[np.ndarray, "B H W"]) -> Answer:
        """Judge framed photographs."""
        return Answer(*(part.numpy() for part in self._program(torch.from_numpy(image), torch.from_numpy(valid))))
