"""Time a scan along a curve beside the published way's, point by point in turn, and compare the losses found.

python benchmarks/connect.py                     two nets that ship, on the digits: about two minutes
python benchmarks/connect.py --pairs A.pt,B.pt   two nets of your own, with the data that they name
python benchmarks/connect.py --quick             few points and examples: enough to see that all of it runs

The published way (Liu et al. 2020, after Garipov et al. 2018) rebuilds the net at each t and makes three passes with an
attack each: over the training examples in train mode, for BatchNorm, whether the net has any or not; over them again,
and over the test examples, for their losses. It reads from a DataLoader and attacks by loss.backward(), which takes the
weights' gradients too. Ours, at the same number of examples in every pass, leaves out the first pass for a net without
BatchNorm, and for one with it attacks for the statistics, too.

On a net with BatchNorm the published way attacks in train mode, and averages the attack's own passes into the
statistics, so that its losses are those of other nets than ours. "repaired" is the published way in all but that: its
attack for the statistics is in eval mode, at those of the clean images, and only attacked batches are averaged.
Seconds are CPU seconds on one thread; exit code 0.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

# BLAS libraries read these when they are first imported, so it must come before NumPy and torch.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
import torch.nn.functional as F
from landscape.analyses.connect import buffers_of, line_between
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from landscape.attacks import PGD, LinfBall
from landscape.checkpoint import read_checkpoint, rebuild
from landscape.data import Examples, load_data, select, to_unit
from landscape.geometry import BezierCurve, recalibration, segment
from landscape.objective import Objective
from landscape.surfaces import Ladder
from landscape.surfaces.along import Along, policy_along

BATCH, SEED, WANTED = 128, 0, 2.0
Loader = DataLoader[tuple[Tensor, ...]]


@dataclass
class Measured:
    """One pair: CPU seconds of all points by each way, and the losses (train, test) of each way at each point."""

    pair: str
    batchnorm: str
    eps: float
    n: int
    points: int
    seconds: dict[str, list[float]]
    losses: dict[str, list[list[float]]]
    errors: list[list[float]]

    @property
    def ratio(self) -> float:
        """The published way's seconds over ours, of the whole scan, where its losses can be ours."""
        return sum(self.seconds[self.peer]) / sum(self.seconds["ours"])

    @property
    def peer(self) -> str:
        """The published way whose losses are comparable: repaired for a net with BatchNorm."""
        return "published" if self.batchnorm == "none" else "repaired"

    @property
    def apart(self) -> float:
        """The largest distance of two losses at one point, in standard errors of ours over examples."""
        return self._apart(self.peer)

    def _apart(self, way: str, statistic: Callable[[np.ndarray], np.floating] = np.max) -> float:
        found = np.abs(np.array(self.losses["ours"]) - np.array(self.losses[way])) / np.array(self.errors)
        return float(statistic(found))

    def lines(self) -> list[str]:
        """Return what was found, a line each."""
        middle = len(self.losses["ours"]) // 2
        found = [
            f"{self.pair}, eps {self.eps:g}, {self.points} points, {self.n} examples of each split, "
            f"BatchNorm {self.batchnorm}:"
        ]
        for way, seconds in self.seconds.items():
            losses = self.losses[way][middle]
            line = (
                f"  {way:9} {sum(seconds):7.1f} s, a point {1e3 * statistics.median(seconds):5.0f} ms (median), "
                f"losses at t = 1/2 {losses[0]:.4f} {losses[1]:.4f}"
            )
            if way != "ours":
                ratio = sum(seconds) / sum(self.seconds["ours"])
                line += (
                    f"; ours is {ratio:.1f} times faster, {self._apart(way, np.median):.2f} standard errors "
                    f"apart (median), at most {self._apart(way):.2f}"
                )
            found.append(line)
        return [*found, f"  against {self.peer}: {self.ratio:.1f} times (wanted {WANTED:g})"]


def published_attack(net: nn.Module, images: Tensor, labels: Tensor, attack: PGD) -> Tensor:
    """Return adversarial images as public code makes them: last iterate, weights' gradients taken along."""
    eps, step = attack.ball.eps, attack.step_size
    x = (images + (2 * torch.rand_like(images) - 1) * eps).clamp(0, 1)
    for _ in range(attack.steps):
        x = x.detach().requires_grad_()
        net.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        assert x.grad is not None
        x = x.detach() + step * x.grad.sign()
        x = torch.min(torch.max(x, images - eps), images + eps).clamp(0, 1)
    return x.detach()


def published_point(
    model: nn.Module, w: Tensor, loaders: Sequence[Loader], attack: PGD, *, repaired: bool = False
) -> list[float]:
    """Return the mean losses on both splits at weights w (P,), as public code computes them."""
    net = copy.deepcopy(model)
    torch.nn.utils.vector_to_parameters(w, net.parameters())
    if repaired:
        _reset(net)
        with torch.no_grad():
            for images, _ in loaders[0]:
                net.train()(images)
    attacked = []
    if not repaired:
        _reset(net)
    for images, labels in loaders[0]:  # for BatchNorm
        train = _has_batchnorm(net) and not repaired
        x = published_attack(net.train(train), images, labels, attack)
        if repaired:
            attacked.append(x)
            continue
        net.train()
        with torch.no_grad():
            net(x)
    if repaired:
        _reset(net)
        with torch.no_grad():
            for x in attacked:
                net.train()(x)
    net.eval()
    found = []
    for loader in loaders:
        total, count = 0.0, 0
        for images, labels in loader:
            x = published_attack(net, images, labels, attack)
            total += float(F.cross_entropy(net(x), labels, reduction="sum").detach())
            count += len(labels)
        found.append(total / count)
    return found


def _reset(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None


def measure(name: str, *, n: int, points: int, eps: float, data_dir: Path | None) -> Measured:
    """Scan a curve between two nets by both ways, a point of each in turn."""
    checkpoints = [read_checkpoint(source) for source in name.split(",")]
    spec = checkpoints[0].data or "digits"
    splits = [load_data(spec, split=split, data_dir=data_dir) for split in ("train", "test")]
    one, other = (rebuild(held, input=splits[0].shape, classes=splits[0].classes)[0] for held in checkpoints)
    examples = [select(data, min(n, len(data)), seed=SEED) for data in splits]
    attack = PGD(LinfBall(eps))
    line = line_between(one, other)
    curve = BezierCurve(segment(line.points[0], line.points[1], 3))
    along = _along(one, other, examples, curve, attack, splits[0].classes)
    loaders: list[Loader] = [
        DataLoader(TensorDataset(to_unit(some.images), some.labels), batch_size=BATCH) for some in examples
    ]
    errors: list[list[float]] = []

    def ours(t: float) -> list[float]:
        found = [along.values(t, row)[0] for row in (0, 1)]
        errors.append([float(values["loss_se"][-1]) for values in found])
        return [float(values["loss"][-1]) for values in found]

    def theirs(t: float, *, repaired: bool = False) -> list[float]:
        return published_point(one, curve.at(t), loaders, attack, repaired=repaired)

    ways = {"ours": ours, "published": theirs}
    if along.policy != "none":
        ways["repaired"] = partial(theirs, repaired=True)
    taken: dict[str, list[float]] = {way: [] for way in ways}
    losses: dict[str, list[list[float]]] = {way: [] for way in ways}
    torch.manual_seed(SEED)
    for t in [0.5, *np.linspace(0, 1, points).tolist()]:
        for way, losses_at in ways.items():
            began = time.process_time()
            losses[way].append(losses_at(t))
            taken[way].append(time.process_time() - began)
    # The first point warms caches, and is left out.
    return Measured(
        name,
        along.policy,
        eps,
        n,
        points,
        {way: seconds[1:] for way, seconds in taken.items()},
        {way: found[1:] for way, found in losses.items()},
        errors[1:],
    )


def _along(
    one: nn.Module, other: nn.Module, examples: Sequence[Examples], curve: BezierCurve, attack: PGD, classes: int
) -> Along:
    objectives = [
        Objective(one, some.images, some.labels, seed=SEED, indices=some.indices, batch_size=BATCH) for some in examples
    ]
    policy = policy_along(one, "adv-recal")
    statistics_ = recalibration(objectives[0], policy if policy != "none" else "frozen", None, attack)
    ladders = [Ladder(objective, [attack]) for objective in objectives]
    return Along([curve], ladders, statistics_, policy, buffers_of(one, other))


def _has_batchnorm(net: nn.Module) -> bool:
    return any(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", nargs="+", default=["digits/eps0.1,digits/eps0.05"], help="A,B: two checkpoints")
    parser.add_argument("--examples", type=int, default=300, help="examples of each split (300)")
    parser.add_argument("--points", type=int, default=51, help="places t (51)")
    parser.add_argument("--eps", type=float, default=0.1)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("LANDSCAPE_DATA"), help="real MNIST")
    parser.add_argument("--out", type=Path, help="a .json file for all that was measured")
    parser.add_argument("--quick", action="store_true", help="20 examples, 3 points")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.examples, arguments.points = 20, 3
    torch.set_num_threads(1)
    results = []
    for pair in arguments.pairs:
        measured = measure(
            pair, n=arguments.examples, points=arguments.points, eps=arguments.eps, data_dir=arguments.data_dir
        )
        print("\n".join(measured.lines()), flush=True)
        results.append(asdict(measured) | {"ratio": measured.ratio, "apart": measured.apart})
        if arguments.out is not None:
            machine = {"python": platform.python_version(), "torch": torch.__version__}
            arguments.out.write_text(json.dumps({**machine, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
