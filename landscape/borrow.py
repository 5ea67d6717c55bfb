"""Borrow a net and return it as it was: its mode, weights, buffers and gradients are not touched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

Network = Callable[[Tensor], Tensor]
T = TypeVar("T")


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
    """Keep TF32, bfloat16 and autotuned kernels out of float32 arithmetic; put the settings back afterwards.

    A product rounded to TF32 cannot certify a residual of 1e-3, and cuDNN takes TF32 by default. torch has an older
    switch for all of it and a newer one for each operation, and refuses to read the one where the other disagrees.
    """
    cudnn, operations = torch.backends.cudnn, _operations()
    before = [operation.fp32_precision for operation in operations]
    matmul, convolution = _read(torch.get_float32_matmul_precision), _read(lambda: cudnn.allow_tf32)
    kernels = cudnn.benchmark, cudnn.deterministic
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False
    cudnn.benchmark, cudnn.deterministic = False, True
    for operation in operations:  # last: an operation without a setting of its own would take that of its backend
        operation.fp32_precision = "ieee"
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = kernels
        if matmul is not None:
            torch.set_float32_matmul_precision(matmul)
        if convolution is not None:
            cudnn.allow_tf32 = convolution
        for operation, setting in zip(operations, before, strict=True):
            operation.fp32_precision = "none"  # it had none of its own, if that gives what it was
            if operation.fp32_precision != setting:
                operation.fp32_precision = setting


def _operations() -> tuple[Any, ...]:
    """Return where torch keeps the precision of float32 arithmetic, operation by operation."""
    backends: Any = torch.backends  # not all of them are in torch's own types
    cudnn, mkldnn = backends.cudnn, backends.mkldnn
    return (backends.cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn)


def _read(setting: Callable[[], T]) -> T | None:
    try:
        return setting()
    except RuntimeError:  # the newer switches say something else
        return None


class _WrittenOut(TorchFunctionMode):
    """Weight normalisation in plain operations: a part of its fused kernel's second derivative is lost (torch 2.13)."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func == torch._weight_norm:
            return _weight_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return v * (g / torch.norm_except_dim(v, 2, dim))


@contextlib.contextmanager
def twice_differentiable() -> Iterator[None]:
    """Keep fused attention and fused weight normalisation out; put the settings back afterwards.

    The one has no second derivative and no forward one, the other a wrong one; written out, both have both.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), _WrittenOut():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
