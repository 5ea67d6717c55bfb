"""Made-up evaluations for the tests of files, tables and pictures: verdicts by formula, every count known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from landscape.results import Result
from landscape.statistics import wilson

ATTACKS = ("clean", "pgd100", "apgd-ce", "square")


def evaluation(
    wrong: Sequence[Sequence[int]] = ((10, 40, 45, 30),),
    *,
    n: int = 100,
    names: Sequence[str] | None = None,
    training: Any = None,
    attacks: Sequence[str] = ATTACKS,
    curve: bool = False,
    **attrs: Any,
) -> Result:
    """Return an evaluation in which net m gets the first wrong[m][a] of n examples wrong under attack a."""
    counts = np.asarray(wrong)
    names = [f"net{m}.pt" for m in range(len(counts))] if names is None else list(names)
    correct = np.arange(n) >= counts[:, :, None]
    bounds = np.array([[wilson(int(count), n) for count in row] for row in counts])
    arrays = {
        "checkpoints": np.array(names),
        "attacks": np.array(attacks),
        "error_rate": counts / n,
        "error_low": bounds[:, :, 0],
        "error_high": bounds[:, :, 1],
        "worst_case": 1 - correct.all(1).mean(1),
        "correct": correct,
        "indices": np.arange(n),
    }
    if curve:
        radii = np.array([0.0, 0.05, 0.1, 0.2, 1.0])
        arrays |= {"curve/eps": radii, "curve/error_rate": np.minimum(1, 0.1 + 5 * radii) * np.ones((len(counts), 1))}
    values: dict[str, Any] = {
        "status": "complete",
        "command": "landscape evaluate net.pt --eps 0.1",
        "created": "2026-01-02T03:04:05+00:00",
        "landscape_version": "0.1.0",
        "torch_version": "2.13.0",
        "device": "cpu",
        "seed": 0,
        "checkpoint": names,
        "checkpoint_sha256": ["ab" * 32] * len(names),
        "training": training,
        "data_sha256": "cd" * 32,
        "model": ["lenet:width=2,input=1x28x28,classes=10"] * len(names),
        "data": "mnist",
        "split": "test",
        "n_examples": n,
        "n_parameters": 1000,
        "norm": "linf",
        "train_eps": 0.1,
        "attack": "pgd:steps=100,rel_step=0.1,restarts=1",
        "adversary": "reattacked",
        "batchnorm": "none",
        "wall_seconds": 1.5,
        "eps": 0.1,
        "ensemble": "none",
        "cascade": False,
        "preset": "default",
        "classes": 10,
    }
    if curve:
        values |= {"curve_examples": n, "curve_attack": "pgd:steps=40,rel_step=0.1,restarts=1"}
    return Result("evaluate", arrays, {**values, **attrs})


def schedules(errors: dict[str, Sequence[int]], *, n: int = 1000, best: bool = False) -> list[Result]:
    """Return one evaluation for each seed: a net for each schedule, which gets errors[schedule][seed] of n wrong."""
    found = []
    for seed in range(len(next(iter(errors.values())))):
        names = [f"{schedule}-{seed}{'-best' if best else ''}.pt" for schedule in errors]
        training = [
            {"eps": 0.1, "eps_schedule": schedule, "seed": seed, "epoch": 6 - best * seed, "final": {"x": seed}}
            for schedule in errors
        ]
        wrong = [[10, counts[seed]] for counts in errors.values()]
        found.append(evaluation(wrong, n=n, names=names, training=training, attacks=("clean", "apgd-ce")))
    return found


Errors = dict[tuple[str, float], Sequence[int | None]]


def sweep(errors: Errors, *, n: int = 200, data: str = "cd", recipe: dict[str, Any] | None = None) -> list[Result]:
    """Return one evaluation for each seed: a net for each (schedule, learning rate), errors[...][seed] of n wrong.

    None is a net that failed: nine tenths wrong, clean and attacked. Of the others a twentieth is wrong unattacked.
    """
    found = []
    for seed in range(len(next(iter(errors.values())))):
        counts = {place: row[seed] for place, row in errors.items()}
        training = [
            {
                **{"eps": 0.1, "eps_schedule": schedule, "lr": rate, "seed": seed, "epochs": 6, "epoch": 6},
                **(recipe or {}),
                "final": {"collapsed": count is None, "clean_test_error": 0.1},
                **({"guard": [{"event": "constant-classifier", "epoch": 3}]} if count is None else {}),
            }
            for (schedule, rate), count in counts.items()
        ]
        wrong = [[n * 9 // 10] * 2 if count is None else [n // 20, count] for count in counts.values()]
        tail = "-".join(map(str, (recipe or {}).values()))
        names = [f"{schedule}-{rate:g}-{seed}{tail}.pt" for schedule, rate in counts]
        hashes = [f"{name:0<64}" for name in names]
        found.append(
            evaluation(
                wrong,
                n=n,
                names=names,
                training=training,
                attacks=("clean", "pgd20"),
                checkpoint_sha256=hashes,
                data_sha256=data * 32,
            )
        )
    return found
