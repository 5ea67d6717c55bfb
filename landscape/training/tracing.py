"""The traces of a run, NAME.traces.h5: the recorder's rows, test errors along the way, and where both come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..attacks import PGD, make_ball
from ..data import ImageData
from ..distributed import ALONE, Group
from ..errors import UsageError
from ..losses import Loss, cross_entropy
from ..results import Result, provenance
from ..spec import nearest
from .accuracy import Progress, judge
from .extras import EXTRAS, Extras
from .guard import PROBE_EXAMPLES, Guard, probe_interval
from .recipe import Recipe
from .recorder import Recorder, cheap_halves

_TESTED = (
    "step",
    "eps",
    "clean_loss",
    "clean_error_rate",
    "robust_loss",
    "robust_error_rate",
    "target_robust_loss",
    "target_robust_error_rate",
)


@dataclass(frozen=True)
class Tracing:
    """What a run records of itself: a row every `every` mini-batches, at every `halves`-th row the half-batches.

    Every `test_every` steps, the first and the last included, `test_examples` test examples are judged clean, and under
    PGD at the current and at the target eps; 0 judges none. Every `probe_every` epochs the guard probes the run; 0
    never. `halves` and `probe_every` left out keep both next to free. Every `extras_every`-th row has the `extras`
    besides: layers, cosine, lambda1 (`training.extras`), which are not free.
    """

    every: int = 1
    halves: int | None = None
    test_every: int = 0
    test_examples: int = 1000
    probe_every: int | None = None
    extras: Sequence[str] = ()
    extras_every: int = 100

    def __post_init__(self) -> None:
        for extra in self.extras:
            if extra not in EXTRAS:
                raise UsageError(f"{extra!r} is nothing that traces can hold; {nearest(extra, EXTRAS)}")
        for name, least in (
            ("every", 1),
            ("halves", 1),
            ("test_every", 0),
            ("test_examples", 1),
            ("probe_every", 0),
            ("extras_every", 1),
        ):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise UsageError(f"{name} = {value!r} in the traces; give a whole number, {least} or more")

    def resolved(self, recipe: Recipe, n: int) -> Tracing:
        """Return the settings with nothing left open, for a run on n examples."""
        halves = cheap_halves(recipe) if self.halves is None else self.halves
        probe_every = probe_interval(recipe, n) if self.probe_every is None else self.probe_every
        return replace(self, halves=halves, probe_every=probe_every)

    def recorder(
        self,
        model: nn.Module,
        data: ImageData,
        recipe: Recipe,
        *,
        steps_per_epoch: int,
        group: Group = ALONE,
        loss: Loss = cross_entropy,
    ) -> Recorder:
        """Return a recorder of a run that begins at the weights that the net has."""
        assert self.halves is not None
        extras = None
        if self.extras:
            extras = Extras(model, data, recipe, self.extras, every=self.extras_every, group=group, loss=loss)
        return Recorder(
            model, steps_per_epoch=steps_per_epoch, every=self.every, halves_every=self.halves, extras=extras, loss=loss
        )


@dataclass
class TestRows:
    """Clean and robust test loss and error along a run, on the same examples, each under the same random starts."""

    data: ImageData
    recipe: Recipe
    examples: int
    loss: Loss = cross_entropy
    rows: dict[int, tuple[float, ...]] = field(default_factory=dict)  # by their steps: one that is repeated is one

    __test__ = False  # pytest takes a class of this name for tests

    def judge(self, model: nn.Module, step: int, eps: float, *, progress: Progress | None = None) -> None:
        """Add the row of a step."""
        device = next(model.parameters()).device
        target, outcomes = self.recipe.eps, {}
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            for radius in {0.0: None, eps: None, target: None}:
                outcome = judge(
                    model,
                    self.data,
                    PGD(make_ball(self.recipe.norm, radius)) if radius > 0 else None,
                    n=self.examples,
                    seed=self.recipe.seed,
                    device=device,
                    loss=self.loss,
                    progress=progress,
                )
                outcomes[radius] = (outcome.loss, outcome.error)
        self.rows[step] = (step, eps, *outcomes[0.0], *outcomes[eps], *outcomes[target])

    def state(self) -> list[tuple[float, ...]]:
        """Return all that resumed rows go on from."""
        return list(self.rows.values())

    def load_state(self, state: list[tuple[float, ...]]) -> None:
        """Go on from a state."""
        self.rows = {int(row[0]): tuple(row) for row in state}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the rows by column, in the order of their steps."""
        if not self.rows:
            return {}
        table = np.array([self.rows[step] for step in sorted(self.rows)])
        arrays = {f"test/{name}": table[:, column] for column, name in enumerate(_TESTED)}
        return {**arrays, "test/step": arrays["test/step"].astype(np.int64)}


@dataclass
class TraceFile:
    """The file of a run's traces, replaced whole at each writing: a crash leaves the one before, or this one."""

    path: Path
    attrs: dict[str, Any]

    def write(
        self,
        recorder: Recorder,
        tests: TestRows | None,
        guard: Guard,
        *,
        status: str,
        training: Mapping[str, Any],
        wall_seconds: float,
        checkpoint_sha256: str | None = None,
    ) -> None:
        """Write what there is by now; `training` without its history, which the rows tell better."""
        told = {name: value for name, value in training.items() if name != "history"}
        arrays = recorder.arrays() | ({} if tests is None else tests.arrays()) | guard.arrays()
        attrs = {
            **self.attrs,
            **({} if recorder.extras is None else recorder.extras.attributes),
            "status": status,
            "training": told,
            "events": guard.events,
            "checkpoint_sha256": checkpoint_sha256,
            "wall_seconds": wall_seconds,
        }
        Result("traces", arrays, attrs).save(self.path, overwrite=True)


def trace_attributes(
    recipe: Recipe,
    tracing: Tracing,
    data: ImageData,
    net: nn.Module,
    *,
    model_spec: str,
    checkpoint: Path,
    device: str | torch.device,
    command: str,
    steps_per_epoch: int,
    tests: TestRows | None,
    guard: Guard,
    n_examples: int,
) -> dict[str, Any]:
    """Return the attributes of a run's traces that do not change along the run."""
    has_batchnorm = any(isinstance(module, _BatchNorm) for module in net.modules())
    tested = {}
    if tests is not None:
        attack = str(PGD(make_ball(recipe.norm, recipe.eps)))
        tested = {"test_every": tracing.test_every, "test_examples": tests.examples, "test_attack": attack}
    probed = {}
    if guard.every:
        probed = {
            "probe_examples": min(PROBE_EXAMPLES, len(guard.data)),
            "probe_attack": str(guard.probe_attack),
            "probe_split": "holdout" if recipe.holdout else "train",
        }
    return {
        **provenance(command=command, device=str(device), torch_version=torch.__version__),
        "seed": recipe.seed,
        "checkpoint": str(checkpoint),
        "model": model_spec,
        "data": data.spec,
        "data_sha256": data.sha256,
        "split": data.split,
        "n_examples": n_examples,
        "n_parameters": sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad),
        "norm": recipe.norm,
        "train_eps": recipe.eps,
        "attack": str(recipe.attack) if recipe.eps > 0 else "none",
        "adversary": "reattacked" if recipe.eps > 0 else "none",
        "batchnorm": "of the batch" if has_batchnorm else "none",
        "measured": "mini-batches",
        "batch_size": recipe.batch_size,
        "steps_per_epoch": steps_per_epoch,
        "trace_every": tracing.every,
        "halves_every": tracing.halves,
        **tested,
        **probed,
    }
