"""The trainable parameters of any net as one point of R^P, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .errors import UsageError


class ParameterSpace:
    """R^P, the space of a net's trainable parameters in the order of `named_parameters()`.

    A tied parameter counts once (under its first name); a frozen one (`requires_grad` false) is no coordinate.
    """

    def __init__(self, model: nn.Module) -> None:
        chosen = {name: value for name, value in model.named_parameters() if value.requires_grad}
        if not chosen:
            raise UsageError("the net has no trainable parameter; set requires_grad on those to be analysed")
        kinds = {value.dtype for value in chosen.values()}
        if len(kinds) > 1 or not next(iter(kinds)).is_floating_point:
            shown = ", ".join(sorted(str(kind) for kind in kinds))
            raise UsageError(
                f"the net's parameters are {shown}; wanted one floating-point type (model.float() makes it so)"
            )
        self.names = tuple(chosen)
        self.shapes = tuple(value.shape for value in chosen.values())
        self.sizes = tuple(value.numel() for value in chosen.values())
        self.n_parameters = sum(self.sizes)

    def point(self, model: nn.Module) -> Tensor:
        """Return a copy of the net's weights as w (P,)."""
        values = dict(model.named_parameters())
        return torch.cat([values[name].detach().reshape(-1) for name in self.names])

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
