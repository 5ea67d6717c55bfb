"""Time a point of our surfaces beside the published way's, a quick look beside all points, and a ladder's rungs.

python benchmarks/surface.py            digits and, where --data-dir holds it, MNIST: some ten minutes
python benchmarks/surface.py --quick    half a minute: enough to see that all of it runs

The published way deep-copies the net for each point, sets its weights, reads the examples from a DataLoader, and
attacks with loss.backward(), which takes the weights' gradients too. Seconds are CPU seconds on one thread, one of each
in turn. It is a measurement, not a test: whatever it finds, the exit code is 0.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# BLAS libraries read these when they are first imported, so it must come before NumPy and torch.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
import torch.nn.functional as F
from problems import CASES, SEED, load_images, make_problem
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from landscape import load_data, load_model
from landscape.attacks import PGD, LinfBall
from landscape.data import ImageData, select, to_unit
from landscape.geometry import Plane, Statistics, random_directions
from landscape.objective import Objective
from landscape.surfaces import Grid, Ladder, Points, every, refine, rise_radius, scan

BATCH = 100  # the published script's
WANTED_POINT, WANTED_GRID, MOST_ERROR = 0.70, 8.0, 0.02


@dataclass
class Measured:
    """One net: CPU seconds of a point by each way and their losses; the quick look; the ladder."""

    net: str
    data: str
    eps: float
    n: int
    seconds: dict[str, float]
    losses: dict[str, float]
    grid: int
    grid_n: int
    evaluated: int
    grid_error: float
    held_out: float
    grid_speed: float
    ladder_cost: float
    ladder_weakest: float

    @property
    def ratio(self) -> float:
        """Our seconds of a point over the published way's."""
        return self.seconds["ours"] / self.seconds["published"]

    def lines(self) -> list[str]:
        """Return what was found, a line each."""
        ours, theirs = self.losses["ours"], self.losses["published"]
        return [
            f"{self.net} on {self.data}, eps {self.eps:g}, n = {self.n}:",
            f"  a point: {1e3 * self.seconds['ours']:.0f} ms, published way {1e3 * self.seconds['published']:.0f} ms: "
            f"ratio {self.ratio:.2f} (wanted at most {WANTED_POINT}); mean loss {ours:.4f} against {theirs:.4f}",
            f"  quick look at {self.grid}x{self.grid} (n = {self.grid_n}): {self.evaluated} points evaluated, "
            f"{self.grid_speed:.1f} times faster (wanted {WANTED_GRID:g}), largest error {100 * self.grid_error:.2f} % "
            f"of the local loss (wanted under {100 * MOST_ERROR:g} %), held-out {100 * self.held_out:.2f} %",
            f"  a ladder of three radii: {self.ladder_cost:.2f} of the three alone; the loss found on it is nowhere "
            f"less than alone by more than {max(0.0, -self.ladder_weakest):.1e} nats",
        ]


def published_point(model: nn.Module, shift: Tensor, loader: DataLoader[tuple[Tensor, ...]], attack: PGD) -> float:
    """Return the mean loss at the net's weights plus `shift` (P,), as public code computes it."""
    net = copy.deepcopy(model).eval()
    at = 0
    for parameter in net.parameters():
        parameter.data += shift[at : at + parameter.numel()].view_as(parameter)
        at += parameter.numel()
    total, count = 0.0, 0
    eps, step = attack.ball.eps, attack.step_size
    for images, labels in loader:
        x = (images + (2 * torch.rand_like(images) - 1) * eps).clamp(0, 1)
        for _ in range(attack.steps):
            x = x.detach().requires_grad_()
            net.zero_grad()
            F.cross_entropy(net(x), labels).backward()
            assert x.grad is not None
            x = x.detach() + step * x.grad.sign()
            x = torch.min(torch.max(x, images - eps), images + eps).clamp(0, 1)
        total += float(F.cross_entropy(net(x.detach()), labels, reduction="sum").detach())
        count += len(labels)
    return total / count


def measure(
    name: str, model: nn.Module, data: ImageData, eps: float, *, n: int, rounds: int, grid: int, grid_n: int
) -> Measured:
    """Measure one net: `rounds` points by both ways in turn, then the grid and the ladder."""
    attack = PGD(LinfBall(eps))
    points = _points(model, data, [attack], n)
    objective = points.ladder.objective
    images = to_unit(objective.images)
    loader = DataLoader(TensorDataset(images, objective.labels), batch_size=BATCH)
    radius = rise_radius(points)
    draw = np.random.default_rng(SEED)
    seconds: dict[str, list[float]] = {"ours": [], "published": []}
    losses: dict[str, list[float]] = {"ours": [], "published": []}
    for turn in range(rounds + 1):
        a, b = draw.uniform(-radius, radius, 2)
        shift = points.plane.at(a, b) - points.plane.origin
        for way in ("ours", "published"):
            began = time.process_time()
            if way == "ours":
                loss = float(points.values(a, b)[0]["loss"][0])
            else:
                loss = published_point(model, shift, loader, attack)
            if turn:  # the first turn warms caches
                seconds[way].append(time.process_time() - began)
                losses[way].append(loss)
    quick = _quick_look(_points(model, data, [attack], grid_n), radius, grid)
    rungs = [PGD(LinfBall(eps * share)) for share in (0.25, 0.5, 1.0)]
    cost, weakest = _ladder(model, data, rungs, n, radius, rounds)
    return Measured(
        net=name,
        data=data.spec,
        eps=eps,
        n=objective.n,
        seconds={way: statistics.median(taken) for way, taken in seconds.items()},
        losses={way: statistics.mean(found) for way, found in losses.items()},
        grid=grid,
        grid_n=grid_n,
        ladder_cost=cost,
        ladder_weakest=weakest,
        **quick,
    )


def _points(model: nn.Module, data: ImageData, attacks: list[PGD], n: int) -> Points:
    examples = select(data, n, seed=SEED)
    objective = Objective(model, examples.images, examples.labels, seed=SEED, indices=examples.indices)
    ladder = Ladder(objective, attacks)
    directions = random_directions(objective.space, objective.w0, seed=SEED)
    points = Points(ladder, Plane(objective.w0, *directions.vectors), Statistics(objective))
    ladder.freeze(points.network(0, 0))
    return points


def _quick_look(points: Points, radius: float, size: int) -> dict[str, float]:
    """Scan all points of a grid, then a part of them, from what the first scan found; return how they compare."""
    axis = np.linspace(-radius, radius, size)
    n = points.ladder.objective.n
    whole, quick = (Grid(1, size, size, n, keep_examples=False) for _ in range(2))
    began = time.process_time()
    scan(points, whole, axis, axis, every(axis, axis))
    all_points = time.process_time() - began
    quick.leave(whole.arrays)  # a point is the same in whatever order it comes: it need not be computed twice
    began = time.process_time()
    held_out = refine(quick, lambda wanted: scan(points, quick, axis, axis, wanted), tol=0.02)
    overhead = time.process_time() - began
    evaluated = int((quick.arrays["status"] == 1).sum())
    error = float(np.abs(quick.arrays["loss"] / whole.arrays["loss"] - 1).max())
    partly = overhead + all_points * evaluated / size**2
    return {"evaluated": evaluated, "grid_error": error, "held_out": held_out, "grid_speed": all_points / partly}


def _ladder(
    model: nn.Module, data: ImageData, attacks: list[PGD], n: int, radius: float, rounds: int
) -> tuple[float, float]:
    """Return a ladder's seconds over those of its radii alone, and the least that it gains on any example."""
    together = _points(model, data, attacks, n)
    alone = [_points(model, data, [attack], n) for attack in attacks]
    taken: dict[str, list[float]] = {"together": [], "alone": []}
    least = np.inf
    draw = np.random.default_rng(SEED + 1)
    for turn in range(rounds + 1):
        a, b = draw.uniform(-radius, radius, 2)
        began = time.process_time()
        ladder = together.values(a, b)[0]["example_loss"]
        between = time.process_time()
        single = np.concatenate([points.values(a, b)[0]["example_loss"] for points in alone])
        if turn:
            taken["together"].append(between - began)
            taken["alone"].append(time.process_time() - between)
        least = min(least, float((ladder - single).min()))
    return statistics.median(taken["together"]) / statistics.median(taken["alone"]), least


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=400, help="examples of a point (400)")
    parser.add_argument("--grid-examples", type=int, default=200, help="examples of the grid (200)")
    parser.add_argument("--grid", type=int, default=49, help="points along each axis (49)")
    parser.add_argument("--rounds", type=int, default=9, help="points timed by each way (9)")
    parser.add_argument("--nets", nargs="+", help="default: digits/eps0.1 mnist")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("LANDSCAPE_DATA"), help="real MNIST")
    parser.add_argument("--out", type=Path, help="a .json file for all that was measured")
    parser.add_argument("--quick", action="store_true", help="few examples, points and rounds: half a minute")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.examples, arguments.grid_examples, arguments.grid, arguments.rounds = 100, 20, 17, 2
    arguments.nets = arguments.nets or (["digits/eps0.1"] if arguments.quick else ["digits/eps0.1", "mnist"])
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark as the command line says."""
    arguments = _arguments(argv)
    torch.set_num_threads(1)
    results = []
    for name in arguments.nets:
        if name == "mnist":  # a LeNet of width 4, trained briefly, as in benchmarks/hessian.py
            case = CASES["lenet"]
            data_dir = None if arguments.data_dir is None else Path(arguments.data_dir)
            model, (data, _), eps = (
                make_problem(case, 8, data_dir=data_dir).model,
                load_images(case, data_dir),
                case.recipe.eps,
            )
        else:
            model, data, eps = load_model(name), load_data("digits"), 0.1
        measured = measure(
            name,
            model,
            data,
            eps,
            n=arguments.examples,
            rounds=arguments.rounds,
            grid=arguments.grid,
            grid_n=arguments.grid_examples,
        )
        print("\n".join(measured.lines()), flush=True)
        results.append(asdict(measured) | {"ratio": measured.ratio})
        if arguments.out is not None:
            machine = {"python": platform.python_version(), "torch": torch.__version__}
            arguments.out.write_text(json.dumps({**machine, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
