"""A watch over a run: a constant classifier, a loss that runs away, an adversary that training has learnt to fool."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from ..attacks import PGD, make_ball
from ..data import ImageData
from ..losses import Loss, cross_entropy
from .accuracy import Progress, judge
from .recipe import Recipe

logger = logging.getLogger(__name__)

PROBE_EXAMPLES = 128
PROBE_STEPS = 20
# Sound nets lose a few points more to the probe than to a single step, nets that overfit to their attack 40 and more
# (Wong et al. 2020, Andriushchenko and Flammarion 2020); over 128 examples a gap is known to 6 points.
GAP = 0.25
_SHARE = 0.03  # of the arithmetic of the epochs between two probes
_NEAR = 0.01  # of the entropy: what the noise of an epoch leaves between it and the loss of a constant classifier
_PATIENCE = {"constant-classifier": 3, "divergence": 2, "catastrophic-overfitting": 1}  # epochs or probes in a row
_COLUMNS = ("step", "eps", "clean_loss", "clean_error_rate", "attack_error_rate", "robust_error_rate")


def probe_interval(recipe: Recipe, n: int) -> int:
    """Return how many epochs to let pass between two probes, so that these cost 3 % of the run at most.

    Counted in forward passes: a step of an attack is two, an update is three.
    """
    attack = recipe.attack_at(recipe.eps)
    steps = 2 * attack.steps * attack.restarts
    probe = PROBE_EXAMPLES * (1 + (steps + 1) + (2 * PROBE_STEPS + 1))
    return math.ceil(probe / (_SHARE * n * (3 + steps)))


@dataclass
class Guard:
    """What a run does wrong, seen at the ends of its epochs; each thing is an event once, and logged as a warning.

    The loss and the error of an epoch tell a constant classifier (both are those of the labels' shares) and a
    divergence (the loss is twice the entropy of the labels). Every `every` epochs (0: never) examples of `data`, held
    out where there are such, are attacked as in training and by a PGD of 20 steps: where the second finds much more,
    training has learnt to fool its own attack.
    """

    recipe: Recipe
    data: ImageData
    every: int
    events: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[int, tuple[float, ...]] = field(default_factory=dict)  # by their steps: one that is repeated is one
    loss: Loss = cross_entropy  # of any other one the size says nothing
    _since: dict[str, list[int]] = field(default_factory=dict)  # epochs in a row at which a thing was seen

    def __post_init__(self) -> None:
        if self.data.labels.is_floating_point():
            self.every = 0  # nothing is right or wrong
        if self.loss is not cross_entropy:
            self.entropy = 0.0
            return
        counts = torch.bincount(self.data.labels, minlength=self.data.classes)
        self.shares = counts.double() / counts.sum()
        self.entropy = -torch.special.xlogy(self.shares, self.shares).sum().item()

    @property
    def probe_attack(self) -> PGD:
        """The probe, at the target budget."""
        return PGD(make_ball(self.recipe.norm, self.recipe.eps), steps=PROBE_STEPS)

    def check_labels(self, labels: torch.Tensor, classes: int) -> None:
        """Note the classes that have no example to learn from."""
        if labels.is_floating_point():
            return
        missing = (torch.bincount(labels, minlength=classes) == 0).nonzero().flatten().tolist()
        if missing:
            shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
            self._begin("missing-class", 0, f"no example of class {shown} among the {len(labels)} to learn from", 0)

    def look(self, model: nn.Module, record: Mapping[str, Any], step: int, *, progress: Progress | None = None) -> None:
        """Look at the end of an epoch; `record` is its own."""
        epoch, loss, error = record["epoch"], record["loss"], record["error"]
        if self.entropy > 0:
            constant = abs(loss / self.entropy - 1) <= _NEAR and error >= 1 - self.shares.max().item() - 0.02
            self._see("constant-classifier", constant, epoch, step, f"loss {loss:.4g}, error {100 * error:.2f} %")
            runaway = loss > 2 * self.entropy
            self._see("divergence", runaway, epoch, step, f"loss {loss:.4g}, of a constant one {self.entropy:.4g}")
        if self.every and record["eps"] > 0 and (epoch % self.every == 0):
            gap = self._probe(model, record["eps"], step, progress)
            said = f"PGD of {PROBE_STEPS} steps finds {100 * gap:.0f} % more errors than the attack of training"
            self._see("catastrophic-overfitting", gap > GAP, epoch, step, said)

    def standing(self) -> list[dict[str, Any]]:
        """Return the events that the run has not overcome."""
        return [event for event in self.events if event["until"] is None]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the probes by column, in the order of their steps."""
        if not self.rows:
            return {}
        table = np.array([self.rows[step] for step in sorted(self.rows)])
        arrays = {f"probe/{name}": table[:, column] for column, name in enumerate(_COLUMNS)}
        return {**arrays, "probe/step": arrays["probe/step"].astype(np.int64)}

    def state(self) -> dict[str, Any]:
        """Return all that a resumed guard goes on from."""
        return {
            "events": [dict(event) for event in self.events],
            "rows": list(self.rows.values()),
            "since": {kind: list(epochs) for kind, epochs in self._since.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.events = [dict(event) for event in state["events"]]
        self.rows = {int(row[0]): tuple(row) for row in state["rows"]}
        self._since = {kind: list(epochs) for kind, epochs in state["since"].items()}

    def _probe(self, model: nn.Module, eps: float, step: int, progress: Progress | None) -> float:
        device = next(model.parameters()).device
        strong = PGD(make_ball(self.recipe.norm, eps), steps=PROBE_STEPS)
        n = min(PROBE_EXAMPLES, len(self.data))
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            clean, weak, robust = (
                judge(
                    model,
                    self.data,
                    attack,
                    n=n,
                    seed=self.recipe.seed,
                    device=device,
                    loss=self.loss,
                    progress=progress,
                )
                for attack in (None, self.recipe.attack_at(eps), strong)
            )
        self.rows[step] = (step, eps, clean.loss, clean.error, weak.error, robust.error)
        return robust.error - weak.error

    def _see(self, kind: str, there: bool, epoch: int, step: int, said: str) -> None:
        epochs = self._since.setdefault(kind, [])
        if there and epoch not in epochs:
            epochs.append(epoch)
        if there and len(epochs) == _PATIENCE[kind]:
            self._begin(kind, epochs[0], said, step)
        if not there:
            epochs.clear()
            for event in self.standing():
                if event["kind"] == kind:
                    event["until"] = epoch
                    logger.warning("epoch %d: %s is over (%s)", epoch, kind, said)

    def _begin(self, kind: str, epoch: int, said: str, step: int) -> None:
        if any(event["kind"] == kind for event in self.standing()):
            return
        self.events.append({"kind": kind, "epoch": epoch, "step": step, "said": said, "until": None})
        where = f"since epoch {epoch}: " if epoch else ""
        logger.warning("caution: %s%s (%s)%s", where, kind, said, _ADVICE[kind])


_ADVICE = {
    "constant-classifier": "; if it stays, try --eps-schedule linear, a wider --model, or a smaller --eps",
    "divergence": "; try a smaller --lr",
    "catastrophic-overfitting": "; try an --attack of more steps",
    "missing-class": "; it cannot be learnt",
}
