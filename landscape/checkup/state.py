"""Is the net the same function at every call, are its BatchNorm statistics of these data, and are its units alive?"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..borrow import evaluating, full_precision
from ..geometry import recalibration
from ..losses import per_example
from .patient import LOOK, OK, STOP, Finding, Patient, percent

_SAME = 1e-3  # of the largest score: more than rounding, less than any randomness that matters
_SHIFT, _RATIO = 0.5, 4.0  # of a deviation; of a variance: beyond them, half the channels see other data
_DEAD = 0.5  # share of a layer's units


def determinism(patient: Patient) -> Finding:
    """Check that two passes over the same images agree in eval mode."""
    few = patient.images[:64]
    one, other = patient.outputs(few), patient.outputs(few)
    apart = _apart(one, other)
    if apart > _SAME:
        left_on = sorted({type(m).__name__ for m in patient.model.modules() if "ropout" in type(m).__name__})
        hint = f" ({', '.join(left_on)} is there)" if left_on else ""
        return Finding(
            "determinism",
            STOP,
            f"two passes in eval mode differ by {apart:.1e} of the largest score",
            f"something random is left on in eval mode{hint}: pass training=self.training to F.dropout, fix the noise, "
            "or return the mean over draws",
        )
    return Finding("determinism", OK, f"two passes in eval mode agree to {apart:.0e}")


def batch_independence(patient: Patient) -> Finding:
    """Check that the scores of an image do not depend on the others of its batch."""
    few = patient.images[:32]
    apart = _apart(patient.outputs(few), patient.outputs(few, batch=1))
    if apart > _SAME:
        return Finding(
            "batch independence",
            STOP,
            f"alone and in a batch of {len(few)}, an image's scores differ by {apart:.1e} of the largest",
            "BatchNorm without running statistics, or another mean over the batch: a loss of single examples does not "
            "exist; give it statistics, or use GroupNorm",
        )
    return Finding("batch independence", OK, f"an image alone and in a batch agree to {apart:.0e}")


def batchnorm(patient: Patient) -> Finding:
    """Check BatchNorm's running statistics against those of the examples, and the loss under either."""
    layers = [(name, m) for name, m in patient.model.named_modules() if isinstance(m, _BatchNorm)]
    if not layers:
        return Finding("BatchNorm", OK, "the net has none")
    tracked = [(name, m) for name, m in layers if m.track_running_stats and m.running_mean is not None]
    if len(tracked) < len(layers):
        return Finding(
            "BatchNorm",
            STOP,
            f"{len(layers) - len(tracked)} of {len(layers)} layers keep no running statistics",
            "the net is another function of each batch; give the layers statistics (track_running_stats=True), or use "
            "GroupNorm",
        )
    fresh = [name for name, m in tracked if _fresh(m)]
    strange = [name for name, shift, ratio in _shifts(patient, tracked) if shift > _SHIFT or ratio > _RATIO]
    loss, error = patient.judged(patient.scores)
    anew_loss, anew_error = _recalibrated(patient)
    told = (
        f"{len(strange)} of {len(tracked)} layers far from these data; "
        f"loss {loss:.3g}, {anew_loss:.3g} with statistics of these images"
    )
    gained = (anew_error < error - 0.05 or not patient.counts) and anew_loss < 0.7 * loss
    if fresh and gained:
        return Finding(
            "BatchNorm",
            STOP,
            f"{len(fresh)} of {len(tracked)} layers were never given statistics (mean 0, variance 1); {told}",
            "load the buffers (running_mean, running_var) with the weights, or run the net over training images in "
            "train mode and save it again",
        )
    if gained:
        return Finding(
            "BatchNorm",
            STOP,
            f"{told}; error {percent(error)}, {percent(anew_error)}" if patient.counts else told,
            "the statistics are not those of these data and weights: an EMA without its buffers, or other data; "
            "recalibrate the net, or scan with landscape surface --batchnorm clean-recal",
        )
    if strange:
        return Finding("BatchNorm", LOOK, told, f"compare the data with those of training; the first is {strange[0]}")
    return Finding("BatchNorm", OK, told)


def dead_units(patient: Patient) -> Finding:
    """Check which units take part: one whose weights have a gradient of exactly 0 on every example is dead."""
    moving = {name: value for name, value in patient.model.named_parameters() if value.requires_grad}
    totals = {name: torch.zeros_like(value) for name, value in moving.items()}
    size = patient.batch_size or 128
    with evaluating(patient.model), full_precision():
        for start in range(0, len(patient.images), size):
            outputs = patient.model(patient.images[start : start + size])
            loss = per_example(patient.loss, outputs, patient.labels[start : start + size]).sum()
            gradients = torch.autograd.grad(loss, list(moving.values()), materialize_grads=True, allow_unused=True)
            for total, gradient in zip(totals.values(), gradients, strict=True):
                total += gradient.abs()
    shares = {
        name: float(total.flatten(1).eq(0).all(1).double().mean()) for name, total in totals.items() if total.dim() > 1
    }
    if not shares:
        return Finding("dead units", OK, "the net has no layer of several weights a unit")
    worst = max(shares, key=lambda name: shares[name])
    units = sum(len(totals[name]) for name in shares)
    dead = sum(round(shares[name] * len(totals[name])) for name in shares)
    told = f"{dead:,} of {units:,} units are dead on these {len(patient.images):,} images"
    if shares[worst] == 1:
        return Finding(
            "dead units",
            STOP,
            f"{told}; all of {worst}",
            "the scores do not depend on that layer: the net is a constant, or does not use it; check the weights",
        )
    if shares[worst] > _DEAD:
        return Finding(
            "dead units",
            LOOK,
            f"{told}; {percent(shares[worst])} of {worst}",
            "the Hessian is exactly 0 along their weights; widths and spectra of such layers are not what they seem",
        )
    return Finding("dead units", OK, told)


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-30))


def _fresh(layer: Any) -> bool:
    """Return whether a layer has the statistics that it was made with."""
    mean, variance = layer.running_mean, layer.running_var
    return not bool(mean.any()) and bool((variance == 1).all())


def _shifts(patient: Patient, layers: list[tuple[str, Any]]) -> list[tuple[str, float, float]]:
    """Return (name, median shift of the mean in deviations, median ratio of variances) of each BatchNorm layer."""
    seen: dict[str, Tensor] = {}
    net = copy.deepcopy(patient.model)
    named = dict(net.named_modules())

    def listen(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach().transpose(0, 1).flatten(1)
            seen[name] = torch.stack([x.mean(1), x.var(1, unbiased=False)])

        return hook

    for name, _ in layers:
        named[name].register_forward_pre_hook(listen(name))
    with torch.no_grad(), full_precision():
        net.eval()(patient.images[:512])
    rows = []
    for name, layer in layers:
        if name in seen:
            mean, variance = seen[name]
            shift = (mean - layer.running_mean).abs() / (layer.running_var + layer.eps).sqrt()
            ratio = (variance + layer.eps) / (layer.running_var + layer.eps)
            rows.append((name, float(shift.median()), float(torch.maximum(ratio, 1 / ratio).median())))
    return rows


def _recalibrated(patient: Patient) -> tuple[float, float]:
    """Return loss and error with the statistics of the examples themselves."""
    objective = patient.objective(len(patient.images))
    statistics = recalibration(objective, "clean-recal", None, _no_attack())
    weights = {name: value.detach() for name, value in patient.model.named_parameters()}
    network = objective.network_of({**weights, **statistics.at(weights)})
    size = patient.batch_size or 128
    with evaluating(patient.model), full_precision(), torch.no_grad():
        parts = [network(patient.images[start : start + size]) for start in range(0, len(patient.images), size)]
    return patient.judged(torch.cat(parts))


def _no_attack() -> Any:
    from ..attacks import PGD, LinfBall

    return PGD(LinfBall(0.0))
