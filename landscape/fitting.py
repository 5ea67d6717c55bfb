"""Weights and a net that was built for them: under which names they fit, in which precision, and what does not."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .errors import CheckpointError
from .safe_load import show


def naming_for(net: nn.Module, namings: Sequence[Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], bool] | None:
    """Return that naming of the weights which the net has, None where none fits; counters may be missing.

    What was taken off first goes back on where the net has it: a prefix, or a normalisation of its own; and a prefix of
    all of the net's names goes on, which makes it a wrapper: the second part of what is returned.
    """
    wanted = net.state_dict()
    first = next(iter(wanted), "").partition(".")[0] + "."
    shared = [first] if all(name.startswith(first) for name in wanted) else []
    for lead, naming in itertools.product(["", *shared], namings):
        filled = {lead + name: value for name, value in naming.items()}
        for name, value in wanted.items():
            if name.endswith("num_batches_tracked") and name not in filled:
                filled[name] = torch.zeros((), dtype=value.dtype)  # older than torch 0.4.1
        extra = [name for name in filled if name not in wanted]
        # AWP's wide nets hold their first block a second time.
        if extra and all(re.match(r"(.*\.)?sub_block\d*\.", name) for name in extra):
            filled = {name: value for name, value in filled.items() if name in wanted}
        if filled.keys() == wanted.keys():
            return filled, bool(lead)
    return None


def keeps_types(net: nn.Module) -> bool:
    """Return whether weights that move, all float32 or all float64, stand on frozen ones of another type."""
    moving = {value.dtype for value in net.parameters() if value.requires_grad}
    frozen = {value.dtype for value in net.parameters() if not value.requires_grad and value.is_floating_point()}
    return len(moving) == 1 and moving <= {torch.float32, torch.float64} and bool(frozen - moving)


def dtype_of(net: nn.Module) -> torch.dtype:
    """Return the precision of the weights that move."""
    return next((value.dtype for value in net.parameters() if value.requires_grad), torch.float32)


def check_fit(path: Path, held: Mapping[str, Tensor], net: nn.Module, resolved: str) -> None:
    """Raise CheckpointError, listing what is missing, unexpected and mis-shaped, unless the weights are the net's."""
    wanted = net.state_dict()
    missing = [name for name in wanted if name not in held]
    unexpected = [show(name) for name in held if name not in wanted]
    misshaped = [
        f"{name} {_by(held[name])} instead of {_by(wanted[name])}"
        for name in wanted
        if name in held and isinstance(wanted[name], Tensor) and held[name].shape != wanted[name].shape
    ]
    parts = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for names, kind in ((missing, "missing"), (unexpected, "unexpected"), (misshaped, "mis-shaped"))
        if names
    ]
    if parts:
        message = f"{path} does not fit {resolved}: {', '.join(parts)}; name its net with --model"
        raise CheckpointError(message)


def _by(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
