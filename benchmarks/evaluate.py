"""What an evaluation costs: our PGD-100 beside the plain published loop, our APGD beside the package's front end.

    python benchmarks/evaluate.py                  # about five minutes on one core
    python benchmarks/evaluate.py --quick          # half a minute

Everyone gets the same net, images, starts (PGD) and batches, on one thread, one of each in every round; the CPU seconds
shown are medians. The verdicts are compared example by example. The package draws its starts for a whole batch, ours
for each example, so that APGD's verdicts can differ where the start decides.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from pyautoattack import AutoAttack
from torch import Tensor, nn

import landscape
from landscape.attacks import APGD, PGD, LinfBall
from landscape.data import as_data, select, to_unit
from landscape.evaluation import Examinee
from landscape.models import build_model
from landscape.streams import example_streams

STEPS = 100


@dataclass(frozen=True)
class Case:
    """A net, images (N, C, H, W) that it is right on, their labels (N,), and a radius that fools some."""

    name: str
    model: nn.Module
    images: Tensor
    labels: Tensor
    eps: float


def cases(n: int, *, quick: bool) -> list[Case]:
    """Return a LeNet of the shipped ones on its test digits, and a ResNet18 with BatchNorm on digits made larger."""
    digits = landscape.load_data("digits", split="test")
    images = to_unit(digits.images)
    model = landscape.load_model("digits/eps0.1").eval()
    found = [_right(Case("lenet:width=4, digits", model, images, digits.labels, 0.1), n)]
    if not quick:
        large = F.interpolate(images[: n // 4], size=(32, 32)).expand(-1, 3, -1, -1).contiguous()
        net = build_model("resnet18:width=8", input=(3, 32, 32), classes=10, seed=0)[0].train()
        with torch.no_grad():
            net(large)  # statistics for its BatchNorm, so that it tells images apart
        net.eval()
        with torch.no_grad():  # initial weights: their own answers are the truth, each class at its mean
            list(net.parameters())[-1].sub_(net(large).mean(0))
            labels = net(large).argmax(1)
        found.append(_right(Case("resnet18:width=8, initial", net, large, labels, 0.002), n // 4))
    return found


def plain_loop(case: Case, attack: PGD, batch: int) -> np.ndarray:
    """Return who withstands the last iterate (N,): the loop as it is published, `backward()` and a final forward."""
    verdicts = []
    for start in range(0, len(case.labels), batch):
        images, labels = case.images[start : start + batch], case.labels[start : start + batch]
        streams = example_streams(0, "attack/restart0", range(start, start + len(labels)))
        x = attack.start_images(images, streams)
        for _ in range(attack.steps):
            x = x.detach().requires_grad_()
            case.model.zero_grad()
            F.cross_entropy(case.model(x), labels).backward()
            assert x.grad is not None
            x = x + attack.step_size * x.grad.sign()
            x = torch.clamp(torch.min(torch.max(x, images - case.eps), images + case.eps), 0, 1)
        with torch.no_grad():
            verdicts.append((case.model(x).argmax(1) == labels).numpy())
    case.model.zero_grad()
    return np.concatenate(verdicts)


def ours(case: Case, attack: PGD | APGD, batch: int) -> np.ndarray:
    """Return who withstands (N,), by the library."""
    examinee = Examinee(case.model, select(as_data((case.images, case.labels)), "all"), batch_size=batch)
    parts = examinee.over(torch.arange(len(case.labels)), lambda part: examinee.withstands(attack, part))
    return np.concatenate([right for _, right in parts])


def front_end(case: Case, attack: APGD, batch: int) -> np.ndarray:
    """Return who withstands (N,), by the package's own front end."""
    logging.getLogger("auto-attack").setLevel(logging.ERROR)
    runner = AutoAttack(case.model, norm="Linf", eps=case.eps, version="custom", attacks=["apgd-ce"], seed=0)
    runner.apgd.n_restarts = attack.restarts
    with torch.random.fork_rng():
        found, _ = runner.run_standard_evaluation(case.images, case.labels, batch_size=batch)
    with torch.no_grad():
        return (case.model(found).argmax(1) == case.labels).numpy()


def measure(contenders: dict[str, Callable[[], np.ndarray]], rounds: int) -> dict[str, tuple[float, np.ndarray]]:
    """Return the median CPU seconds and the verdicts of each, one of each in every round, after one unmeasured."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    verdicts: dict[str, np.ndarray] = {}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            began = time.process_time()
            verdicts[name] = run()
            if number:
                seconds[name].append(time.process_time() - began)
    return {name: (statistics.median(taken), verdicts[name]) for name, taken in seconds.items()}


def report(case: Case, rounds: int, batch: int) -> None:
    """Print a case's table: seconds, their ratio to the first of its group, and on how many the verdicts agree."""
    ball = LinfBall(case.eps)
    last = PGD(ball, steps=STEPS, rel_step=0.1, start="step", keep="last")
    every = PGD(ball, steps=STEPS, rel_step=0.1, start="step")
    apgd = APGD(ball, steps=STEPS)
    n = len(case.labels)
    print(f"\n{case.name}, {n} examples, l-inf eps {case.eps}, batches of {batch}, median of {rounds} rounds")
    print(f"{'':34}{'CPU s':>8}{'ratio':>8}{'error':>8}  verdicts as the first")
    groups = [
        {
            "PGD-100, the published loop": lambda: plain_loop(case, last, batch),
            "PGD-100, ours, last iterate": lambda: ours(case, last, batch),
            "PGD-100, ours, any iterate": lambda: ours(case, every, batch),
        },
        {
            "APGD-CE, the package's front end": lambda: front_end(case, apgd, batch),
            "APGD-CE, ours": lambda: ours(case, apgd, batch),
        },
    ]
    for contenders in groups:
        found = measure(contenders, rounds)
        first_seconds, first = next(iter(found.values()))
        for name, (seconds, verdicts) in found.items():
            agree = int((verdicts == first).sum())
            error = f"{100 * (~verdicts).mean():.1f} %"
            print(f"{name:34}{seconds:8.2f}{seconds / first_seconds:8.2f}{error:>8}  {agree} of {n}")


def _right(case: Case, n: int) -> Case:
    with torch.no_grad():
        right = case.model(case.images).argmax(1) == case.labels
    return Case(case.name, case.model, case.images[right][:n], case.labels[right][:n], case.eps)


def main() -> None:
    """Run the cases and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the LeNet alone, fewer examples, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for case in cases(64 if arguments.quick else 256, quick=arguments.quick):
        report(case, 1 if arguments.quick else arguments.rounds, arguments.batch_size)


if __name__ == "__main__":
    main()
