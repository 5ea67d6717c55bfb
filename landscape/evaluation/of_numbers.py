"""An evaluation where labels are numbers: nothing is right or wrong, and what an attack reaches is a loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..attacks import PGD, Ball
from ..borrow import evaluating, full_precision
from ..data import Examples
from ..distributed import ALONE, Group
from ..errors import LandscapeError, UsageError
from ..losses import Loss, per_example
from ..streams import example_streams, stream
from .suite import CLEAN, Suite
from .verdicts import Examinee, Report

SAMPLE = 100  # examples of the adequacy check, as of verdicts
MORE_STEPS, MORE_RESTARTS = 200, 5
RISE, FLAT = 0.02, 0.05  # what counts as a sign: a share of the mean loss, a share of the sample
DEFAULT_ATTACKS = "clean,pgd100"


def check_for_numbers(suite: Suite, *, curve: bool = False, ensemble: str | None = None) -> None:
    """Raise UsageError for what has no meaning where labels are numbers."""
    for name, attack in zip(suite.names, suite.attacks, strict=True):
        if attack is not None and not isinstance(attack, PGD):
            raise UsageError(
                f"{name} looks for images of another class, and the labels of these data are numbers; "
                f"give --attacks {DEFAULT_ATTACKS}, whose PGD climbs the loss"
            )
    if suite.cascade:
        raise UsageError("a cascade goes by who is right, and the labels of these data are numbers; leave it out")
    if curve:
        raise UsageError("a curve counts errors, and the labels of these data are numbers; evaluate at several --eps")
    if ensemble == "softmax":
        raise UsageError("an ensemble by softmax is of classes, and these labels are numbers; give --join logits")


class LossExamination:
    """Nets under PGD on the same examples: the loss of each example, unattacked and the largest that was found.

    The interface is that of `Examination`. The ball contains the clean image: no attack's loss is below its own.
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
        loss: Loss,
        adequacy: bool,
        group: Group = ALONE,
    ) -> None:
        n = len(examples)
        self.suite, self.ball = suite, ball
        self.adequacy = adequacy and ball.eps > 0 and any(suite.attacks)
        self.sample = torch.from_numpy(stream(seed, "adequacy/sample").permutation(n))[: min(n, SAMPLE)].sort().values
        self.examinees = [
            Examinee(net, examples, seed=seed, batch_size=batch_size, loss=loss, group=group) for net in nets
        ]
        self.clean = np.full((len(nets), n), np.nan)
        self.losses = np.full((len(nets), len(suite.names), n), np.nan)
        self.checks = np.full((len(nets), 2), np.nan)  # mean of the largest losses that more effort finds; flat

    def state(self) -> dict[str, np.ndarray]:
        """Return all that is known so far."""
        sizes = np.array([examinee.batch_size for examinee in self.examinees])
        return {"clean": self.clean, "losses": self.losses, "checks": self.checks, "batch_size": sizes}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` returned."""
        for examinee, size in zip(self.examinees, state["batch_size"].tolist(), strict=True):
            examinee.batch_size = size
        self.clean[:], self.losses[:], self.checks[:] = state["clean"], state["losses"], state["checks"]

    def run(self, report_of: Callable[[int], Report | None]) -> Iterator[None]:
        """Find out what is not known, net by net; yield where the state is whole. `report_of(m)` is told of net m."""
        for number, examinee in enumerate(self.examinees):
            report = report_of(number)
            every = torch.arange(len(examinee))
            yield from self._fill(self.clean[number], every, CLEAN, None, examinee, report)
            for row, name, attack in zip(self.losses[number], self.suite.names, self.suite.attacks, strict=True):
                if attack is None:
                    row[:] = self.clean[number]
                    continue
                assert isinstance(attack, PGD)
                yield from self._fill(row, every, name, attack, examinee, report)
            if self.adequacy and np.isnan(self.checks[number]).any():
                self.checks[number] = self.check(number, report)
                yield

    def _fill(
        self,
        row: np.ndarray,
        positions: Tensor,
        name: str,
        attack: PGD | None,
        examinee: Examinee,
        report: Report | None,
    ) -> Iterator[None]:
        todo = positions[torch.from_numpy(np.isnan(row[positions.numpy()]))]
        settled = len(positions) - len(todo)

        def tick() -> None:
            if report is not None:
                report(name, int((~np.isnan(row[positions.numpy()])).sum()) - settled, len(todo))

        for part, found in examinee.over(todo, partial(largest_losses, examinee, attack), tick=tick):
            row[part.numpy()] = found
            tick()
            yield

    def check(self, number: int, report: Report | None = None) -> tuple[float, float]:
        """Return the mean of the largest losses on the sample with more effort, and the share without a gradient."""
        examinee = self.examinees[number]
        stronger = PGD(self.ball, steps=MORE_STEPS, rel_step=0.1, restarts=MORE_RESTARTS)
        row = np.full(len(examinee), np.nan)
        for _ in self._fill(row, self.sample, "adequacy", stronger, examinee, report):
            pass
        flat = [found for _, found in examinee.over(self.sample, partial(self._flat, examinee))]
        rows = self.sample.numpy()
        most = np.maximum(row[rows], self.losses[number][:, rows].max(0))
        return float(most.mean()), float(np.concatenate(flat).mean())

    def _flat(self, examinee: Examinee, positions: Tensor) -> np.ndarray:
        images, labels, _ = examinee.batch(positions)
        with evaluating(examinee.model), full_precision(), torch.enable_grad():
            losses = per_example(examinee.loss, examinee.model(images.requires_grad_()), labels)
            if not losses.requires_grad:
                return np.ones(len(positions), bool)
            (gradient,) = torch.autograd.grad(losses.sum(), images, materialize_grads=True)
        flat: np.ndarray = gradient.flatten(1).eq(0).all(1).cpu().numpy()
        return flat

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the result, once all is known: rates are NaN, for nothing is right or wrong."""
        cells, n = self.losses.shape[:2], self.losses.shape[2]
        unknown = np.full(cells, np.nan)
        arrays = {
            **dict.fromkeys(("error_rate", "error_low", "error_high"), unknown),
            "worst_case": np.full(cells[0], np.nan),
            "loss": self.losses.mean(2),
            "loss_se": self.losses.std(2, ddof=1) / math.sqrt(n) if n > 1 else unknown,
            "worst_loss": self.losses.max(1).mean(1),
            "example_loss": self.losses,
        }
        if self.adequacy:
            arrays |= {"adequacy/loss_risen": self.checks[:, 0] - self._sampled(), "adequacy/flat": self.checks[:, 1]}
        return arrays

    def _sampled(self) -> np.ndarray:
        """Return the mean (M,) of the largest losses that the suite found on the sample."""
        found: np.ndarray = self.losses[:, :, self.sample.numpy()].max(1).mean(1)
        return found

    def attributes(self) -> dict[str, Any]:
        """Return what the check was over, and what it comes to."""
        if not self.adequacy:
            return {}
        verdicts = [
            verdict_of(most, found, flat, len(self.sample))
            for (most, flat), found in zip(self.checks.tolist(), self._sampled().tolist(), strict=True)
        ]
        return {"sample_examples": len(self.sample), "verdicts": verdicts}


def largest_losses(examinee: Examinee, attack: PGD | None, positions: Tensor) -> np.ndarray:
    """Return the largest loss (B,) of the clean image and of what an attack makes of it; LandscapeError for NaN."""
    images, labels, indices = examinee.batch(positions)
    tried = [images]
    with evaluating(examinee.model), full_precision():
        if attack is not None:
            noise = partial(_starts, examinee.seed, indices)
            tried.append(attack(examinee.model, images, labels, noise=noise, loss=examinee.loss))
        with torch.no_grad():
            losses = [per_example(examinee.loss, examinee.model(one), labels).double() for one in tried]
    found: np.ndarray = torch.stack(losses).amax(0).cpu().numpy()  # amax hands NaN on
    if np.isnan(found).any():
        raise LandscapeError(
            f"the loss of {int(np.isnan(found).sum())} of {len(found)} images is NaN; "
            "look at the net with landscape doctor"
        )
    return found


def verdict_of(most: float, found: float, flat: float, sample: int) -> str:
    """Say in one line whether the attacks were strong enough, as far as the checks can see."""
    told = (
        f"{MORE_RESTARTS} restarts of {MORE_STEPS} steps bring the mean loss of {sample} examples from {found:.4g} to "
        f"{most:.4g}"
    )
    signs = [told] if most - found > RISE * abs(found) else []
    if flat > FLAT:
        signs.append(f"{100 * flat:.0f} % of the sample have an input gradient of exactly 0")
    return "suspect: " + "; ".join(signs) if signs else f"adequate: {told}"


def _starts(seed: int, indices: Sequence[int], restart: int) -> list[np.random.Generator]:
    return example_streams(seed, f"attack/restart{restart}", indices)
