"""What is handed to an analysis: read as what is meant, or refused in one sentence before any work is done."""

from __future__ import annotations

import itertools
import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from .attacks import PGD, make_ball, parse_attack
from .borrow import evaluating, full_precision, twice_differentiable
from .data import to_unit
from .errors import UsageError
from .losses import Loss, cross_entropy, per_example
from .memory import out_of_memory
from .models import normalisation_of
from .objective import Objective
from .units import check_eps, parse_eps

_SAME = 1e-2  # of the largest output: more than any precision, less than any randomness
_LINE = 160  # letters of a message of torch's that is quoted


def read_eps(eps: Any, norm: str) -> float:
    """Return a radius in pixel units from a number, an array or tensor of no dimension, or a text such as "4/255"."""
    if isinstance(eps, str):
        return parse_eps(eps, norm=norm)
    if isinstance(eps, Tensor | np.ndarray) and eps.ndim == 0:
        eps = eps.item()
    if isinstance(eps, bool) or not isinstance(eps, numbers.Real):
        raise UsageError(f"eps = {eps!r} is no radius; wanted 0 or more in pixel units of [0, 1], such as 4/255")
    return check_eps(float(eps), norm=norm)


def read_attack(attack: Any, norm: str | None, eps: Any) -> PGD:
    """Return the attack, an object or as commands write it, with its radius at `eps`; `norm` None is its own, or l-inf.

    Raises UsageError where an object's ball is of another norm than the one given.
    """
    if isinstance(attack, PGD):
        own = attack.ball.norm
        if norm not in (None, own):
            raise UsageError(f"norm = {norm!r} came with an attack in a ball of {own}; leave norm out, or give {own!r}")
        return attack.with_eps(read_eps(eps, own))
    if not isinstance(attack, str):
        raise UsageError(f"attack = {attack!r}; wanted a PGD object, or a text such as pgd:steps=10,rel_step=0.25")
    norm = norm or "linf"
    return parse_attack(attack, make_ball(norm, read_eps(eps, norm)))


def read_ladder(attack: str | PGD, norm: str | None, eps: float | str | Sequence[float | str]) -> list[PGD]:
    """Return the attack at each radius, in growing order; raise UsageError for a radius that comes twice, or none."""
    if isinstance(eps, str) and "," in eps:
        eps = [part.strip() for part in eps.split(",")]
        if "" in eps:
            raise UsageError("a radius is empty between commas; write 0,2/255,4/255")
    radii = [eps] if isinstance(eps, str) or not isinstance(eps, Sequence | np.ndarray) else list(eps)
    if not radii:
        raise UsageError("no radius came; give --eps 0,4/255, or one alone")
    attacks = sorted((read_attack(attack, norm, value) for value in radii), key=lambda one: one.ball.eps)
    values = [one.ball.eps for one in attacks]
    if len(set(values)) < len(values):
        raise UsageError(f"a radius came twice among {', '.join(map(str, radii))}; give each once")
    return attacks


def read_integer(name: str, value: Any, *, least: int) -> int:
    """Return a whole number of at least `least`."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise UsageError(f"{name} = {value!r}; wanted a whole number, {least} or more")
    return number


def read_positive(name: str, value: Any, *, such_as: str) -> float:
    """Return a finite number over 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise UsageError(f"{name} = {value!r}; wanted a finite positive number, such as {such_as}")
    return float(value)


def check_model(model: Any) -> None:
    """Raise UsageError unless `model` is a module whose weights are there."""
    if not isinstance(model, nn.Module):
        came = repr(model) if isinstance(model, str) else f"a {type(model).__name__}"
        raise UsageError(f"{came} came as the model; wanted a torch.nn.Module: load it with landscape.load_model")
    for name, value in itertools.chain(model.named_parameters(), model.named_buffers()):
        if is_lazy(value):
            raise UsageError(f"{name} has no shape yet, for its layer is lazy; call the net once on an image first")
        if value.is_meta:
            raise UsageError(
                f"{name} is on the meta device, which holds no numbers; "
                "load the net's weights with landscape.load_model, or model.to_empty(device='cpu') and load_state_dict"
            )


def check_twice_differentiable(objective: Objective) -> None:
    """Take one example through all that a Hessian needs, the attack included; two, to see that each stands for itself.

    Raises UsageError where the net, which may be anybody's, has no second derivative, or where the loss of an example
    depends on its batch or on the call.
    """
    few = Objective(
        objective.model,
        objective.images[:2],
        objective.labels[:2],
        attack=objective.attack,
        loss=objective.loss,
        params=objective.params,
        batch_size=2,
    )
    try:
        few = few.freeze()
        together = few.outputs()[0]
        few.batch_size = 1
        alone = few.outputs()[0]
        with evaluating(few.model), full_precision(), twice_differentiable():
            for batch in few.batches():
                leaves, gradients = few.first_backward(few.w0, batch, create_graph=True)
                curved = [gradient for gradient in gradients if gradient.requires_grad]
                if curved:
                    total = torch.stack([gradient.square().sum() for gradient in curved]).sum()
                    torch.autograd.grad(total, leaves, materialize_grads=True)
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        raise UsageError(
            f"the net's loss cannot be differentiated twice ({type(error).__name__}: {_first_line(error)}); look for "
            "no_grad, changes in place, activation checkpointing, or an operation without a second derivative"
        ) from error
    if float((together - alone).abs().max()) > _SAME * float(together.abs().max()):
        raise UsageError(
            "the net's outputs for one image depend on the other images of its batch, or change from call to call; "
            "look for BatchNorm without running statistics, or randomness that eval mode leaves on"
        )


def _first_line(error: Exception) -> str:
    text = " ".join(next(iter(str(error).splitlines()), "").split())
    return text if len(text) <= _LINE else text[: _LINE - 3] + "..."


def check_outputs(
    model: nn.Module,
    images: Tensor,
    *,
    classes: int,
    loss: Loss = cross_entropy,
    labels: Tensor | None = None,
    name: str = "the net",
    data: str = "the data",
) -> None:
    """Run a net, which may be anybody's, on the first of `images` (N, C, H, W) twice; it is left as it was.

    Raises UsageError for what `outputs_of_one` refuses, where the second call gives other outputs than the first, and,
    with `labels` (N, ...), where the loss fails on them.
    """
    one, again = (outputs_of_one(model, images, classes=classes, loss=loss, name=name, data=data) for _ in range(2))
    apart = float((one - again).abs().max()) if one.shape == again.shape and one.numel() else 0.0
    if apart > _SAME * float(one.abs().max()):
        raise UsageError(
            f"{name} gives another output at each call; look for dropout, or other randomness, that eval mode "
            "leaves on (F.dropout(x, training=self.training))"
        )
    if labels is not None:
        check_loss(loss, one, labels)


def check_loss(loss: Loss, outputs: Tensor, labels: Tensor) -> None:
    """Raise UsageError where a loss, which may be anybody's, fails on the outputs (1, ...) for the first example."""
    try:
        per_example(loss, outputs, labels[:1].to(outputs.device))
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"the loss fails on the net's outputs {tuple(outputs.shape)} for one image ({type(error).__name__}: "
            f"{_first_line(error)}); it takes outputs (N, ...) and labels (N, ...), and returns N values"
        ) from error


def outputs_of_one(
    model: nn.Module,
    images: Tensor,
    *,
    classes: int,
    loss: Loss = cross_entropy,
    name: str = "the net",
    data: str = "the data",
) -> Tensor:
    """Return a net's outputs (1, ...) for the first of `images` (N, C, H, W); the net is left as it was.

    Raises UsageError, in the words `name` and `data`, where it has no parameters, fails, or gives something else than
    one row of scores for `classes` classes; for another loss than the cross-entropy, than one tensor.
    """
    # Images come in the precision of the weights that move: a frozen part of another casts by itself.
    first = next((p for p in model.parameters() if p.requires_grad), next(model.parameters(), None))
    if first is None:
        raise UsageError(f"{name} has no parameters, and so no landscape; give another net")
    shown = f"{'x'.join(map(str, images.shape[1:]))} images in {classes} classes"
    try:
        with torch.no_grad(), evaluating(model):
            outputs = model(to_unit(images[:1], device=first.device, dtype=first.dtype))
    except Exception as error:
        if out_of_memory(error):
            raise
        raise UsageError(
            f"{name} fails on the {shown} of {data} "
            f"({type(error).__name__}: {' '.join(str(error).split())}); give the --data that it was made for"
        ) from error
    if not isinstance(outputs, Tensor):
        raise UsageError(
            f"{name} gives a {type(outputs).__name__} for one image; wanted one tensor: "
            "wrap the net in a module that returns its scores alone"
        )
    shape = tuple(outputs.shape)
    if loss is cross_entropy and (len(shape) != 2 or shape[0] != 1 or shape[1] < classes):
        raise UsageError(
            f"{name} gives {shape} for one image, and {data} has labels of {classes} classes; "
            f"wanted outputs (1, {classes}), or wider: give the --data that it was made for"
        )
    return outputs


def check_alike(one: nn.Module, other: nn.Module, images: Tensor) -> None:
    """Run two nets whose trainable parameters agree in name and shape on the first of `images` (N, C, H, W).

    Raises UsageError where the first net, given the trainable weights and the buffers of the second, does not give the
    outputs of the second: then they differ in more, and no point of the first's weight space is the second net.
    """
    first = next(one.parameters())
    inside = [normalisation_of(net) for net in (one, other)]
    if (inside[0] is None) != (inside[1] is None) or not all(
        torch.equal(own, theirs) for own, theirs in zip(*(part or () for part in inside), strict=True)
    ):
        raise UsageError("the nets normalise images in different ways, and no curve leads from one to the other's")
    with torch.no_grad(), evaluating(one), evaluating(other):
        inputs = to_unit(images[:8], device=first.device, dtype=first.dtype)
        theirs: dict[str, Tensor] = {name: value for name, value in other.named_parameters() if value.requires_grad}
        own = dict(one.named_buffers())
        theirs |= {name: value for name, value in other.named_buffers() if name in own}
        if all(own[name].shape == value.shape for name, value in theirs.items() if name in own):
            found, wanted = functional_call(one, theirs, (inputs,)), other(inputs)
            if torch.allclose(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()), equal_nan=True):
                return
    raise UsageError(
        "the first net with the weights of the second gives other outputs than the second: they differ in more than "
        "trainable weights and BatchNorm, such as an activation or frozen parameters; give two nets of one --model"
    )
