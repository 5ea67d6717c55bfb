"""Borrow a net and return it as it was: its mode, weights, buffers and gradients are not touched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

Network = Callable[[Tensor], Tensor]


@contextlib.contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Hold a net in train or eval mode; put every submodule's mode back afterwards, whatever happened."""
    modes = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training


def evaluating(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Hold a net in eval mode, as `in_mode` does."""
    return in_mode(model, training=False)


def with_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> Network:
    """Return the net as a function of its input, at the named weights; parameters not named keep the net's own."""
    return lambda images: functional_call(model, dict(weights), (images,))


def detached(model: nn.Module) -> Network:
    """Return the net as a function of its input, at its own weights, with no gradient flowing to them."""
    return with_weights(model, {name: value.detach() for name, value in model.named_parameters()})


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Keep TF32 and autotuned kernels out of float32 arithmetic; put the settings back afterwards.

    A product rounded to TF32 cannot certify a residual of 1e-3, and cuDNN takes TF32 by default.
    """
    matmul = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(
            enabled=torch.backends.cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)


@contextlib.contextmanager
def twice_differentiable() -> Iterator[None]:
    """Keep fused attention out; put the settings back afterwards.

    It has no second derivative and no forward one; written out in matrix products, attention has both.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
