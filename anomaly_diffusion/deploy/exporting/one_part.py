"""Two parts of an ONNX graph, of which one is carried out at a time."""

from collections.abc import Iterable
from typing import Any

from anomaly_diffusion.runtime.engine import JUDGED, JUDGING

__all__ = ["one_part_at_a_time"]


def one_part_at_a_time(model: Any) -> None:
    """Let an input `JUDGING` say whether a graph judges a photograph or looks at tiles; other outputs are a zero.

    ONNX Runtime carries out whatever a graph has, asked for or not, but for the branch of an `If` that is not taken.
    Nodes and weights that both parts have stay before them.

    Args:
        model: a ModelProto with the outputs `JUDGED`, and others of tiles; it is changed.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    outputs = {judged: [one for one in graph.output if (one.name in JUDGED) == judged] for judged in (True, False)}
    needed = {judged: _needed(graph.node, (one.name for one in some)) for judged, some in outputs.items()}
    shared = needed[True] & needed[False]
    nodes, weights = list(graph.node), list(graph.initializer)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(node for node in nodes if shared.issuperset(node.output))
    graph.initializer.extend(weight for weight in weights if weight.name in shared)
    for judged, some in outputs.items():
        inner, names = needed[judged] - shared, {one.name: f"{one.name}_told" for one in some}
        branch = helper.make_graph(
            [_renamed(node, names) for node in nodes if inner.intersection(node.output)],
            "judging" if judged else "looking",
            [],
            [_output(one, names[one.name]) for one in some],
            [weight for weight in weights if weight.name in inner],
        )
        branches = {"then_branch": branch, "else_branch": _nothing(some)}
        if not judged:
            branches = {"then_branch": branches["else_branch"], "else_branch": branch}
        graph.node.append(helper.make_node("If", [JUDGING], [one.name for one in some], **branches))
    graph.input.append(helper.make_tensor_value_info(JUDGING, TensorProto.BOOL, []))


def _needed(nodes: Any, names: Iterable[str]) -> set[str]:
    """Names of all that these need to be known, of inputs, weights and what nodes put out, with themselves."""
    known = set(names)
    for node in reversed(nodes):
        if known.intersection(node.output):
            known.update(node.input, node.output)
    return known - {""}


def _renamed(node: Any, names: dict[str, str]) -> Any:
    """A node by which outputs of the graph are called otherwise, as those of a branch must be."""
    for values in (node.input, node.output):
        values[:] = [names.get(value, value) for value in values]
    return node


def _output(one: Any, name: str) -> Any:
    from onnx import ValueInfoProto

    named = ValueInfoProto()
    named.CopyFrom(one)
    named.name = name
    return named


def _nothing(outputs: Iterable[Any]) -> Any:
    """A branch that puts out a zero each, of as many axes: OpenVINO takes what is empty to have none."""
    from onnx import TensorProto, helper

    nodes, told = [], []
    for one in outputs:
        shape = [1] * len(one.type.tensor_type.shape.dim)
        name = f"no_{one.name}"
        zero = helper.make_tensor(name, TensorProto.FLOAT, shape, [0.0])
        nodes.append(helper.make_node("Constant", [], [name], value=zero))
        told.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return helper.make_graph(nodes, "nothing", [], told)
