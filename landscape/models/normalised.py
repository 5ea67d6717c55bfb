"""A net that normalises the images itself, so that it takes them in [0, 1] as every net here does."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

MEAN, STD = "input_mean", "input_std"


def normalise_inside(net: nn.Module, mean: Tensor, std: Tensor) -> nn.Module:
    """Return the net made to shift and divide images (N, C, H, W) by mean and std (C, 1, 1) before all else.

    Its parameters keep their names and its state dict its keys; the two numbers are buffers outside of it. It becomes
    of a class of its own: a hook would be lost on the copies that attacks and surfaces make.
    """
    inner = type(net)

    def forward(self: Any, images: Tensor) -> Any:
        return inner.forward(self, (images - self.input_mean) / self.input_std)

    net.register_buffer(MEAN, mean.clone(), persistent=False)
    net.register_buffer(STD, std.clone(), persistent=False)
    net.__class__ = type(inner.__name__, (inner,), {"forward": forward, "__doc__": inner.__doc__})
    return net


def normalisation_of(net: nn.Module) -> tuple[Tensor, Tensor] | None:
    """Return the mean and std (C, 1, 1) that a net was made to normalise by, None where it was not."""
    held = dict(net.named_buffers(recurse=False))
    return (held[MEAN], held[STD]) if MEAN in held and STD in held else None
