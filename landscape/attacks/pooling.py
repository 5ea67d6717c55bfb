"""ReLU and max pooling change places in a copy of a net: the same numbers, on a quarter of the pixels."""

from __future__ import annotations

import torch
import torch.fx
from torch import nn
from torch.nn import functional

_RELUS = (functional.relu, torch.relu)
_POOLS = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
_POOL_LAYERS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def pooled_first(model: nn.Module) -> nn.Module | None:
    """Return the net with each max pooling of a ReLU before that ReLU, its layers shared; None where there is none.

    Max pooling commutes with any function that rises; with ReLU the gradients agree, too: the first of equal maxima is
    taken, and where all of a window is cut off they are 0 by either order. What ReLU costs falls with the pixels.
    Raises what a net raises that cannot be traced (`twin.REFUSALS`).
    """
    graph = torch.fx.Tracer().trace(model)
    modules = dict(model.named_modules(remove_duplicate=False))
    found = False
    for pool in list(graph.nodes):
        relu = pool.args[0] if pool.args else None
        if not (isinstance(relu, torch.fx.Node) and _is_pool(pool, modules) and _is_relu(relu, modules)):
            continue
        source = relu.args[0] if relu.args else None
        if not isinstance(source, torch.fx.Node) or len(source.users) > 1 or len(relu.users) > 1:
            continue  # somebody else reads what would no longer be there, or what an in-place ReLU overwrites
        with graph.inserting_after(pool):
            behind = graph.create_node(relu.op, relu.target, (pool, *relu.args[1:]), relu.kwargs)
        pool.replace_all_uses_with(behind, delete_user_cb=lambda user, behind=behind: user is not behind)
        pool.replace_input_with(relu, source)
        graph.erase_node(relu)
        found = True
    if not found:
        return None
    graph.lint()
    return torch.fx.GraphModule(model, graph)


def _is_relu(node: torch.fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return type(modules[str(node.target)]) is nn.ReLU  # a subclass may compute anything
    return (node.op == "call_function" and node.target in _RELUS) or (node.op, node.target) == ("call_method", "relu")


def _is_pool(node: torch.fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        layer = modules[str(node.target)]
        return type(layer) in _POOL_LAYERS and not layer.return_indices
    return node.op == "call_function" and node.target in _POOLS and not node.kwargs.get("return_indices")
