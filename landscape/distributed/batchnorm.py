"""BatchNorm over the whole of a batch that several processes share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from .wire import all_reduce


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient, since each process's loss has a share in it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        all_reduce(total)
        return total


def whole_batch_norm(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Return what BatchNorm makes of x (n, C, ...), this process's share of a batch, by the statistics of all of it.

    Written out, for SyncBatchNorm has no kernel on the CPU: mean and variance by two sums over the processes, and
    autograd through both.
    """
    if not norm.training:
        return type(norm).forward(norm, x)
    norm._check_input_dim(x)
    axes, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
    values = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    count = values.new_tensor([values.numel() // values.shape[1]])
    sums = _Sum.apply(torch.cat([values.sum(axes), count]))
    mean, total = sums[:-1] / sums[-1], sums[-1].detach()
    centred = values - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(axes)) / total
    if norm.running_mean is not None and norm.running_var is not None:
        with torch.no_grad():
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked += 1
            momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean.to(norm.running_mean), momentum)
            norm.running_var.lerp_((variance * total / (total - 1)).to(norm.running_var), momentum)
    scale = torch.rsqrt(variance + norm.eps)
    y = centred * (scale if norm.weight is None else scale * norm.weight).view(shape)
    return (y if norm.bias is None else y + norm.bias.view(shape)).to(x.dtype)
