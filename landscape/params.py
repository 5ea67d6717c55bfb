"""The trainable parameters of any net as one point of R^P, and back."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from .errors import UsageError
from .spec import nearest


class ParameterSpace:
    """R^P, the space of a net's trainable parameters in the order of `named_parameters()`.

    A tied parameter counts once (under its first name); a frozen one (`requires_grad` false) is no coordinate. With
    `pattern`, names as a shell matches them ("layer4.*,fc.weight"), only the parameters that match are coordinates, and
    the others are held at the net's own values. Raises UsageError where a part of the pattern matches nothing.
    """

    def __init__(self, model: nn.Module, pattern: str | None = None) -> None:
        chosen = {name: value for name, value in model.named_parameters() if value.requires_grad}
        if pattern is not None and chosen:
            names = _matching(model, pattern)
            chosen = {name: value for name, value in chosen.items() if name in names}
        if not chosen:
            raise UsageError("the net has no trainable parameter; set requires_grad on those to be analysed")
        kinds = {value.dtype for value in chosen.values()}
        # The rounding of half precision is as large as the residuals that are asked for.
        if len(kinds) > 1 or not kinds <= {torch.float32, torch.float64}:
            shown = ", ".join(sorted(str(kind) for kind in kinds))
            raise UsageError(
                f"the net's parameters are {shown}; wanted float32 or float64 for all (model.float() makes it so)"
            )
        self.names = tuple(chosen)
        self.shapes = tuple(value.shape for value in chosen.values())
        self.sizes = tuple(value.numel() for value in chosen.values())
        self.n_parameters = sum(self.sizes)

    def point(self, model: nn.Module) -> Tensor:
        """Return a copy of the net's weights as w (P,)."""
        values = dict(model.named_parameters())
        return torch.cat([values[name].detach().reshape(-1) for name in self.names])

    def held(self, model: nn.Module) -> Mapping[str, Tensor]:
        """Return the net's parameters that are no coordinates, by name, with no gradient flowing to them."""
        return {name: value.detach() for name, value in model.named_parameters() if name not in self.names}

    def split(self, w: Tensor) -> tuple[Tensor, ...]:
        """Return w (P,) as views in the shapes of the parameters."""
        if w.shape != (self.n_parameters,):
            raise UsageError(
                f"a point of shape {tuple(w.shape)} came; wanted ({self.n_parameters},), one entry a parameter"
            )
        pieces = torch.split(w, list(self.sizes))
        return tuple(piece.view(shape) for piece, shape in zip(pieces, self.shapes, strict=True))

    def named(self, w: Tensor) -> Mapping[str, Tensor]:
        """Return w (P,) as views by parameter name, as `torch.func.functional_call` takes them."""
        return dict(zip(self.names, self.split(w), strict=True))


def first_difference(one: ParameterSpace, other: ParameterSpace) -> str | None:
    """Say where two nets' parameters first differ in name or shape; None where they are points of one space."""
    if (one.names, one.shapes) == (other.names, other.shapes):
        return None
    for name, shape, theirs, its in zip(one.names, one.shapes, other.names, other.shapes, strict=False):
        if (name, shape) != (theirs, its):
            return f"{name} is {tuple(shape)} in the first, {theirs} is {tuple(its)} in the other"
    return f"the first has {len(one.names)} parameters, the other {len(other.names)}"


def layers(model: nn.Module) -> dict[str, str]:
    """Return, by the name of each module with trainable parameters of its own, the pattern that matches these.

    A tied parameter is its first owner's; the net's own parameters, outside all modules, are layers by themselves.
    """
    found: dict[str, list[str]] = {}
    for name, value in model.named_parameters():
        if value.requires_grad:
            found.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return {layer: ",".join(names) for layer, names in found.items()}


def _matching(model: nn.Module, pattern: str) -> set[str]:
    """Return the first names of the trainable parameters of which the pattern matches any name."""
    first = {id(value): name for name, value in model.named_parameters()}
    every = [(n, first[id(p)]) for n, p in model.named_parameters(remove_duplicate=False) if p.requires_grad]
    found: set[str] = set()
    for part in (part.strip() for part in pattern.split(",")):
        matched = {canonical for name, canonical in every if fnmatchcase(name, part)}
        if not matched:
            blocks = {f"{name.rpartition('.')[0]}.*" for name, _ in every if "." in name}
            raise UsageError(
                f"no trainable parameter is called {part!r}; {nearest(part, {*blocks, *(name for name, _ in every)})}"
            )
        found |= matched
    return found
