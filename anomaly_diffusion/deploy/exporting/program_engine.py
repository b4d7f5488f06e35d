"""The engine of files that `export --format torch` writes."""

from collections.abc import Mapping
from copy import deepcopy
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule
from torch.fx.graph import CodeGen

from anomaly_diffusion.runtime.engine import JUDGED, KEY, Engine
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
            program = torch.export.load(file, extra_files=told).module()
        except Exception as error:  # of an archive that is none, nearly anything
            raise ValueError(f"{file} cannot be read as a program of torch.export: {error}") from None
        self.description = told[KEY]
        self._judging, self._looking = (_part(program, judged) for judged in (True, False))

    @torch.no_grad()
    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """What the part of the program says that has these inputs."""
        part = self._judging if "image" in inputs else self._looking
        given = {name: torch.from_numpy(array) for name, array in inputs.items()}
        names = [node.target for node in part.graph.nodes if node.op == "placeholder"]
        return [one.numpy() for one in part(*(given.get(str(name)) for name in names))]


def _part(program: GraphModule, judged: bool) -> GraphModule:
    """No more of a program than its judgement needs, or what is made of tiles; weights are the program's."""
    graph = deepcopy(program.graph)
    graph.set_codegen(CodeGen())  # inputs one after the other, as they are named
    *nodes, output = graph.nodes
    results = list(output.args[0])
    output.args = (tuple(results[-len(JUDGED) :] if judged else results[: -len(JUDGED)]),)
    for node in reversed(nodes):
        if not node.users and node.op != "placeholder":
            graph.erase_node(node)
    return GraphModule(program, graph)
