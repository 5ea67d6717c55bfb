"""Recheck sharpness: at random radii the curvature, one random shift and one worst shift, found once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import nn

from ..surfaces.sharpness import Place
from .case import Case, kept
from .numbers import Key, Nets, Stored, Unit, near, share

EACH = 1  # of the three: curvatures, random shifts, worst shifts


def units(case: Case) -> Iterator[Unit]:
    """Yield the parts of a sharpness result to recompute."""
    arrays = case.arrays
    radii = arrays["eps"].tolist()
    yield Unit("the file itself", dict(_within(case)), lambda nets: _among(case), moves=False)
    for e in case.picked("curvature", len(radii), EACH):
        yield _curvature(case, e)
    if "random_rises" in arrays:
        for place in case.picked("random", len(radii) * arrays["random_rises"].shape[2], EACH):
            yield _random(case, *divmod(place, arrays["random_rises"].shape[2]))
    if "worst_rise" in arrays:
        for place in case.picked("worst", arrays["worst_rise"].size, EACH):
            yield _worst(case, *divmod(place, arrays["worst_rise"].shape[1]))


def _place(case: Case, e: int) -> Any:
    attrs, attack = case.attrs, case.attack(float(case.arrays["eps"][e]))

    @kept
    def make(net: nn.Module) -> Place:
        return Place(
            case.objective(net, None),
            case.objective(net, attack),
            attack,
            seed=int(attrs["seed"]),
            probes=int(attrs.get("probes", 2)),
            tol=float(attrs["tol"]),
            batch_size=case.batch_size,
        )

    return make


def _curvature(case: Case, e: int) -> Unit:
    arrays, n, place = case.arrays, int(case.attrs["n_examples"]), _place(case, e)
    where = f"eps {arrays['eps'][e]:g}"
    loss, top = float(arrays["loss"][e]), abs(float(arrays["lambda_1"][e]))
    residual = float(arrays["lambda_1_residual"][e])
    stored = {
        "loss": near(loss),
        "loss_se": near(arrays["loss_se"][e], scale=loss),
        "error_rate": share(arrays["error_rate"][e], n),
        "gradient_norm": near(arrays["gradient_norm"][e], scale=arrays["gradient_norm"][e] + 0.1 * top),
        "lambda_1": Stored(float(arrays["lambda_1"][e]), 2 * residual + 1e-5 * top),
        "lambda_1_se": near(arrays["lambda_1_se"][e], scale=top, rounding=1e-3),
        "gauss_newton": Stored(float(arrays["gauss_newton"][e]), 2 * residual + 1e-3 * top),
    }
    if "trace" in arrays:
        # The probes are drawn beside the eigenvectors that were found, which a solver finds to its tolerance.
        width = float(arrays["trace_high"][e] - arrays["trace_low"][e])
        stored["trace"] = Stored(float(arrays["trace"][e]), 1e-2 * width + 1e-4 * abs(float(arrays["trace"][e])))

    def measure(nets: Nets) -> dict[Key, float]:
        found = place(nets[0]).curvature(with_trace="trace" in arrays)
        return {(name, where): float(found[name]) for name in stored}

    return Unit(f"curvature at {where}", {(name, where): value for name, value in stored.items()}, measure)


def _random(case: Case, e: int, number: int) -> Unit:
    arrays, place = case.arrays, _place(case, e)
    loss = float(arrays["loss"][e])
    radii = arrays["random_radius"].tolist()
    keys = [("random_rises", f"eps {arrays['eps'][e]:g}, direction {number + 1}, radius {r:g}") for r in radii]
    stored = {key: near(arrays["random_rises"][e, r, number], scale=loss, rounding=1e-4) for r, key in enumerate(keys)}

    def measure(nets: Nets) -> dict[Key, float]:
        rises = place(nets[0]).random_rises(radii, number)["rises"]
        return dict(zip(keys, rises.mean(axis=1).tolist(), strict=True))

    return Unit(f"random shifts at eps {arrays['eps'][e]:g}", stored, measure)


def _worst(case: Case, e: int, r: int) -> Unit:
    arrays, place = case.arrays, _place(case, e)
    radius, starts = float(arrays["worst_radius"][r]), int(case.attrs["starts"])
    where, loss = f"eps {arrays['eps'][e]:g}, radius {radius:g}", float(arrays["loss"][e])
    names = ("worst_rise", "worst_rise_se", "worst_rise_frozen")
    # An ascent ends where a step gains less than a thousandth.
    stored = {
        (name, where): near(arrays[name][e, r], scale=loss + float(arrays["worst_rise"][e, r]), rounding=2e-3)
        for name in names
    }

    def measure(nets: Nets) -> dict[Key, float]:
        found = place(nets[0]).worst_rise(radius, starts)
        return {(name, where): float(found[name]) for name in names}

    return Unit(f"worst shift at {where}", stored, measure)


def _within(case: Case) -> Iterator[tuple[Key, Stored]]:
    arrays = case.arrays
    if "random_rises" in arrays:
        for e, r in np.ndindex(arrays["random_rise"].shape):
            where = f"eps {arrays['eps'][e]:g}, radius {arrays['random_radius'][r]:g}"
            yield (
                ("random_rise, the mean of its directions", where),
                near(float(arrays["random_rise"][e, r]), rounding=1e-6),
            )


def _among(case: Case) -> dict[Key, float]:
    return (
        {
            key: float(case.arrays["random_rises"][place].mean())
            for (key, _), place in zip(_within(case), np.ndindex(case.arrays["random_rise"].shape), strict=True)
        }
        if "random_rises" in case.arrays
        else {}
    )
