"""The activations that a net may be built with; smooth ones have second derivatives everywhere."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ..errors import UsageError
from ..spec import nearest

# Never in place: an overwritten input has no second backward pass.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "softplus": nn.Softplus}


def make_activation(name: str, beta: float = 1.0) -> nn.Module:
    """Build an activation without state; `beta` is the sharpness of softplus (towards ReLU as it grows).

    Raises UsageError for an unknown name, and for a `beta` that the activation does not take.
    """
    if name not in ACTIVATIONS:
        raise UsageError(f"{name!r} is no activation; {nearest(name, ACTIVATIONS)}")
    if name == "softplus":
        return nn.Softplus(beta=beta)
    if beta != 1:
        raise UsageError(f"beta = {beta:g} goes with softplus, not with {name}; add activation=softplus")
    return ACTIVATIONS[name]()
