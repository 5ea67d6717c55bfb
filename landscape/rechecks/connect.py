"""Recheck a way between two nets: its ends, its midpoint and some places between, and the barriers of its losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from landscape.analyses.connect import lay_out, line_between

from ..data import ImageData
from ..errors import ResultError
from ..geometry import Curve, make_curve, segment
from ..results.barrier import measure_barrier
from ..results.kinds.surface import EVALUATED, NOT_FINITE
from ..surfaces.along import Along
from .case import Case, as_tensor
from .numbers import Key, Nets, Stored, Unit, near, same, share
from .origin import control_points

PLACES = 2  # beside the ends and the midpoint
_OF_PLACE = ("loss", "loss_se", "error_rate")
_SLOPES = ("gradient_norm", "lambda_1", "lambda_1_residual")


def not_rechecked(case: Case) -> Iterator[str]:
    """Say what of a connect result is taken on trust."""
    if "curve_training" in case.attrs:
        yield "how the control points were trained, and in how many steps"
    if "plane_points" in case.arrays:
        yield "the curve's projection on a plane, of which pictures are drawn"


def units(case: Case) -> Iterator[Unit]:
    """Yield the parts of a connect result to recompute."""
    arrays = case.arrays
    yield Unit("the file itself", dict(_within(case)), lambda nets: _among(case), moves=False)
    inner = control_points(case.origin)
    groups = _splits(case)
    held: list[tuple[Nets, Along]] = []

    def along(nets: Nets) -> Along:
        if not held or held[-1][0] is not nets:
            del held[1:]  # that of the file's own nets stays
            held.append((nets, _along(case, nets, inner, list(groups.values()))))
        return held[0][1] if held[0][0] is nets else held[-1][1]

    lengths = {(name, ""): near(case.attrs[name], rounding=1e-5) for name in ("curve_length", "line_length")}
    yield Unit(
        "lengths",
        lengths,
        lambda nets: {
            ("curve_length", ""): along(nets).curves[0].length,
            ("line_length", ""): along(nets).curves[-1].length,
        },
    )
    places = arrays["t"].tolist()
    middle = int(np.argmin(np.abs(arrays["t"] - 0.5)))
    others = [place for place in range(1, len(places) - 1) if place != middle]
    picked = {0, middle, len(places) - 1} | {others[i] for i in case.picked("places", len(others), PLACES)}
    curves = 1 if case.attrs["curve"] == "line" else 2
    for place in sorted(picked):
        rows = {  # of the scan, by the prefix of the file's arrays
            f"{group}{prefix}": (curve * len(groups) + split)
            for split, group in enumerate(groups)
            for curve, prefix in enumerate(["", "line_"][:curves])
        }
        if place in (0, len(places) - 1):
            rows |= {f"{group}deployed_": curves * len(groups) + split for split, group in enumerate(groups)}
        yield _place(case, place, rows, along)


def _place(case: Case, place: int, rows: dict[str, int], along: Callable[[Nets], Along]) -> Unit:
    arrays, t = case.arrays, float(case.arrays["t"][place])
    eps = arrays["eps"].tolist()
    stored: dict[Key, Stored] = {}
    known = {}
    for prefix, row in rows.items():
        column = place if not prefix.endswith("deployed_") else int(place > 0)
        status = arrays.get(f"{prefix}status")
        if status is not None and not np.isin(status[:, column], (EVALUATED, NOT_FINITE)).all():
            continue
        known[prefix] = row
        n = case.attrs["n_examples"] if "/" not in prefix else case.attrs["other_examples"]
        for e, radius in enumerate(eps):
            where, loss = f"t {t:.4g}, eps {radius:g}", float(arrays[f"{prefix}loss"][e, column])
            stored[f"{prefix}loss", where] = near(loss)
            stored[f"{prefix}loss_se", where] = near(arrays[f"{prefix}loss_se"][e, column], scale=loss)
            stored[f"{prefix}error_rate", where] = share(arrays[f"{prefix}error_rate"][e, column], int(n))

    if "" in known and "gradient_norm" in arrays:
        size = float(arrays["gradient_norm"][place]) + 0.01
        stored["gradient_norm", f"t {t:.4g}"] = near(arrays["gradient_norm"][place], scale=size, rounding=1e-3)
    if "" in known and "lambda_1" in arrays:
        value, residual = (float(arrays[name][place]) for name in _SLOPES[1:])
        stored["lambda_1", f"t {t:.4g}"] = Stored(value, 2 * residual + 1e-4 * abs(value))

    def measure(nets: Nets) -> dict[Key, float]:
        found: dict[Key, float] = {}
        for prefix, row in known.items():
            values, _ = along(nets).values(t, row)
            for e, radius in enumerate(eps):
                for name in _OF_PLACE:
                    found[f"{prefix}{name}", f"t {t:.4g}, eps {radius:g}"] = float(values[name][e])
            if prefix == "" and "slopes" in values:
                found |= {(name, f"t {t:.4g}"): float(v) for name, v in zip(_SLOPES, values["slopes"], strict=True)}
        return found

    return Unit(f"t = {t:.4g}", stored, measure)


def _splits(case: Case) -> dict[str, ImageData]:
    """Return the splits of a file by the groups of its arrays, its own first."""
    found = {"": case.data}
    for split in ("train", "test"):
        if f"{split}/loss" in case.arrays:
            found[f"{split}/"] = case.origin.data(split)
    return found


def _along(case: Case, nets: Nets, inner: torch.Tensor | None, splits: list[ImageData]) -> Along:
    attrs, attacks = case.attrs, case.ladder()
    line = line_between(*nets)
    curves: list[Curve] = [line]
    interior = int(attrs["interior_points"])
    if attrs["curve"] != "line":
        ends = line.points
        points = (
            segment(ends[0], ends[-1], interior)
            if inner is None
            else torch.cat([ends[:1], as_tensor(inner.numpy(), nets[0]), ends[-1:]])
        )
        if len(points) != interior + 2:
            raise ResultError(f"{case.path} says {interior} control points, and their file holds {len(points) - 2}")
        curves = [make_curve(str(attrs["curve"]), points), line]
    training = attrs.get("curve_training") or {}
    settings = attrs.get("settings") or {}
    radius = settings.get("recalibration_eps", training.get("eps"))
    if radius is None or training.get("norm") not in (None, attrs["norm"]):
        radius = attacks[-1].ball.eps
    policy = str(attrs["batchnorm"])
    learnt = case.data if case.attrs["split"] == "train" else case.origin.other("train") or case.data
    models: tuple[nn.Module, nn.Module] = (nets[0], nets[1])
    return lay_out(
        models,
        curves,
        splits,
        attacks,
        batchnorm="frozen" if policy == "none" else policy,
        recalibrate_on=learnt,
        recalibration_eps=float(radius),
        n_examples=int(attrs["n_examples"]),
        seed=int(attrs["seed"]),
        batch_size=case.batch_size,
        loss=case.loss,
        gradient="gradient_norm" in case.arrays,
        lambda_1="lambda_1" in case.arrays,
    )


def _ways(case: Case) -> list[str]:
    return [prefix for prefix in ("", "line_") if f"{prefix}example_loss" in case.arrays]


def _within(case: Case) -> Iterator[tuple[Key, Stored]]:
    arrays = case.arrays
    for prefix in _ways(case):
        for e, radius in enumerate(arrays["eps"]):
            for place, t in enumerate(arrays["t"]):
                loss = float(arrays[f"{prefix}loss"][e, place])
                yield (f"{prefix}loss beside its examples'", f"t {t:.4g}, eps {radius:g}"), near(loss, rounding=1e-6)
            for name in ("barrier", "barrier_low", "barrier_high", "barrier_over_ends"):
                yield (f"{prefix}{name} of the losses", f"eps {radius:g}"), same(arrays[f"{prefix}{name}"][e])


def _among(case: Case) -> dict[Key, float]:
    arrays = case.arrays
    found: dict[Key, float] = {}
    for prefix in _ways(case):
        for e, radius in enumerate(arrays["eps"]):
            losses = arrays[f"{prefix}example_loss"][e]
            for place, t in enumerate(arrays["t"]):
                mean = float(losses[place].astype(np.float64).mean())
                found[f"{prefix}loss beside its examples'", f"t {t:.4g}, eps {radius:g}"] = mean
            barrier = measure_barrier(arrays["t"], losses, seed=int(case.attrs["seed"]))
            values = (barrier.value, barrier.low, barrier.high, barrier.over_ends)
            for name, value in zip(
                ("barrier", "barrier_low", "barrier_high", "barrier_over_ends"), values, strict=True
            ):
                found[f"{prefix}{name} of the losses", f"eps {radius:g}"] = value
    return found
