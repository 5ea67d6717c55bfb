"""A twin of a net for attacks alone: frozen, in eval mode, BatchNorm folded into convolutions, at the net's weights."""

from __future__ import annotations

import copy
import logging
from collections import Counter
from dataclasses import dataclass

import torch
import torch.fx
from torch import Tensor, nn

from ..borrow import Network, evaluating, full_precision
from ..errors import UsageError
from ..spec import nearest
from .pooling import pooled_first

logger = logging.getLogger(__name__)

PRECISIONS = {"float32": None, "bf16": torch.bfloat16}
_CONVOLUTIONS = {nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Conv3d: nn.BatchNorm3d}
# What a net, anyone's code, raises when it is traced, copied, or run in another layout or precision.
REFUSALS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError)
# How far logits may lie apart, over 1 and their largest: a few hundred roundings of each precision.
_TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 0.1}


class Twin:
    """Answers as a net in eval mode does, faster where only the gradient of the input is wanted.

    Its weights are copies that take no gradient; `network` writes the net's present ones into them first. A BatchNorm
    that follows a convolution is folded into it, a ReLU waits for the max pooling behind it, and on the CPU images lie
    channels-last. Whatever was changed is proved on the first images that come: where the logits are not those of the
    net, or the net does not run like this, less is changed, and in the end nothing. With `precision` "bf16" the twin
    computes in bfloat16; its logits and the gradient come out in the images' dtype. `compiler` names a backend of
    torch.compile for it; where that fails, a warning says so and the twin runs as it is.
    """

    def __init__(self, model: nn.Module, *, precision: str = "float32", compiler: str | None = None) -> None:
        if precision not in PRECISIONS:
            raise UsageError(f"precision {precision!r} is unknown; {nearest(precision, PRECISIONS)}")
        self.model = model
        self.dtype = PRECISIONS[precision]
        self.compiler = compiler
        self._form: _Form | None = None
        self._proved = False

    @property
    def folded(self) -> tuple[tuple[str, str], ...]:
        """The names of the convolutions and of the BatchNorms folded into them, once a network was asked for."""
        return () if self._form is None else self._form.pairs

    @property
    def layout(self) -> torch.memory_format:
        """The layout of images in memory that pays on the CPU, once a network was asked for."""
        on_cpu = self._form is not None and next(self._form.net.parameters()).device.type == "cpu"
        return self._form.layout if on_cpu and self._form is not None else torch.contiguous_format

    def network(self, images: Tensor) -> Network:
        """Return the twin, at the net's weights of now, as a function of images like these (N, ...).

        The function may be used until the weights change. Raises UsageError for a net that does not run in bf16.
        """
        if not self._proved:
            self._form, self._proved = self._choose(images), True
            self._compile(images)
        if self._form is None:
            return self.model
        self._form.refresh()
        return self._form

    def _choose(self, images: Tensor) -> _Form | None:
        pairs = foldable(self.model)
        on_cpu = images.device.type == "cpu"
        # Channels-last convolutions pay on the CPU in any precision, on a GPU where its matrix units take the numbers.
        fast = torch.channels_last if on_cpu or self.dtype is not None else torch.contiguous_format
        plans = [
            (pairs, fast, True),
            (pairs, fast, False),
            (pairs, torch.contiguous_format, False),
            ((), torch.contiguous_format, False),
        ]
        trouble: object = None
        if any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in self.model.modules()):
            plans, trouble = [], "a hook sees the net that it was put on, and not a copy"
        sample = images[:8].detach()
        with evaluating(self.model), full_precision():
            with torch.no_grad():
                expected = self.model(sample) if plans else sample
            for these, layout, pool_first in dict.fromkeys(plans):
                try:
                    form = _Form(self.model, these, layout, self.dtype, pool_first=pool_first)
                    form.refresh()
                    with torch.enable_grad():
                        found = form(point := sample.clone().requires_grad_())
                        if found.requires_grad:
                            torch.autograd.grad(found.sum(), point, materialize_grads=True)
                except REFUSALS as error:
                    trouble = error
                    continue
                if _close(found.detach(), expected, self.dtype or expected.dtype):
                    return form
        if self.dtype is not None:
            why = f"({trouble})" if trouble is not None else "(its logits are not those of float32)"
            raise UsageError(f"the attack does not run in bf16 on this net {why}; leave --attack-precision out")
        return None

    def _compile(self, images: Tensor) -> None:
        if self.compiler is None:
            return
        trouble: object = "the net runs as it is, without a twin"
        if self._form is not None:
            form, plain = self._form, self._form.run
            with evaluating(self.model), full_precision():
                try:
                    form.refresh()
                    with torch.no_grad():
                        expected = form(images)
                    form.run = torch.compile(plain, backend=self.compiler)
                    with torch.enable_grad():
                        found = form(point := images.detach().clone().requires_grad_())
                        torch.autograd.grad(found.sum(), point, materialize_grads=True)
                    if _close(found.detach(), expected, self.dtype or expected.dtype):
                        return
                    trouble = "its logits are others"
                except REFUSALS as error:
                    trouble = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
            form.run = plain
        logger.warning("caution: the attack is not compiled (%s); it runs as it is", trouble)


@dataclass(frozen=True)
class _Fold:
    """A convolution and the BatchNorm behind it in the net, and the convolution that is both in the twin."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d
    both: nn.Conv2d

    def refresh(self) -> None:
        convolution, norm = self.convolution, self.norm
        assert norm.running_mean is not None and norm.running_var is not None and self.both.bias is not None
        scale = torch.rsqrt(norm.running_var + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight
        bias = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
        bias = bias * scale
        if norm.bias is not None:
            bias = bias + norm.bias
        self.both.weight.copy_(convolution.weight * scale.view(-1, *[1] * (convolution.weight.dim() - 1)))
        self.both.bias.copy_(bias)


class _Form:
    """A copy of a net in one form, and how its weights are brought up to date."""

    def __init__(
        self,
        model: nn.Module,
        pairs: tuple[tuple[str, str], ...],
        layout: torch.memory_format,
        dtype: torch.dtype | None,
        *,
        pool_first: bool,
    ) -> None:
        self.pairs, self.layout, self.dtype = pairs, layout, dtype
        self.net = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        self.folds = []
        for convolution, norm in pairs:
            both = _with_bias(self.net.get_submodule(convolution))
            _replace(self.net, convolution, both)
            _replace(self.net, norm, nn.Identity())
            source, behind = model.get_submodule(convolution), model.get_submodule(norm)
            self.folds.append(_Fold(source, behind, both))  # type: ignore[arg-type]  # what `foldable` found
        self.net.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs leave it out
        if dtype is not None:
            self.net.to(dtype=dtype)
        # What runs: the copy, the same with ReLU and max pooling exchanged, or what was compiled of it.
        self.run: Network = (pooled_first(self.net) if pool_first else None) or self.net
        theirs = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        ours = {**dict(self.net.named_parameters()), **dict(self.net.named_buffers())}
        within = tuple(f"{convolution}." for convolution, _ in pairs)
        same = [name for name in ours if name in theirs and not name.startswith(within)]
        floats = [name for name in same if ours[name].is_floating_point()]
        self._theirs, self._ours = [theirs[name].detach() for name in floats], [ours[name] for name in floats]
        self._others = [(theirs[name], ours[name]) for name in same if name not in floats]

    @torch.no_grad()
    def refresh(self) -> None:
        if self._ours:
            torch._foreach_copy_(self._ours, self._theirs)
        for theirs, ours in self._others:
            ours.copy_(theirs)
        for fold in self.folds:
            fold.refresh()

    def __call__(self, images: Tensor) -> Tensor:
        if self.dtype is None:
            return self.run(images)
        return self.run(images.to(self.dtype)).to(images.dtype)


def foldable(model: nn.Module) -> tuple[tuple[str, str], ...]:
    """Return the names of each convolution and of the BatchNorm that alone takes what it gives, in eval mode.

    Read from the net's symbolic trace; a net that cannot be traced has none. Folding them is exact up to rounding.
    """
    with evaluating(model):
        try:
            graph = torch.fx.Tracer().trace(model)
        except REFUSALS:
            return ()
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    modules = dict(model.named_modules(remove_duplicate=False))
    counts = Counter(id(module) for module in modules.values())
    shared = Counter(id(value) for _, value in model.named_parameters(remove_duplicate=False))
    found = []
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, torch.fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        names = (str(before.target), str(node.target))
        convolution, norm = (modules[name] for name in names)
        if type(norm) is not _CONVOLUTIONS.get(type(convolution)):  # a subclass may compute anything
            continue
        alone = all(calls[name] == 1 and name not in read and counts[id(modules[name])] == 1 for name in names)
        own = all(shared[id(value)] == 1 for part in (convolution, norm) for value in part.parameters())
        if alone and own and norm.running_var is not None:
            found.append(names)
    return tuple(found)


def _with_bias(convolution: nn.Module) -> nn.Conv2d:
    # The copy is the twin's own: with a bias it is the same convolution, padding mode, groups and all.
    assert isinstance(convolution, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    if convolution.bias is None:
        zeros = convolution.weight.new_zeros(convolution.out_channels)
        convolution.bias = nn.Parameter(zeros, requires_grad=False)
    return convolution  # type: ignore[return-value]  # 1-d and 3-d ones have the same parts


def _replace(net: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(net.get_submodule(parent), own, module)


def _close(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    if found.shape != expected.shape:
        return False
    room = _TOLERANCE.get(dtype, 1e-4) * (1 + float(expected.abs().max()))
    return float((found - expected).abs().max()) <= room  # false where it is not a number
