"""Result files as replicates: one number for each trained net, what it rests on, and whether they may be compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ResultError, UsageError
from ..spec import nearest
from ..units import format_eps
from .caveats import is_collapsed
from .describe import show
from .kinds import KINDS
from .quantities import MEASURES, Choice, cells_known, chosen_eps, measure
from .result import Result
from .store import read_result

# What decides a number beside the net and its training: the same in all files, unless they are grouped by it.
_SETTINGS = (
    "data_sha256", "split", "n_examples", "seed", "model", "n_parameters", "norm", "batchnorm", "params",
    "weight_decay", "which", "units", "direction_names", "preset", "cascade", "ensemble", "curve", "interior_points",
    "along", "positions", "loss_function",
)  # fmt: skip
_OF_ATTACKS = ("attack", "adversary")  # told for eps > 0 alone: nothing attacks the clean loss
# What a seed leaves alone in a recipe, and what is said where groups differ in it.
_RECIPE = (
    "eps_schedule", "epochs", "epoch", "optimizer", "lr", "lr_schedule", "batch_size", "weight_decay", "momentum",
    "attack", "loss",
)  # fmt: skip

_FEW = "a comparison needs two files or more, a few training seeds for each group; name them all"
_OUTCOMES = ("seed", "final", "best", "guard", "history")  # of a `training` entry: no settings that runs could share

# What tells groups apart: the name of an attribute or of a setting of training, or a word made of the settings.
By = str | Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Replicate:
    """One trained net: its group, its training seed (None: unknown), the number, and what it is over examples.

    What is measured of two nets, as a barrier between them is, has the seeds of both, and the pair is the replicate.

    `parts` (N,) are the contributions of the examples, the same in every replicate, and the number is their mean;
    `error` is the standard error over examples where single ones are not stored, NaN where it is not known.
    """

    name: str
    group: float | str
    seed: int | tuple[int, ...] | None
    value: float
    parts: np.ndarray | None
    error: float
    sha256: str | tuple[str, ...] | None
    training: dict[str, Any]
    collapsed: bool | None

    @classmethod
    def of_number(cls, value: float, *, group: float | str = "", seed: int | None = None) -> Replicate:
        """Return a number of one training run as a replicate; what it is over examples is left aside."""
        return cls(str(seed), group, seed, value, None, 0.0, None, {}, None)


@dataclass(frozen=True)
class Replicates:
    """All replicates of a comparison: the quantity in words, its unit, and cautions that hold for the whole."""

    nets: tuple[Replicate, ...]
    quantity: str
    unit: str
    cautions: tuple[str, ...]


def read_replicates(
    paths: Sequence[Path], *, by: By, quantity: str | None = None, eps: float | None = None, at: float | None = None
) -> Replicates:
    """Read result files of one kind as replicates, grouped by `by`.

    Raises UsageError for fewer than two nets, several kinds, or a quantity that the kind has not; ResultError, naming
    the two files and what differs, where their numbers would not compare, and where a net comes twice.
    """
    if not paths:
        raise UsageError(_FEW)
    read = [(path, read_result(path, only=_small(path))) for path in paths]
    kinds = sorted({result.kind for _, result in read})
    if len(kinds) > 1:
        raise UsageError(f"the files are results of {' and '.join(kinds)}; a comparison is of one kind, name its files")
    if kinds[0] not in MEASURES:
        raise UsageError(f"{kinds[0]} results are not compared; wanted {', '.join(MEASURES)}")
    results = [result for _, result in read]
    choice = Choice.of(results, quantity=quantity, at=at)
    radii = [chosen_eps(result, eps) for result in results]
    _check_eps(paths, results, radii, by)
    _check_settings(paths, results, radii, by)
    choice = replace(choice, cells=cells_known(paths, results, radii, choice))
    nets: list[Replicate] = []
    for (path, result), radius in zip(read, radii, strict=True):
        nets += _replicates(path, result, radius, choice, by)
    if len(nets) < 2:
        raise UsageError(_FEW)
    _check_repeats(nets)
    own = len({round(radius, 12) for radius in radii}) > 1 and by != "eps"
    where = "each net at its own eps" if own else "" if by == "eps" else f"eps = {format_eps(radii[0])}"
    words = ", ".join(part for part in (choice.words, where) if part)
    return Replicates(tuple(nets), words, choice.unit, tuple(_cautions(nets, choice, by)))


def recipe_of(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a `training` entry: what runs that differ in their seed alone have in common."""
    return {name: value for name, value in training.items() if name not in _OUTCOMES}


def _small(path: Path) -> list[str]:
    """Return the names of the arrays that are not large: no eigenvectors, no losses of single examples."""
    from .store import read_kind

    return [name for name, array in KINDS[read_kind(path)].arrays.items() if not {"P", "n"} & {*array.dims}]


def _check_eps(paths: Sequence[Path], results: Sequence[Result], radii: Sequence[float], by: By) -> None:
    """Refuse files at different radii, unless each is at that of its net's training or they are grouped by it."""
    if by == "eps" or len({round(radius, 12) for radius in radii if not math.isnan(radius)}) <= 1:
        return
    for path, result, radius in zip(paths, results, radii, strict=True):
        trained = result.attrs.get("train_eps")
        if not isinstance(trained, float) or not math.isclose(trained, radius, rel_tol=1e-9, abs_tol=1e-12):
            other = next(k for k, value in enumerate(radii) if not math.isclose(value, radius, abs_tol=1e-12))
            raise ResultError(
                f"eps differs: {format_eps(radius)} in {path}, {format_eps(radii[other])} in {paths[other]}; compare "
                "files of one eps, or each at the eps that its net was trained at"
            )


def _check_settings(paths: Sequence[Path], results: Sequence[Result], radii: Sequence[float], by: By) -> None:
    ignored = {by, "n_parameters"} if by == "model" else {by}
    for name in (*_SETTINGS, *_OF_ATTACKS):
        if name in ignored:
            continue
        first: tuple[Path, Any] | None = None
        for path, result, radius in zip(paths, results, radii, strict=True):
            if name in _OF_ATTACKS and radius == 0:
                continue
            value = result.attrs.get(name)
            if name == "model" and isinstance(value, list):
                value = sorted(set(value))[0] if len(set(value)) == 1 else value
            if first is None:
                first = (path, value)
            elif value != first[1]:
                raise ResultError(
                    f"{name} differs: {show(first[1], name)} in {first[0]}, {show(value, name)} in {path}; compare "
                    f"results of the same settings, or group them with --by {name}"
                )


def _replicates(path: Path, result: Result, eps: float, choice: Choice, by: By) -> list[Replicate]:
    """Return the nets of a file: one, or each row of an evaluation of several."""
    count = len(result.arrays["checkpoints"]) if result.kind == "evaluate" else 1
    found = []
    for row in range(count):
        training = _nth(result.attrs.get("training"), row, count)
        training = training if isinstance(training, dict) else {}
        value, parts, error = measure(path, result, eps, choice, row)
        if not math.isfinite(value):
            raise ResultError(f"{path} has no finite {choice.words}; leave it out, or choose another --quantity")
        seed, hashes = training.get("seed"), _nth(result.attrs.get("checkpoint_sha256"), row, count)
        found.append(
            Replicate(
                name=str(path) if count == 1 else f"{path}, row {row + 1}",
                group=_group(path, result, training, by, eps),
                seed=_seed(seed),
                value=value,
                parts=parts,
                error=error,
                sha256=tuple(hashes) if isinstance(hashes, list) else hashes,
                training=training,
                collapsed=is_collapsed(result, row),
            )
        )
    return found


def _group(path: Path, result: Result, training: dict[str, Any], by: By, eps: float) -> float | str:
    if not isinstance(by, str):
        return by(training)
    if by == "eps":
        return eps
    value = result.attrs.get(by)
    if value is None or (isinstance(value, float) and math.isnan(value)) or isinstance(value, list | dict):
        value = training.get("eps" if by == "train_eps" else by)
    if value is None or isinstance(value, list | dict) or (isinstance(value, float) and math.isnan(value)):
        known = [name for name, item in {**training, **result.attrs}.items() if isinstance(item, str | int | float)]
        raise ResultError(f"{path} does not say its {by}, to group by; {nearest(by, known)}")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _check_repeats(nets: Sequence[Replicate]) -> None:
    seen: dict[tuple[float | str, object], Replicate] = {}
    for net in nets:
        hashes = net.sha256 if isinstance(net.sha256, tuple) else [net.sha256] if net.sha256 else []
        seeds = net.seed if isinstance(net.seed, tuple) else [] if net.seed is None else [net.seed]
        keys: list[object] = [*hashes, *(("seed", seed) for seed in seeds)]
        for key in keys:
            other = seen.setdefault((net.group, key), net)
            if other is not net:
                shared = f"the training seed {key[1]}" if isinstance(key, tuple) else "a net"
                if isinstance(net.seed, tuple):
                    what = f"pairs that share {shared}"
                else:
                    what = f"nets of the same training seed, {key[1]}" if isinstance(key, tuple) else "the same net"
                raise ResultError(
                    f"{other.name} and {net.name} are {what}, in one group ({net.group}): a replicate counts once; "
                    "leave one out, or group with --by by what tells them apart"
                )


def _cautions(nets: Sequence[Replicate], choice: Choice, by: By) -> list[str]:
    found = list(choice.cautions)
    for name in _RECIPE:
        values = {repr(net.training.get(name)) for net in nets}
        if name != by and len(values) > 1:
            listed = ", ".join(sorted(value.strip("'") for value in values)[:4])
            found.append(f"the trainings differ in {name} ({listed}) beside {by}: the effect may be its")
    if any(net.seed is None for net in nets):
        found.append("some files do not say their training seed: nothing is paired")
    if unknown := sum(net.collapsed is None for net in nets):
        found.append(f"{unknown} of {len(nets)} files do not say whether their net is a constant classifier")
    return found


def _seed(told: Any) -> int | tuple[int, ...] | None:
    """Return the training seed of a net, or those of a pair, as a file says them."""
    if isinstance(told, list) and told and all(isinstance(one, int) for one in told):
        return tuple(told)
    return told if isinstance(told, int) else None


def _nth(value: Any, row: int, count: int) -> Any:
    if isinstance(value, list) and len(value) == count:
        return value[row]
    return value
