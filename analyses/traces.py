"""Loss, error, full gradient and distance along the checkpoints of one run, at several radii at equal weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.arguments import check_model, check_outputs, read_integer, read_ladder
from landscape.attacks import PGD
from landscape.borrow import evaluating, full_precision, twice_differentiable
from landscape.data import Examples, as_data, select
from landscape.errors import LandscapeError, UsageError
from landscape.geometry import batchnorm_policy
from landscape.losses import Loss, are_scores, cross_entropy, per_example
from landscape.objective import Batch, Objective
from landscape.params import ParameterSpace
from landscape.results import Result, Snapshot, provenance

Progress = Callable[[str, int, int], None]
MEASURED = (
    "loss", "loss_se", "error_rate", "error_rate_se", "gradient_norm", "gradient_norm_se", "gradient_norm_sq_unbiased",
    "distance_from_init",
)  # fmt: skip


def traces(
    models: Sequence[nn.Module],
    data: Any,
    *,
    eps: float | str | Sequence[float | str],
    steps: Sequence[int] | None = None,
    epochs: Sequence[float] | None = None,
    learning_rates: Sequence[float] | None = None,
    norm: str | None = None,
    attack: str | PGD = "pgd:steps=10,rel_step=0.25,restarts=1",
    n_examples: int | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
    provenance_of: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    snapshot: Snapshot | None = None,
) -> Result:
    """Return mean loss, error and the norm of its full gradient at each of `models`, for each radius in `eps`.

    The nets are one run's at several times, the first of them where distances are taken from; a row is a net and a
    radius, attacked anew at that net's weights. All are over the same `n_examples`, so that radii are compared at equal
    weights and nets on equal data. The gradient is summed in float64. Its own norm is biased upwards by the sampling
    noise of the examples; the inner product of the gradients of their two halves is not. `gradient_norm_se` is the
    standard error over examples of the gradient's component along itself.
    `steps`, `epochs` and `learning_rates` say where in the run each net stands; without `steps` they are counted.
    Raises UsageError for nets of different parameters, LandscapeError where a loss is not finite.
    """
    began = time.perf_counter()
    if not models:
        raise UsageError("no net came; give one or more, the first of the run first")
    seed = read_integer("seed", seed, least=0)
    attacks = read_ladder(attack, norm, eps)
    data = as_data(data, targets=loss is not cross_entropy)
    examples = select(data, n_examples, seed=seed)
    for model in models:
        check_model(model)
        check_outputs(model, examples.images, classes=int(examples.labels.max()) + 1, loss=loss)
    spaces = [ParameterSpace(model) for model in models]
    if any((space.names, space.shapes) != (spaces[0].names, spaces[0].shapes) for space in spaces):
        raise UsageError("the nets have different parameters; give the checkpoints of one run")
    places = {
        "step": _places("steps", steps, range(len(models)), len(models)),
        "epoch": _places("epochs", epochs, [math.nan] * len(models), len(models)),
        "learning_rate": _places("learning_rates", learning_rates, [math.nan] * len(models), len(models)),
    }
    start = spaces[0].point(models[0]).double()
    rows = _resumed(snapshot)
    total = len(models) * len(attacks)
    for number in range(len(rows), total):
        if progress is not None:
            progress("checkpoints", number, total)
        model, pgd = models[number // len(attacks)], attacks[number % len(attacks)]
        rows.append(measure_row(model, examples, pgd, start, seed, batch_size, loss))
        if snapshot is not None:
            snapshot.offer(lambda: {"rows": np.array(rows)})
    if progress is not None:
        progress("checkpoints", total, total)
    table = np.array(rows)
    of_nets = {name: np.repeat(np.asarray(values), len(attacks)) for name, values in places.items()}
    device = next(models[0].parameters()).device
    attacked = attacks[-1].ball.eps > 0
    return Result(
        "traces",
        {
            **of_nets,
            "eps": np.tile([one.ball.eps for one in attacks], len(models)),
            **{name: table[:, column] for column, name in enumerate(MEASURED)},
        },
        {
            **provenance(command="landscape.traces", device=str(device), torch_version=torch.__version__),
            "checkpoint": None,
            "checkpoint_sha256": None,
            "training": None,
            "model": type(models[0]).__name__,
            "train_eps": math.nan,
            "seed": seed,
            "data": data.spec,
            "data_sha256": data.sha256,
            "split": data.split,
            "n_examples": len(examples),
            "n_parameters": spaces[0].n_parameters,
            "norm": attacks[0].ball.norm,
            "attack": str(attacks[-1]) if attacked else "none",
            "adversary": "reattacked" if attacked else "none",
            "batchnorm": batchnorm_policy(models[0]),
            **(provenance_of or {}),
            "status": "complete",
            "measured": "checkpoints",
            "wall_seconds": time.perf_counter() - began,
        },
    )


def measure_row(
    model: nn.Module,
    examples: Examples,
    pgd: PGD,
    start: Tensor,
    seed: int,
    batch_size: int | None,
    loss: Loss = cross_entropy,
) -> list[float]:
    """Return the columns MEASURED of one net at one radius."""
    objective = Objective(
        model,
        examples.images,
        examples.labels,
        attack=pgd,
        loss=loss,
        batch_size=batch_size,
        seed=seed,
        indices=examples.indices,
    )
    frozen = objective.freeze()
    w = frozen.w0
    outputs, losses = frozen.outputs(w)
    if not bool(torch.isfinite(losses).all()):
        bad = int((~torch.isfinite(losses)).sum())
        raise LandscapeError(f"the loss is not finite on {bad} of {len(losses)} examples; check the net")
    judged = are_scores(outputs, examples.labels)
    wrong = (outputs.argmax(1).cpu() != examples.labels).double() if judged else losses.double().cpu() * math.nan
    halves = _half_gradients(frozen, w)
    gradient = sum(halves[1:], halves[0]) / frozen.n
    norm = float(gradient.norm())
    product = math.nan
    if len(halves) == 2:
        first = (frozen.n + 1) // 2
        product = float(halves[0] @ halves[1]) / (first * (frozen.n - first))
    return [
        float(losses.double().mean()),
        _standard_error(losses.double()),
        float(wrong.mean()),
        _standard_error(wrong),
        norm,
        _standard_error(_slopes(frozen, w, gradient / norm)) if norm > 0 else math.nan,
        product,
        float((w.double().to(start) - start).norm()),
    ]


def _half_gradients(frozen: Objective, w: Tensor) -> list[Tensor]:
    """Return the sums (P,) of the examples' gradients over their first half and over the rest, in float64."""
    first = (frozen.n + 1) // 2
    sums = []
    for part in (slice(0, first), slice(first, frozen.n)):
        if part.start == part.stop:
            continue
        half = Objective(
            frozen.model, frozen.images[part], frozen.labels[part], loss=frozen.loss, batch_size=frozen.batch_size
        )

        def share(batch: Batch, half: Objective = half) -> Tensor:
            _, gradients = half.first_backward(w, batch, create_graph=False)
            return torch.cat([gradient.reshape(-1) for gradient in gradients]).double()

        with evaluating(half.model), full_precision():
            total = torch.zeros_like(w, dtype=torch.float64)
            for gradient in half.over_batches(share):
                total += gradient * half.n
        sums.append(total)
    return sums


def _slopes(frozen: Objective, w: Tensor, direction: Tensor) -> Tensor:
    """Return the derivative of each example's loss (n,) at w (P,) along `direction` (P,), in float64.

    It is NaN for a net with an operation that has no forward derivative.
    """
    v = direction.to(w)

    def slopes(batch: Batch) -> Tensor:
        def losses(t: Tensor) -> Tensor:
            return per_example(frozen.loss, frozen.network(w + t * v)(batch.images), batch.labels)

        zero = torch.zeros((), dtype=w.dtype, device=w.device)
        return torch.func.jvp(losses, (zero,), (torch.ones_like(zero),))[1].double()

    with evaluating(frozen.model), full_precision(), twice_differentiable():
        try:
            return torch.cat(list(frozen.over_batches(slopes)))
        except NotImplementedError:
            return torch.full((frozen.n,), math.nan, dtype=torch.float64)


def _standard_error(values: Tensor) -> float:
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _places(name: str, given: Sequence[Any] | None, otherwise: Sequence[Any], n: int) -> list[Any]:
    values = list(otherwise if given is None else given)
    if len(values) != n:
        raise UsageError(f"{len(values)} {name} came for {n} nets; give one for each")
    return values


def _resumed(snapshot: Snapshot | None) -> list[list[float]]:
    state = None if snapshot is None else snapshot.load()
    return [] if state is None else [[float(value) for value in row] for row in state["rows"]]
