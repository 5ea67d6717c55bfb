"""The first convolution of a net without the work towards the images, which no product with the Hessian needs.

torch's second derivative of a convolution goes towards its input whether anyone asks for that or not: a tenth of a
LeNet's product. Here the input is data, and only what leads to the weights is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Geometry = tuple[list[int], list[int], list[int], int]  # stride, padding, dilation, groups

_DEFAULTS: tuple[Any, ...] = (None, 1, 0, 1, 1)  # of what follows input and weight in conv2d


class OnData(TorchFunctionMode):
    """While it is entered, `conv2d` of images that need no gradient, with weights that do, is that of this module."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or the convolution of this module in its place."""
        if func in (F.conv2d, torch.conv2d) and len(args) >= 2 and not kwargs:
            images, weight, bias, stride, padding, dilation, groups = args + _DEFAULTS[len(args) - 2 :]
            fixed = not images.requires_grad and images.dim() == 4 and not isinstance(padding, str)
            if fixed and weight.requires_grad:
                return _Convolution.apply(
                    images, weight, bias, (_both(stride), _both(padding), _both(dilation), groups)
                )
        return func(*args, **(kwargs or {}))


class _Convolution(torch.autograd.Function):
    """conv2d (N, C', H', W') of images (N, C, H, W) that are data."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(images)
        ctx.shape, ctx.biased, ctx.geometry = weight.shape, bias is not None, geometry
        return F.conv2d(images, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (images,) = gradients, ctx.saved_tensors
        of_bias = gradient.sum((0, 2, 3)) if ctx.biased else None
        return None, _WeightGradient.apply(gradient, images, ctx.shape, ctx.geometry), of_bias, None


class _WeightGradient(torch.autograd.Function):
    """The gradient with respect to the weights: linear in the gradient of the outputs, and so its own derivative."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, images: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(images)
        ctx.geometry = geometry
        stride, padding, dilation, groups = geometry
        weight = gradient.new_empty(1).expand(shape)  # its shape alone is looked at
        found: Tensor = torch.ops.aten.convolution_backward(
            gradient, images, weight, None, stride, padding, dilation, False, [0, 0], groups, (False, True, False)
        )[1]
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (images,) = gradients, ctx.saved_tensors
        return F.conv2d(images, gradient, None, *ctx.geometry), None, None, None


def _both(size: int | Sequence[int]) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size) * (2 // len(size))
