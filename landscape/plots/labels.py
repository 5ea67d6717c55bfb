"""Which results are one curve, what it is called, and what the footnote says of them all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..results.describe import show
from ..results.kinds import KINDS
from ..results.result import Result
from ..units import format_eps

# What two results must share to be repeats of one experiment under other seeds.
_SETTINGS = (
    "eps", "train_eps", "norm", "model", "data", "data_sha256", "split", "n_examples", "n_parameters", "attack",
    "adversary", "batchnorm", "which", "method", "params", "weight_decay",
)  # fmt: skip

# What tells two curves of one eps apart, the first that does; each as a phrase.
_TELLING: tuple[Callable[[Result], str], ...] = (
    lambda result: str(result.attrs.get("model")).split(",")[0],
    lambda result: str(result.attrs.get("data")),
    lambda result: f"{result.attrs.get('split')} split",
    lambda result: f"N = {show(result.attrs.get('n_examples'))}",
    lambda result: f"epoch {_training(result).get('epoch')}",
    lambda result: f"{_training(result).get('eps_schedule')} ε",
    lambda result: str(result.attrs.get("params", "all parameters")),
    lambda result: f"weight decay {result.attrs.get('weight_decay', 0):g}",
    lambda result: f"adversary {result.attrs.get('adversary')}",
    lambda result: f"BatchNorm {result.attrs.get('batchnorm')}",
    lambda result: str(result.attrs.get("attack")),
    lambda result: str(result.attrs.get("which")),
    lambda result: str(result.attrs.get("method")),
    lambda result: net_name(_checkpoint(result)),
    lambda result: f"{str(result.attrs.get('checkpoint_sha256'))[:6]}",
)


@dataclass(frozen=True)
class Curve:
    """The results of one experiment, one per training seed, with the label that they share."""

    results: tuple[Result, ...]
    label: str

    @property
    def eps(self) -> float:
        """The radius that the curve is coloured by: the one trained at, else the one attacked with."""
        trained = _float(self.results[0], "train_eps")
        return trained if math.isfinite(trained) else _float(self.results[0], "eps")


def group(results: Sequence[Result]) -> list[Curve]:
    """Group results that differ in the training seed alone, and label the groups apart, in the order of their eps."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        members = groups.setdefault(settings_key(result), [])
        # The same seed twice is no repetition of the training: a curve of its own, told apart by its checkpoint.
        if any(_training(member).get("seed") == _training(result).get("seed") for member in members):
            members = groups.setdefault(f"{settings_key(result)} {len(groups)}", [])
        members.append(result)
    ordered = sorted(groups.values(), key=lambda members: _order(members[0]))
    labels = told_apart([members[0] for members in ordered])
    counted = [
        f"{label} ({len(members)} seeds)" if len(members) > 1 else label
        for label, members in zip(labels, ordered, strict=True)
    ]
    return [Curve(tuple(members), label) for members, label in zip(ordered, counted, strict=True)]


def net_name(checkpoint: str) -> str:
    """Return what a checkpoint is called without its folder and its suffix; "eps0.1" has none."""
    path = Path(checkpoint)
    return path.stem if path.suffix in (".pt", ".pth", ".ckpt", ".safetensors") else path.name


def settings_key(result: Result) -> str:
    """Return what repeats of one experiment under other training seeds have in common, as a text."""
    training = {key: value for key, value in _training(result).items() if key in _RECIPE}
    return repr([str(result.attrs.get(name)) for name in _SETTINGS] + sorted(training.items(), key=repr))


def eps_labels(results: Sequence[Result]) -> list[str]:
    """Return "ε = 8/255" for each result; with the training radius for all as soon as one was trained at another."""
    pairs = [(_float(result, "eps"), _float(result, "train_eps")) for result in results]
    told = any(trained != eps and not math.isnan(trained) for eps, trained in pairs)
    return [
        f"ε = {format_eps(eps)}" + (f" (trained at {format_eps(trained)})" if told else "") for eps, trained in pairs
    ]


def footnote(results: Sequence[Result]) -> str:
    """Return what every number of a figure rests on: net, data, N, eps, attack, adversary, BatchNorm."""
    decayed = [result for result in results if "weight_decay" in result.attrs]
    blocks = [result for result in results if "params" in result.attrs]
    attacked = [result for result in results if any(eps != 0 for eps in radii(result))]
    shown = dict.fromkeys(format_eps(eps) for result in sorted(results, key=_order) for eps in radii(result))
    parts = [
        f"{_all(results, 'model', short_spec)} (P = {_all(results, 'n_parameters')})",
        f"{_all(results, 'data', short_spec)} {_all(results, 'split')}, N = {_all(results, 'n_examples')}",
        f"{_all(results, 'norm', _norm)} ε = {', '.join(shown)}",
    ]
    if blocks:
        parts.insert(1, f"block {_all(blocks, 'params')}")
    if decayed:
        parts.append(f"weight decay {_all(decayed, 'weight_decay')} in the loss")
    if attacked:
        parts += [_all(attacked, "attack", _attack), f"adversary {_all(attacked, 'adversary')}"]
    if seeds := seeds_of(results):
        parts.append(seeds)
    return "; ".join([*parts, _all(results, "batchnorm", _batchnorm)])


def seeds_of(results: Sequence[Result]) -> str:
    """Return "training seeds 0, 1, 2", or nothing where the files do not say."""
    entries = [entry for result in results for entry in trainings(result)]
    found = {seed for entry in entries for seed in _several(entry.get("seed")) if isinstance(seed, int)}
    if not found:
        return ""
    low, high = min(found), max(found)
    run = len(found) > 3 and high - low == len(found) - 1
    shown = f"{low} to {high}" if run else ", ".join(map(str, sorted(found)))
    return f"training seed{'s' if len(found) > 1 else ''} {shown}"


def radii(result: Result) -> list[float]:
    """Return the eps of a result: one, or all of the ladder that is a dimension of it; of a run that of training."""
    spec = KINDS[result.kind].arrays.get("eps")
    ladder = spec is not None and spec.dims == ("eps",) and "eps" not in result.attrs
    if not ladder and result.kind == "traces" and "eps" not in result.attrs:
        return [_float(result, "train_eps")]
    return result.arrays["eps"].tolist() if ladder else [_float(result, "eps")]


# The part of `training` that a seed leaves alone; the history and the final errors differ in every run.
_RECIPE = {
    "eps", "eps_schedule", "eps_overshoot", "epochs", "epoch", "optimizer", "lr", "lr_schedule", "batch_size",
    "weight_decay", "momentum", "attack", "norm",
}  # fmt: skip


def told_apart(results: Sequence[Result]) -> list[str]:
    """Return a label for each result: its eps, and what tells it from the others of that eps."""
    labels = eps_labels(results)
    for telling in _TELLING:
        if len(set(labels)) == len(labels):
            break
        for label in {label for label in labels if labels.count(label) > 1}:
            alike = [index for index, other in enumerate(labels) if other == label]
            phrases = {index: telling(results[index]) for index in alike}
            if len(set(phrases.values())) > 1:
                for index, phrase in phrases.items():
                    labels[index] = f"{label}, {phrase}"
    return [label if labels.count(label) == 1 else f"{label} [{index + 1}]" for index, label in enumerate(labels)]


def _order(result: Result) -> tuple[float, ...]:
    values = (_float(result, "train_eps"), _float(result, "eps"))
    return tuple(math.inf if math.isnan(value) else value for value in values)


def _all(results: Sequence[Result], name: str, word: Callable[[Any], str] = show) -> str:
    found = _distinct(results, name, word)
    return found[0] if len(found) == 1 else " / ".join(found[:3]) + (" / ..." if len(found) > 3 else "")


def _distinct(results: Sequence[Result], name: str, word: Callable[[Any], str]) -> list[str]:
    return list(dict.fromkeys(word(result.attrs.get(name)) for result in sorted(results, key=_order)))


def short_spec(spec: Any) -> str:
    """Return a net's or a data set's spec without the sizes that its data gives it."""
    if isinstance(spec, list):  # of several nets
        return ", ".join(dict.fromkeys(map(short_spec, spec)))
    head, _, tail = show(spec).partition(":")
    kept = [part for part in tail.split(",") if part.partition("=")[0] not in ("", "input", "classes")]
    return f"{head}:{','.join(kept)}" if kept else head


def _attack(attack: Any) -> str:
    """Return "PGD-10 (step 0.25 ε)" for pgd:steps=10,rel_step=0.25,restarts=1, and any other attack as it is."""
    head, _, tail = show(attack).partition(":")
    settings = dict(part.split("=", 1) for part in tail.split(",") if "=" in part)
    if head != "pgd" or "steps" not in settings:
        return show(attack)
    notes = []
    if "step" in settings or "rel_step" in settings:
        notes.append(f"step {settings['step']}" if "step" in settings else f"step {settings['rel_step']} ε")
    if settings.get("restarts", "1") != "1":
        notes.append(f"{settings['restarts']} restarts")
    notes += [f"{key} {settings[key]}" for key in ("start", "keep") if key in settings]
    return f"PGD-{settings['steps']}" + (f" ({', '.join(notes)})" if notes else "")


def _batchnorm(policy: Any) -> str:
    return "no BatchNorm" if policy == "none" else f"BatchNorm {show(policy)}"


def _norm(norm: Any) -> str:
    return {"linf": "ℓ∞", "l2": "ℓ2"}.get(str(norm), "unknown norm")


def _float(result: Result, name: str) -> float:
    value = result.attrs.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def _training(result: Result) -> dict[str, Any]:
    """Return how a net was trained; of several nets the first."""
    return next(iter(trainings(result)), {})


def trainings(result: Result) -> list[dict[str, Any]]:
    """Return how each net of a result was trained."""
    return [entry for entry in _several(result.attrs.get("training")) if isinstance(entry, dict)]


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _checkpoint(result: Result) -> str:
    checkpoint = result.attrs.get("checkpoint")
    return str(checkpoint[0] if isinstance(checkpoint, list) and checkpoint else checkpoint)
