"""Recheck whether an evaluation's attacks were strong enough: the adequacy checks, the curve, and the words on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from ..attacks import Ball
from ..evaluation import Examinee, LossExamination, Suite
from ..evaluation.adequacy import FIELDS, SAMPLE, Signs, error_at, probe
from ..evaluation.examination import BLACK_BOXES, CURVE_EXAMPLES, is_constant
from ..evaluation.of_numbers import verdict_of
from ..streams import stream
from .case import Case
from .numbers import Key, Nets, Stored, Unit, near, same, share

RADII = 1  # of the curve, recomputed
_SHARES = ("missed", "random", "flat", "no_rise")

Judge = Callable[[Nets, int], nn.Module]


def of_errors(case: Case, suite: Suite, ball: Ball, judge: Judge) -> Iterator[Unit]:
    """Yield the units of adequacy and curve where right and wrong are counted; `judge(nets, m)` is the m-th net."""
    arrays = case.arrays
    order = torch.from_numpy(stream(int(case.attrs["seed"]), "adequacy/sample").permutation(len(case.examples)))
    sample = order[: min(len(order), SAMPLE)].sort().values
    radii = arrays["curve/eps"].tolist() if "curve/eps" in arrays else []
    fine = int(case.attrs.get("curve_examples", 0)) > SAMPLE
    places = order[: min(len(order), CURVE_EXAMPLES if fine else SAMPLE)].sort().values
    for number, title in enumerate(arrays["checkpoints"].tolist()):
        for place in case.picked(f"radii of {title}", len(radii), RADII):
            key = f"curve/error_rate of {title}", f"eps {radii[place]:g}"

            def measure(
                nets: Nets, number: int = number, radius: float = radii[place], key: Key = key
            ) -> dict[Key, float]:
                return {key: error_at(_examinee(case, judge(nets, number)), radius, ball, places)}

            yield Unit(key[0], {key: share(arrays["curve/error_rate"][number, place], len(places))}, measure)
        if "adequacy/missed" in arrays:
            yield _of_sample(case, suite, ball, judge, number, title, sample)


def _of_sample(
    case: Case, suite: Suite, ball: Ball, judge: Judge, number: int, title: str, sample: torch.Tensor
) -> Unit:
    arrays, rows = case.arrays, sample.numpy()
    held = {name: float(arrays[f"adequacy/{name}"][number]) for name in FIELDS}
    gradient = np.array([name.partition(":")[0] not in BLACK_BOXES for name in suite.names])
    correct = arrays["correct"][number]
    stand, every = correct[gradient].all(0), correct.all(0)
    group = f"adequacy of {title}"
    stored = {(group, name): share(held[name], len(sample)) for name in _SHARES}
    stored[group, "rise"] = near(held["rise"], scale=1.0, rounding=1e-3)
    stored[group, "black_box"] = same(arrays["adequacy/black_box"][number])
    stored[group, "its verdict is that of these numbers (1)"] = Stored(1.0)

    def measure(nets: Nets) -> dict[Key, float]:
        net = judge(nets, number)
        examinee = _examinee(case, net)
        found = probe(examinee, ball, sample, stand[rows], every[rows])
        kinds = [name.partition(":")[0] in BLACK_BOXES for name in suite.names if name != "clean"]
        both = not (suite.cascade or all(kinds) or not any(kinds))
        curve = arrays["curve/error_rate"][number]
        signs = Signs(
            **held,
            black_box=float((stand & ~every).mean()) if both else np.nan,
            fall=float((np.maximum.accumulate(curve) - curve).max()),
            huge=float(curve[-1]),
            constant=is_constant(examinee, sample),
            sample=len(sample),
            largest=float(arrays["curve/eps"][-1]),
        )
        numbers: dict[Key, float] = {(group, name): float(found[name]) for name in FIELDS}
        numbers[group, "black_box"] = signs.black_box
        numbers[group, "its verdict is that of these numbers (1)"] = float(signs.verdict() == _told(case, number))
        return numbers

    return Unit(group, stored, measure)


def of_numbers(case: Case, suite: Suite, ball: Ball, judge: Judge) -> Iterator[Unit]:
    """Yield the unit of what more effort adds where labels are numbers."""
    arrays = case.arrays
    for number, title in enumerate(arrays["checkpoints"].tolist() if "adequacy/loss_risen" in arrays else []):
        group = f"adequacy of {title}"
        risen, flat = (float(arrays[f"adequacy/{name}"][number]) for name in ("loss_risen", "flat"))
        stored = {
            (group, "loss_risen"): near(risen, scale=float(arrays["worst_loss"][number]), rounding=1e-4),
            (group, "flat"): share(flat, SAMPLE),
            (group, "its verdict is that of these numbers (1)"): Stored(1.0),
        }

        def measure(
            nets: Nets, number: int = number, group: str = group, held: Any = (risen, flat)
        ) -> dict[Key, float]:
            net = judge(nets, number)
            work = LossExamination(
                [net],
                suite,
                ball,
                case.examples,
                int(case.attrs["seed"]),
                case.batch_size,
                loss=case.loss,
                adequacy=True,
            )
            work.losses[0] = arrays["example_loss"][number]
            sampled = float(work.losses[0][:, work.sample.numpy()].max(0).mean())
            most, still = work.check(0)
            told = verdict_of(sampled + held[0], sampled, held[1], len(work.sample))
            return {
                (group, "loss_risen"): most - sampled,
                (group, "flat"): still,
                (group, "its verdict is that of these numbers (1)"): float(told == _told(case, number)),
            }

        yield Unit(group, stored, measure)


def _told(case: Case, number: int) -> str:
    verdicts = case.attrs.get("verdicts")
    return str(verdicts if isinstance(verdicts, str) else (verdicts or [""] * (number + 1))[number])


def _examinee(case: Case, net: nn.Module) -> Examinee:
    seed = int(case.attrs["seed"])
    return Examinee(net, case.examples, seed=seed, batch_size=case.batch_size, loss=case.loss)
