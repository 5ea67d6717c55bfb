"""Recheck scattering: the net itself, and some of the points that the weights move to, attacked anew."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape.analyses.scattering import scattering

from ..errors import ResultError
from ..results import Result
from ..results.kinds.scattering import COSINES, SCATTERING
from .case import Case
from .numbers import Key, Nets, Stored, Unit, near, same

POINTS = 2
_BESIDE = ("weight_norm", "centre_loss", "centre_loss_se", "centre_gradient_norm")
_LOSSES = ("loss", "loss_se", "loss_frozen")


def units(case: Case) -> Iterator[Unit]:
    """Yield the parts of a scattering result to recompute: all at once, for the points share what is at the net."""
    arrays, attrs = case.arrays, case.attrs
    rows = case.picked("points", len(arrays["radius"]), POINTS)
    to = _other_net(case)
    shares = str(attrs["positions"]) == "share"
    asked = [float(arrays["position" if shares else "radius"][row]) for row in rows]
    attack = case.attack(float(attrs["eps"]))

    def computed(net: nn.Module) -> Result:
        way: dict[str, Any] = {"to": to} if to is not None else {"direction": torch.from_numpy(arrays["direction"])}
        return scattering(
            net,
            case.data,
            eps=attack.ball.eps,
            radii=asked,
            single=len(arrays.get("single_index", ())),
            attack=attack,
            n_examples=int(attrs["n_examples"]),
            seed=int(attrs["seed"]),
            batch_size=case.batch_size,
            loss=case.loss,
            **way,
        )

    dims = {name: SCATTERING.arrays[name].dims for name in arrays}
    names = [name for name in arrays if dims[name] == ("radius",) and name != "position"]
    alone = [name for name in arrays if dims[name] == ()]
    singles = [name for name in arrays if dims[name] == ("radius", "m")]

    def measure(nets: Nets) -> dict[Key, float]:
        found = computed(nets[0])
        told: dict[str, Any] = found.attrs
        numbers: dict[Key, float] = {(name, ""): float(told[name]) for name in _BESIDE}
        numbers |= {(name, ""): float(found.arrays[name]) for name in alone}
        for place, row in enumerate(rows):
            for name in names:
                numbers[name, _where(case, row)] = float(found.arrays[name][place])
            for name in singles:
                for i, value in enumerate(found.arrays[name][place].tolist()):
                    numbers[name, _one(case, row, i)] = value
        numbers |= {("single_index", str(i + 1)): float(v) for i, v in enumerate(found.arrays.get("single_index", ()))}
        return numbers

    loss, gradient = float(attrs["centre_loss"]), float(attrs["centre_gradient_norm"])
    stored: dict[Key, Stored] = {("weight_norm", ""): near(float(attrs["weight_norm"]))}
    stored["centre_loss", ""] = near(loss)
    stored["centre_loss_se", ""] = near(float(attrs["centre_loss_se"]), scale=loss)
    stored["centre_gradient_norm", ""] = near(gradient, scale=gradient + 0.01, rounding=1e-3)
    stored |= {(name, ""): near(float(arrays[name]), scale=1.0) for name in alone}
    for row in rows:
        for name in names:
            value = float(arrays[name][row])
            if name in _LOSSES:
                room = near(value, scale=float(arrays["loss"][row]))
            elif name.startswith(("gradient_norm", "gradient_difference", "adversary_first")):
                size = gradient + float(arrays["gradient_norm"][row]) + 0.01
                room = near(value, scale=size**2 if "inner" in name else size, rounding=1e-3)
            else:  # cosines, shares and distances are of the order of 1, or less
                room = near(value, scale=1.0, rounding=1e-3 if name.startswith(("gradient", "adversary")) else 2e-5)
            stored[name, _where(case, row)] = room
        for name in singles:
            for i, value in enumerate(arrays[name][row].tolist()):
                if "cosine" in name or "share" in name:
                    size = 1.0
                else:  # of what the gradient of this example is at the net and here
                    size = 2 * float(arrays["single/gradient_norm"][row, i]) + abs(value) + 0.01
                    size = size**2 if "inner" in name else size
                stored[name, _one(case, row, i)] = near(value, scale=size, rounding=1e-3)
    stored |= {("single_index", str(i + 1)): same(v) for i, v in enumerate(arrays.get("single_index", ()))}
    yield Unit("the file itself", dict(_within(case)), lambda nets: _among(case), moves=False)
    yield Unit("points", stored, measure)


def _within(case: Case) -> Iterator[tuple[Key, Stored]]:
    arrays = case.arrays
    for name in (name for name in COSINES if f"examples/{name}" in arrays):
        for row, value in enumerate(arrays[name].tolist()):  # the examples' are kept in float32
            yield (f"{name} beside its examples'", _where(case, row)), near(value, scale=1.0, rounding=1e-6)


def _among(case: Case) -> dict[Key, float]:
    arrays = case.arrays
    found = {}
    for name in (name for name in COSINES if f"examples/{name}" in arrays):
        for row, values in enumerate(arrays[f"examples/{name}"].astype(float)):
            known = values[np.isfinite(values)]  # a perturbation of 0 has no cosine
            found[f"{name} beside its examples'", _where(case, row)] = float(known.mean()) if len(known) else math.nan
    return found


def _one(case: Case, row: int, i: int) -> str:
    return f"{_where(case, row)}, single example {int(case.arrays['single_index'][i])}"


def _where(case: Case, row: int) -> str:
    return f"radius {float(case.arrays['radius'][row]):.4g}"


def _other_net(case: Case) -> nn.Module | None:
    name, sha256 = case.attrs.get("to"), case.attrs.get("to_sha256")
    if sha256 is None:
        if case.attrs["along"] == "to":
            raise ResultError(f"{case.path} was made on the way to a net in memory, of which it holds no hash")
        return None
    return case.origin.net_of(case.origin.checkpoint(str(name), str(sha256)), case.data)
