"""Recheck an evaluation: its rates from its verdicts, and the verdicts on a random sample of its examples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from ..attacks import PGD, make_ball
from ..attacks.ensemble import Ensemble
from ..data import Examples
from ..errors import ResultError
from ..evaluation import Examinee, Suite, Verdicts, parse_suite
from ..evaluation.of_numbers import largest_losses
from ..statistics import wilson
from .adequacy import of_errors, of_numbers
from .case import Case
from .numbers import Key, Nets, Stored, Unit, near, same

EXAMPLES = 50


def units(case: Case) -> Iterator[Unit]:
    """Yield the parts of an evaluation to recompute."""
    arrays, attrs = case.arrays, case.attrs
    titles, names = arrays["checkpoints"].tolist(), arrays["attacks"].tolist()
    if arrays["indices"].tolist() != case.examples.indices.tolist():
        raise ResultError(f"{case.path} is over other examples than its seed and its count choose")
    yield Unit("the file itself", dict(_within(case)), lambda nets: _among(case), moves=False)
    ball = case.read(lambda: make_ball(str(attrs["norm"]), float(attrs["eps"])))
    suite: Suite = case.read(
        lambda: parse_suite(
            names,
            ball,
            preset=str(attrs["preset"]),
            channels=case.data.shape[0],
            cascade=bool(attrs["cascade"]),
        )
    )
    rows = torch.tensor(case.picked("examples", int(attrs["n_examples"]), EXAMPLES))
    chosen = case.examples
    some = Examples(chosen.images[rows], chosen.labels[rows], chosen.indices[rows])
    if "example_loss" in arrays:
        yield from _losses(case, suite, rows, some)
        yield from of_numbers(case, suite, ball, partial(_judged, case))
        return
    for number, title in enumerate(titles):
        for place, name in enumerate(names):
            stored = {
                (f"verdicts of {title}", f"{name}, example {index}"): Stored(
                    float(arrays["correct"][number, place, row])
                )
                for row, index in zip(rows.tolist(), some.indices.tolist(), strict=True)
            }

            def measure(nets: Nets, number: int = number, place: int = place, stored: Any = stored) -> dict[Key, float]:
                right = _verdicts(case, nets, number, suite, place, some)
                return dict(zip(stored, right.astype(float).tolist(), strict=True))

            yield Unit(f"{title}, {name}", stored, measure)
    yield from of_errors(case, suite, ball, partial(_judged, case))


def _judged(case: Case, nets: Nets, number: int) -> nn.Module:
    """Return the net that was judged at a place of the file: one of `nets`, or all of them joined."""
    join = str(case.attrs["ensemble"])
    return nets[number] if join == "none" else Ensemble(nets, join=join)


def _verdicts(case: Case, nets: Nets, number: int, suite: Suite, place: int, some: Examples) -> np.ndarray:
    """Return whether a net withstands one attack of the suite (s,), in a cascade with those before it."""
    net = _judged(case, nets, number)
    first = 0 if suite.cascade else place
    part = Suite(suite.names[first : place + 1], suite.attacks[first : place + 1], suite.cascade)
    verdicts = Verdicts(part, len(some))
    for _ in verdicts.examine(_examinee(case, net, some)):
        pass
    right: np.ndarray = verdicts.correct[-1]
    return right


def _examinee(case: Case, net: nn.Module, some: Examples) -> Examinee:
    return Examinee(net, some, seed=int(case.attrs["seed"]), batch_size=case.batch_size, loss=case.loss)


def _losses(case: Case, suite: Suite, rows: torch.Tensor, some: Examples) -> Iterator[Unit]:
    """Yield a unit a net and attack where labels are numbers: the largest loss of each example of the sample."""
    held = case.arrays["example_loss"]
    for number, title in enumerate(case.arrays["checkpoints"].tolist()):
        for place, (name, attack) in enumerate(zip(suite.names, suite.attacks, strict=True)):
            if attack is not None and not isinstance(attack, PGD):
                raise ResultError(f"{case.path} tells losses under {name}, which climbs none; it is damaged or forged")
            stored = {
                (f"losses of {title}", f"{name}, example {index}"): near(held[number, place, row])
                for row, index in zip(rows.tolist(), some.indices.tolist(), strict=True)
            }

            def measure(
                nets: Nets, number: int = number, attack: PGD | None = attack, stored: Any = stored
            ) -> dict[Key, float]:
                net = _judged(case, nets, number)
                found = largest_losses(_examinee(case, net, some), attack, torch.arange(len(some)))
                return dict(zip(stored, found.tolist(), strict=True))

            yield Unit(f"{title}, {name}", stored, measure)


def _within(case: Case) -> Iterator[tuple[Key, Stored]]:
    arrays = case.arrays
    if "example_loss" in arrays:
        for number, title in enumerate(arrays["checkpoints"].tolist()):
            for place, name in enumerate(arrays["attacks"].tolist()):
                for kind in ("loss", "loss_se"):
                    yield (f"{kind} from its examples'", f"{title}, {name}"), same(arrays[kind][number, place])
            yield ("worst_loss from its examples'", title), same(arrays["worst_loss"][number])
        return
    for number, title in enumerate(arrays["checkpoints"].tolist()):
        for place, name in enumerate(arrays["attacks"].tolist()):
            for kind in ("error_rate", "error_low", "error_high"):
                yield (f"{kind} from its verdicts", f"{title}, {name}"), same(arrays[kind][number, place])
        yield ("worst_case from its verdicts", title), same(arrays["worst_case"][number])


def _among(case: Case) -> dict[Key, float]:
    arrays = case.arrays
    if "example_loss" in arrays:
        return _among_losses(case)
    correct = arrays["correct"]
    n = correct.shape[2]
    found: dict[Key, float] = {}
    for number, title in enumerate(arrays["checkpoints"].tolist()):
        for place, name in enumerate(arrays["attacks"].tolist()):
            wrong = int((~correct[number, place]).sum())
            low, high = wilson(wrong, n)
            for kind, value in (("error_rate", wrong / n), ("error_low", low), ("error_high", high)):
                found[f"{kind} from its verdicts", f"{title}, {name}"] = value
        # An example that is wrong unattacked is wrong under every attack.
        found["worst_case from its verdicts", title] = 1 - float(correct[number].all(0).mean())
    return found


def _among_losses(case: Case) -> dict[Key, float]:
    arrays, losses = case.arrays, case.arrays["example_loss"]
    n = losses.shape[2]
    found: dict[Key, float] = {}
    for number, title in enumerate(arrays["checkpoints"].tolist()):
        for place, name in enumerate(arrays["attacks"].tolist()):
            row = losses[number, place]
            found["loss from its examples'", f"{title}, {name}"] = float(row.mean())
            error = float(row.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
            found["loss_se from its examples'", f"{title}, {name}"] = error
        # No attack's loss is below the clean one.
        found["worst_loss from its examples'", title] = float(losses[number].max(0).mean())
    return found
