"""Lets torchvision be imported beside a torch that it was not built for.

torchvision describes the shapes of its compiled operators when it is imported, and fails if they could not be loaded,
as with a CPU build of torch and a torchvision built for CUDA. Classifiers use none of these operators, but torchmetrics
and Lightning import torchvision wherever it is installed, and would fail with it.

The two front doors call `install`: the command line, and Python's names `anomaly_diffusion.train` and the like when one
is first used. A script that imports rooms alone calls it before them if its torchvision does not fit.
"""

import importlib.util
import re
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_ABSENT = re.compile(r"operator torchvision::(\w+) does not exist")
_libraries: list[Any] = []  # an operator lives as long as the library that defines it


class Finder(MetaPathFinder):
    """Finds torchvision as ever, but has it loaded by `_Loader`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for torchvision itself, for nothing else."""
        if fullname != "torchvision":
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """Names each operator that torchvision misses, and lets it try again."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        while True:
            try:
                return self.loader.exec_module(module)
            except RuntimeError as error:
                absent = _ABSENT.search(str(error))
                if absent is None:
                    raise
                _declare(absent[1])


def _declare(operator: str) -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(f"{operator}(Tensor values) -> Tensor")
    _libraries.append(library)


def install() -> None:
    """Answer for torchvision from now on."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
