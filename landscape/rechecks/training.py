"""What a result says of its nets' training, beside what their checkpoints say: figures group runs by it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..params import ParameterSpace
from ..results.values import jsonable
from .case import Case
from .numbers import Key, Stored, Unit, same

_GROUP, _SIZE = "training, as the checkpoint has it", "n_parameters"
_ASIDE = ("history", "final", "curve", "seed", "epoch")  # long, or written of several nets at once
_ONE_SIZE = ("hessian", "surface", "sharpness", "connect", "traces", "scattering")


def units(case: Case) -> Iterator[Unit]:
    """Yield the unit that compares settings of training one by one: numbers as such, others as equal (1) or not."""
    stored: dict[Key, Stored] = {}
    found: dict[Key, float] = {}
    if case.origin.given.nets is None:
        for number, (told, own) in enumerate(_pairs(case)):
            where = f"net {number + 1}, " if number else ""
            for name in told.keys() & own.keys() - set(_ASIDE):
                key = _GROUP, f"{where}{name}"
                one, other = told[name], own[name]
                if _is_number(one) and _is_number(other):
                    stored[key], found[key] = same(one), float(other)
                else:
                    stored[key], found[key] = Stored(1.0), float(one == other)
    if case.result.kind in _ONE_SIZE:
        space = ParameterSpace(case.nets[0], case.attrs.get("params"))
        stored[_SIZE, ""], found[_SIZE, ""] = Stored(float(case.attrs["n_parameters"])), float(space.n_parameters)
    yield Unit("training", stored, lambda nets: found, moves=False)


def _pairs(case: Case) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield what the file and what a checkpoint says of the training of each net that the file tells of."""
    told, own = case.attrs.get("training"), [one.training for one in case.origin.checkpoints()]
    if isinstance(told, list):
        pairs = list(zip(told, own, strict=True))
    elif isinstance(told, Mapping):
        pairs = [(told, own[-1 if case.result.kind == "traces" else 0])]
    else:
        pairs = []
    eps = float(case.attrs["train_eps"])
    for one, training in pairs:
        if isinstance(one, Mapping):
            held = dict(jsonable("training", training))
            # Of several nets it is a number where all agree, and NaN where they do not.
            known = not math.isnan(eps) and _is_number(held.get("eps"))
            yield {**one, **({"train_eps": eps} if known else {})}, {**held, "train_eps": held.get("eps")}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
