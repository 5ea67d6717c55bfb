"""Recheck a surface: its centre, its quadratic there, and a random sample of its points, each attacked anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape.analyses.surface import ADVERSARIES, Prepared, prepare

from ..geometry import Directions
from ..results.kinds.surface import EVALUATED, INTERPOLATED, NOT_FINITE, SKIPPED
from ..surfaces import quadratic
from ..surfaces.audit import look_again
from .case import Case, kept
from .numbers import Key, Nets, Stored, Unit, near, share

POINTS = 9
AUDITED = 1
_OF_POINT = ("loss", "loss_se", "error_rate", "zero_gradient")


def not_rechecked(case: Case) -> Iterator[str]:
    """Say what of a surface is taken on trust."""
    if "landmarks/x" in case.arrays:
        yield "the landmarks, of whose checkpoints the file has names and no hashes"
    if (case.arrays["status"] == INTERPOLATED).any():
        yield "interpolated values"
    if "explained_variance" in case.attrs:
        yield "the shares of the trajectory's variance"


def units(case: Case) -> Iterator[Unit]:
    """Yield the parts of a surface to recompute."""
    arrays, attrs = case.arrays, case.attrs
    eps, n = arrays["eps"].tolist(), int(attrs["n_examples"])

    @kept
    def prepared(net: nn.Module) -> Prepared:
        return case.read(lambda: prepare(net, case.data, **settings(case)))

    if "example_loss" in arrays:
        known = np.isin(arrays["status"], (EVALUATED,))
        places = [tuple(map(int, place)) for place in np.argwhere(known)]
        yield Unit(
            "the file itself",
            {("loss beside its examples'", _named(case, place)): _of_examples(case, place) for place in places},
            lambda nets: {
                ("loss beside its examples'", _named(case, place)): float(arrays["example_loss"][place].mean())
                for place in places
            },
            moves=False,
        )

    rows = np.isfinite(arrays["directions"]).all(axis=1)
    gram = {("gram", f"{i + 1}, {j + 1}"): arrays["gram"][i, j] for i in range(rows.sum()) for j in range(i + 1)}
    directions = arrays["directions"].astype(float)
    yield Unit(
        "inner products of the directions",
        {key: near(value, scale=float(np.abs(arrays["gram"][0, 0])), rounding=1e-5) for key, value in gram.items()},
        lambda nets: {
            ("gram", f"{i + 1}, {j + 1}"): float(directions[i] @ directions[j])
            for i in range(rows.sum())
            for j in range(i + 1)
        },
        moves=False,
    )

    def centre(nets: Nets) -> dict[Key, float]:
        points = prepared(nets[0]).points
        found = points.ladder.evaluate(points.network(0, 0))
        slope, curvature = quadratic(points)
        wrong = found.error_rates
        numbers: dict[Key, float] = {}
        for e, radius in enumerate(eps):
            numbers |= {
                ("centre_loss", f"eps {radius:g}"): float(found.means[e]),
                ("centre_loss_se", f"eps {radius:g}"): float(found.errors[e]),
                ("centre_error_rate", f"eps {radius:g}"): float(wrong[e]),
            }
            for d in range(slope.shape[1]):
                numbers["slope", f"eps {radius:g}, direction {d + 1}"] = float(slope[e, d])
                numbers["curvature", f"eps {radius:g}, direction {d + 1}"] = float(curvature[e, d, d])
        return numbers

    yield Unit("centre", dict(_centre(case, eps, n)), centre)
    status = arrays["status"]
    done = [tuple(map(int, place)) for place in np.argwhere(np.isin(status, (EVALUATED, NOT_FINITE, SKIPPED)).all(0))]
    for place in case.picked("points", len(done), POINTS):
        row, column = done[place]
        a, b = float(arrays["x"][column]), float(arrays["y"][row])

        def point(nets: Nets, a: float = a, b: float = b) -> dict[Key, float]:
            values, _ = prepared(nets[0]).points.values(a, b)
            return {
                (name, f"x {a:.4g}, y {b:.4g}, eps {radius:g}"): float(values[name][e])
                for e, radius in enumerate(eps)
                for name in _OF_POINT
            }

        yield Unit(f"point ({a:.3g}, {b:.3g})", dict(_point(case, row, column, eps, n)), point)
    yield from _audits(case, prepared, eps)


def _audits(case: Case, prepared: Callable[[nn.Module], Prepared], eps: list[float]) -> Iterator[Unit]:
    """Yield a unit for an audited point: the same stronger attacks on the same examples."""
    arrays = case.arrays
    audited = [tuple(map(int, place)) for place in np.argwhere(np.isfinite(arrays["attack_gap"]).any(0))]
    for place in case.picked("audits", len(audited), AUDITED):
        row, column = audited[place]
        a, b = float(arrays["x"][column]), float(arrays["y"][row])
        stored: dict[Key, Stored] = {}
        for e, radius in enumerate(eps):
            where = f"x {a:.4g}, y {b:.4g}, eps {radius:g}"
            if radius > 0:
                loss = float(arrays["loss"][e, row, column])
                for name in ("attack_gap", "attack_gap_se"):
                    stored[name, where] = near(arrays[name][e, row, column], scale=loss, rounding=1e-4)

        def again(nets: Nets, a: float = a, b: float = b) -> dict[Key, float]:
            found = look_again(prepared(nets[0]).points, a, b, examples=int(case.attrs["audit_examples"]))
            return {
                (name, f"x {a:.4g}, y {b:.4g}, eps {eps[e]:g}"): value
                for e, pair in found.items()
                for name, value in zip(("attack_gap", "attack_gap_se"), pair, strict=True)
            }

        yield Unit(f"audit ({a:.3g}, {b:.3g})", stored, again)


def settings(case: Case) -> dict[str, Any]:
    """Return what `prepare` takes, as the file has it."""
    attrs, arrays = case.attrs, case.arrays
    rows = arrays["directions"][np.isfinite(arrays["directions"]).all(axis=1)]
    names = [f"direction {number + 1}" for number in range(len(rows))]
    attacks = case.ladder()
    policy = str(attrs["batchnorm"])
    recalibrated = policy.endswith("recal")
    trained, norm = attrs["train_eps"], (attrs.get("training") or {}).get("norm")
    cap = attrs.get("cap", np.nan)
    reached = {name: asked for asked, name in ADVERSARIES.items()}
    return {
        "eps": [attack.ball.eps for attack in attacks],
        "directions": Directions(torch.from_numpy(rows), tuple(names)),
        "adversary": reached.get(str(attrs["adversary"]), "reattack"),
        "batchnorm": policy if recalibrated else "frozen",
        "recalibrate_on": case.origin.data("train") if recalibrated else None,
        "recalibration_eps": trained if trained > 0 and norm in (None, attacks[0].ball.norm) else None,
        "cap": None if np.isnan(cap) else cap,
        "attack": attacks[-1],
        "n_examples": int(attrs["n_examples"]),
        "seed": int(attrs["seed"]),
        "batch_size": case.batch_size,
        "loss": case.loss,
    }


def _centre(case: Case, eps: list[float], n: int) -> Iterator[tuple[Key, Stored]]:
    arrays = case.arrays
    for e, radius in enumerate(eps):
        loss = float(arrays["centre_loss"][e])
        yield ("centre_loss", f"eps {radius:g}"), near(loss)
        yield ("centre_loss_se", f"eps {radius:g}"), near(arrays["centre_loss_se"][e], scale=loss)
        yield ("centre_error_rate", f"eps {radius:g}"), share(arrays["centre_error_rate"][e], n)
        bent = float(np.nanmax(np.abs(arrays["curvature"][e]), initial=0.0))
        for d in range(2):
            if np.isfinite(arrays["slope"][e, d]):
                where = f"eps {radius:g}, direction {d + 1}"
                yield ("slope", where), near(arrays["slope"][e, d], scale=0.1 * bent, rounding=1e-4)
                yield ("curvature", where), near(arrays["curvature"][e, d, d], scale=bent, rounding=1e-4)


def _point(case: Case, row: int, column: int, eps: list[float], n: int) -> Iterator[tuple[Key, Stored]]:
    arrays = case.arrays
    a, b = arrays["x"][column], arrays["y"][row]
    for e, radius in enumerate(eps):
        where = f"x {a:.4g}, y {b:.4g}, eps {radius:g}"
        loss = float(arrays["loss"][e, row, column])
        yield ("loss", where), near(loss)
        yield ("loss_se", where), near(arrays["loss_se"][e, row, column], scale=loss)
        yield ("error_rate", where), share(arrays["error_rate"][e, row, column], n)
        yield ("zero_gradient", where), share(arrays["zero_gradient"][e, row, column], n)


def _of_examples(case: Case, place: tuple[int, ...]) -> Stored:
    return near(float(case.arrays["loss"][place]), rounding=1e-6)  # the examples' are kept in float32


def _named(case: Case, place: tuple[int, ...]) -> str:
    arrays: Mapping[str, np.ndarray] = case.arrays
    e, row, column = place
    return f"x {arrays['x'][column]:.4g}, y {arrays['y'][row]:.4g}, eps {arrays['eps'][e]:g}"
