"""File formats of export: ONNX, and programs of torch.export."""

import contextlib
import importlib.util
import io
import logging
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import torch
from torch.export import ExportedProgram

from anomaly_diffusion import files
from anomaly_diffusion.deploy.exporting.one_part import one_part_at_a_time
from anomaly_diffusion.runtime.engine import JUDGED, KEY

__all__ = ["FORMATS", "Format", "Onnx", "TorchProgram", "silence"]


class Format(ABC):
    """How a traced graph and its description become one file."""

    suffix: ClassVar[str]

    packages: ClassVar[tuple[str, ...]] = ()
    """What must be installed to write it."""

    def check(self) -> None:
        """Make sure that the file can be written.

        Raises:
            ImportError: a package is not installed.
        """
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                raise ImportError(f"{package} is not installed. Run: pip install 'anomaly-diffusion[export]'")

    @abstractmethod
    def content(self, program: ExportedProgram, description: str) -> bytes:
        """What is in the file."""

    def write(self, program: ExportedProgram, description: str, path: Path) -> None:
        """Write the file, whole or not at all."""
        with silence():
            content = self.content(program, description)
        files.write(path, content)


class Onnx(Format):
    """ONNX with all weights inside, its description among its metadata."""

    suffix = ".onnx"
    packages = ("onnx", "onnxscript")

    def content(self, program: ExportedProgram, description: str) -> bytes:
        """A ModelProto; constants are folded and no more, as ONNX Runtime fuses by itself.

        Fusions of onnxscript 0.7 lose a constant where two clamps of one tensor follow each other, as of two depths.
        """
        from onnxscript import optimizer

        inputs = list(program.graph_signature.user_inputs)
        made = len(program.graph_signature.user_outputs) - len(JUDGED)  # of tiles
        outputs = [*(f"tiles_{number}" for number in range(made)), *JUDGED]
        onnx = torch.onnx.export(
            program, dynamo=True, input_names=inputs, output_names=outputs, verbose=False, optimize=False
        )
        if onnx is None:
            raise ValueError("torch.onnx.export has written nothing.")
        optimizer.fold_constants(onnx.model)
        optimizer.remove_unused_nodes(onnx.model)
        model = onnx.model_proto
        if made:
            one_part_at_a_time(model)
        entry = model.metadata_props.add()
        entry.key, entry.value = KEY, description
        written: bytes = model.SerializeToString()
        return written


class TorchProgram(Format):
    """A program of torch.export, its description among its extra files."""

    suffix = ".pt2"

    def content(self, program: ExportedProgram, description: str) -> bytes:
        """An archive."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "exported.pt2"
            torch.export.save(program, path, extra_files={KEY: description})
            return path.read_bytes()


FORMATS: dict[str, type[Format]] = {"onnx": Onnx, "torch": TorchProgram}


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep back what exporters print and warn of, on which nobody can act."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
