"""An evaluation under way: the verdicts of several nets, their curves and their checks, as arrays with holes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..attacks import Ball
from ..borrow import evaluating
from ..data import Examples
from ..distributed import ALONE, Group
from ..losses import Loss, cross_entropy
from ..statistics import wilson
from ..streams import stream
from .adequacy import FIELDS, SAMPLE, Signs, curve_attack, error_at, probe, radii
from .suite import CLEAN, Suite
from .verdicts import RIGHT, Examinee, Report, Verdicts

CURVE_EXAMPLES = 1000  # at most, of a curve that was asked for
BLACK_BOXES = ("square",)


class Examination:
    """Nets under a suite of attacks on the same examples: what is known is not computed again.

    `state` and `load` are for a snapshot. A curve is over CURVE_EXAMPLES where it is asked for; the adequacy checks
    take a coarse one over their sample. The processes of a `group` each run one, and share the batches.
    """

    def __init__(
        self,
        nets: Sequence[nn.Module],
        suite: Suite,
        ball: Ball,
        examples: Examples,
        seed: int,
        batch_size: int | None,
        *,
        loss: Loss = cross_entropy,
        curve: bool,
        adequacy: bool,
        group: Group = ALONE,
    ) -> None:
        n = len(examples)
        order = torch.from_numpy(stream(seed, "adequacy/sample").permutation(n))
        attacked = ball.eps > 0 and any(suite.attacks)
        self.suite, self.ball = suite, ball
        self.adequacy = adequacy and attacked
        self.radii = radii(ball, examples.images.shape[1:], fine=curve) if attacked and (curve or adequacy) else ()
        self.curve_positions = order[: min(n, CURVE_EXAMPLES if curve else SAMPLE)].sort().values
        self.sample = order[: min(n, SAMPLE)].sort().values
        self.examinees = [
            Examinee(net, examples, seed=seed, batch_size=batch_size, loss=loss, group=group) for net in nets
        ]
        self.verdicts = [Verdicts(suite, n) for _ in nets]
        self.curve = np.full((len(nets), len(self.radii)), np.nan)
        self.checks = np.full((len(nets), len(FIELDS)), np.nan)

    def state(self) -> dict[str, np.ndarray]:
        """Return all that is known so far."""
        return {
            "clean": np.stack([verdicts.clean for verdicts in self.verdicts]),
            "table": np.stack([verdicts.table for verdicts in self.verdicts]),
            "curve": self.curve,
            "checks": self.checks,
            # Sums depend on the size of a batch in their last digits: who resumes goes on with the same.
            "batch_size": np.array([examinee.batch_size for examinee in self.examinees]),
        }

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` returned."""
        for verdicts, clean, table in zip(self.verdicts, state["clean"], state["table"], strict=True):
            verdicts.clean[:], verdicts.table[:] = clean, table
        for examinee, size in zip(self.examinees, state["batch_size"].tolist(), strict=True):
            examinee.batch_size = size
        self.curve[:], self.checks[:] = state["curve"], state["checks"]

    def run(self, report_of: Callable[[int], Report | None]) -> Iterator[None]:
        """Find out what is not known, net by net; yield where the state is whole. `report_of(m)` is told of net m."""
        for number, (examinee, verdicts) in enumerate(zip(self.examinees, self.verdicts, strict=True)):
            report = report_of(number)
            for _ in verdicts.examine(examinee, report=report):
                yield
            for place, eps in enumerate(self.radii):
                if math.isnan(self.curve[number, place]):
                    tick = _ticking(report, "error against eps", place, len(self.radii))
                    self.curve[number, place] = error_at(examinee, eps, self.ball, self.curve_positions, tick=tick)
                    yield
            if report is not None and self.radii:
                report("error against eps", len(self.radii), len(self.radii))
            if self.adequacy and np.isnan(self.checks[number]).any():
                gradient, every = self._standing(verdicts, black_box=False), self._standing(verdicts, black_box=True)
                rows = self.sample.numpy()
                tick = _ticking(report, "adequacy", 0, 1)
                found = probe(examinee, self.ball, self.sample, gradient[rows], every[rows], tick=tick)
                self.checks[number] = [found[field] for field in FIELDS]
                yield
                if report is not None:
                    report("adequacy", 1, 1)

    def _standing(self, verdicts: Verdicts, *, black_box: bool) -> np.ndarray:
        """Return what stands (n,) on the clean image and under the gradient attacks, or under the black box too."""
        kept = [black_box or name.partition(":")[0] not in BLACK_BOXES for name in self.suite.names]
        standing: np.ndarray = verdicts.correct[np.array(kept)].all(0) & (verdicts.clean == RIGHT)
        return standing

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the result, once all is known."""
        correct = np.stack([verdicts.correct for verdicts in self.verdicts])
        wrong, n = (~correct).sum(2), correct.shape[2]
        bounds = np.array([[wilson(int(count), n) for count in row] for row in wrong])
        clean = np.stack([verdicts.clean == RIGHT for verdicts in self.verdicts])
        arrays = {
            "error_rate": wrong / n,
            "error_low": bounds[:, :, 0],
            "error_high": bounds[:, :, 1],
            "worst_case": 1 - (correct.all(1) & clean).mean(1),
            "correct": correct,
        }
        if self.radii:
            arrays |= {"curve/eps": np.array(self.radii), "curve/error_rate": self.curve}
        if self.adequacy:
            arrays |= {f"adequacy/{field}": self.checks[:, i] for i, field in enumerate(FIELDS)}
            arrays["adequacy/black_box"] = self._black_box()
        return arrays

    def _black_box(self) -> np.ndarray:
        """Return the share (M,) of all examples that a black box fools and no gradient attack; NaN without both."""
        kinds = [name.partition(":")[0] in BLACK_BOXES for name in self.suite.names if name != CLEAN]
        if self.suite.cascade or all(kinds) or not any(kinds):
            return np.full(len(self.verdicts), np.nan)
        stand = [(self._standing(v, black_box=False), self._standing(v, black_box=True)) for v in self.verdicts]
        return np.array([float((gradient & ~every).mean()) for gradient, every in stand])

    def attributes(self) -> dict[str, Any]:
        """Return what the checks and the curve were over, and what the checks come to."""
        found: dict[str, Any] = {}
        if self.radii:
            found["curve_examples"] = len(self.curve_positions)
            found["curve_attack"] = str(curve_attack(self.ball))
        if self.adequacy:
            found["sample_examples"] = len(self.sample)
            found["verdicts"] = [signs.verdict() for signs in self._signs()]
        return found

    def _signs(self) -> Iterator[Signs]:
        black = self._black_box()
        for number, examinee in enumerate(self.examinees):
            drops = np.maximum.accumulate(self.curve[number]) - self.curve[number]
            yield Signs(
                **dict(zip(FIELDS, self.checks[number].tolist(), strict=True)),
                black_box=float(black[number]),
                fall=float(drops.max()),
                huge=float(self.curve[number, -1]),
                constant=is_constant(examinee, self.sample),
                sample=len(self.sample),
                largest=self.radii[-1],
            )


def _ticking(report: Report | None, stage: str, done: int, total: int) -> Callable[[], None] | None:
    return None if report is None else lambda: report(stage, done, total)


def is_constant(examinee: Examinee, positions: torch.Tensor) -> bool:
    """Say whether a net puts all examples at these positions into one class."""
    images, _, _ = examinee.batch(positions)
    with evaluating(examinee.model), torch.no_grad():
        return len(examinee.model(images).argmax(1).unique()) == 1
