"""Time one PGD-10 training step of ours beside the published way's: one process, one thread, the same net and batches.

python benchmarks/training.py            LeNet width 4, ResNet18 width 4 and 16: several minutes
python benchmarks/training.py --quick    half a minute: enough to see that all of it runs

The published way differentiates the weights at each step of the attack too (loss.backward()), in float32, from a
DataLoader, with one .item() a batch. Seconds are CPU seconds. It is a measurement, not a test: whatever it finds, the
exit code is 0.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

# BLAS libraries read these when they are first imported, so it must come before NumPy and torch.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import torch
import torch.nn.functional as F
from problems import SEED, Case, load_images
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode
from trace_cost import Added, first_examples, trace_cost

from landscape.attacks.twin import Twin
from landscape.borrow import full_precision, in_mode
from landscape.data import ImageData, to_unit
from landscape.losses import cross_entropy
from landscape.memory import keep_freed_memory
from landscape.models import build_model
from landscape.training import Recipe, train
from landscape.training.trainer import Trainer

PUBLISHED, FLOAT32, BF16 = "published way", "ours, float32", "ours, bf16"
WANTED = {FLOAT32: 0.65, BF16: 0.40}
MOST_LOSS_APART, MOST_TRACES = 0.01, 0.03

# batch_size is what one timed step is over; train_examples what the net has learnt from beforehand, without attack.
CASES = {
    case.name: case
    for case in (
        Case("tiny", "lenet:width=1", (1, 8, 8), None, (), 0, Recipe(eps=0.1, epochs=1, batch_size=32), 64),
        Case("lenet", "lenet:width=4", (1, 28, 28), "mnist", (), 0, Recipe(eps=0.1, epochs=1, batch_size=128), 1280),
        Case(
            "resnet18-4", "resnet18:width=4", (3, 32, 32), "cifar10", (), 0,
            Recipe(eps=8 / 255, epochs=1, optimizer="sgd", lr=0.01, batch_size=64, augment=False), 640,
        ),
        Case(
            "resnet18-16", "resnet18:width=16", (3, 32, 32), "cifar10", (), 0,
            Recipe(eps=8 / 255, epochs=1, optimizer="sgd", lr=0.01, batch_size=16, augment=False), 160,
        ),
    )
}  # fmt: skip


@dataclass
class Measured:
    """One case: CPU seconds of a step by each way, arithmetic and adversarial losses, each over the published way's."""

    case: str
    model: str
    data: str
    eps: float
    batch_size: int
    rounds: int
    seconds: dict[str, float]
    flop_floor: float
    losses: dict[str, float]
    added: Added

    @property
    def ratios(self) -> dict[str, float]:
        """What a step takes, over the published way's."""
        return {name: seconds / self.seconds[PUBLISHED] for name, seconds in self.seconds.items()}

    @property
    def losses_apart(self) -> dict[str, float]:
        """How far the adversarial loss lies from the published way's, over that."""
        base = self.losses[PUBLISHED]
        return {name: abs(loss - base) / base for name, loss in self.losses.items() if name != PUBLISHED}

    @property
    def traces(self) -> float:
        """What the traces add to a step, over the step."""
        return self.added.share

    def lines(self) -> Iterator[str]:
        """Yield the table, line by line."""
        yield f"{self.model}, batches of {self.batch_size}; {self.data}; PGD-10 at l-inf {self.eps:.4g}"
        title = f"one step (median of {self.rounds})"
        yield f"  {title:<28} {'CPU ms':>9} {'ratio':>7} {'wanted':>7} {'adv. loss':>10}"
        for name, seconds in self.seconds.items():
            wanted = f"{WANTED[name]:.2f}" if name in WANTED else ""
            loss = f"{self.losses[name]:.5f}" if name in self.losses else ""
            yield f"  {name:<28} {1e3 * seconds:9.1f} {self.ratios[name]:7.3f} {wanted:>7} {loss:>10}".rstrip()
        yield f"  arithmetic of ours over the published way's: {self.flop_floor:.3f}"
        for name, wanted_ratio in WANTED.items():
            if name not in self.seconds:
                yield f"  {name}: not measured, this CPU emulates bfloat16"
                continue
            yield "  " + _verdict(f"{name}: time over the published way's", self.ratios[name], wanted_ratio)
        for name, apart in self.losses_apart.items():
            yield "  " + _verdict(f"{name}: adversarial loss apart", apart, MOST_LOSS_APART)
        yield "  " + _verdict("time that the traces add", self.traces, MOST_TRACES)
        yield "    " + self.added.told()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        return {**asdict(self), "ratios": self.ratios, "losses_apart": self.losses_apart, "traces": self.traces}


class Published:
    """A step as published trainers take it: the attack by loss.backward(), a DataLoader, float32, eager."""

    def __init__(self, net: nn.Module, data: ImageData, recipe: Recipe) -> None:
        self.net, self.attack, self.eps = net, recipe.attack_at(recipe.eps), recipe.eps
        self.batches = iter(
            DataLoader(TensorDataset(to_unit(data.images), data.labels), batch_size=recipe.batch_size, shuffle=True)
        )
        assert recipe.lr is not None
        parameters = net.parameters()
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(parameters, lr=recipe.lr)
            if recipe.optimizer == "adam"
            else torch.optim.SGD(parameters, lr=recipe.lr, momentum=recipe.momentum)
        )

    def adversarial(self, images: Tensor, labels: Tensor, start: Tensor) -> Tensor:
        """Return the last iterate of PGD from `start`, all gradients taken on the way."""
        self.net.eval()
        x = start.clone()
        for _ in range(self.attack.steps):
            x.requires_grad_()
            loss = F.cross_entropy(self.net(x), labels)
            self.net.zero_grad()
            loss.backward()
            assert x.grad is not None
            with torch.no_grad():
                x = x + self.attack.step_size * x.grad.sign()
                x = torch.clamp(torch.min(torch.max(x, images - self.eps), images + self.eps), 0, 1)
        return x

    def step(self) -> None:
        """Learn from the next batch."""
        images, labels = next(self.batches)
        start = (images + torch.empty_like(images).uniform_(-self.eps, self.eps)).clamp(0, 1)
        x = self.adversarial(images, labels, start)
        self.net.train()
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(x), labels)
        loss.backward()
        self.optimizer.step()
        loss.item()


def measure(case: Case, *, rounds: int, data_dir: Path | None) -> Measured:
    """Measure `rounds` steps of each way, in turns, after one unmeasured that proves the twin; then the traces."""
    images, words = load_images(case, data_dir)
    net, _ = build_model(case.model, input=case.image, classes=images.classes, seed=SEED)
    # Learnt without an attack, so that there is a loss to raise, and BatchNorm has statistics.
    train(net, first_examples(images, case.train_examples), replace(case.recipe, eps=0.0))
    ways = _ways(net, first_examples(images, (rounds + 1) * case.recipe.batch_size), case.recipe)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, step in ways.items():
            began = time.process_time()
            step()
            if number:
                taken[name].append(time.process_time() - began)
    batch = first_examples(images, case.recipe.batch_size)
    return Measured(
        case=case.name,
        model=case.model,
        data=words,
        eps=case.recipe.eps,
        batch_size=case.recipe.batch_size,
        rounds=rounds,
        seconds={name: statistics.median(seconds) for name, seconds in taken.items()},
        flop_floor=flop_floor(net, to_unit(batch.images), batch.labels, case.recipe.attack_at(case.recipe.eps).steps),
        losses=adversarial_losses(net, first_examples(images, 512), batch, case.recipe),
        added=trace_cost(net, images, case.recipe, periods=rounds),
    )


def _ways(net: nn.Module, data: ImageData, recipe: Recipe) -> dict[str, Callable[[], None]]:
    """Return, by name, what takes the next step of each way; all begin at the same weights."""

    def ours(recipe: Recipe) -> Callable[[], None]:
        trainer = Trainer(copy.deepcopy(net), data, recipe.resolved(data.spec), device="cpu")
        trainer._begin_epoch()

        def step() -> None:
            with full_precision(), in_mode(trainer.model, training=True):
                trainer._advance()

        return step

    half = replace(recipe, precision="bf16", attack_precision="bf16")
    ways = {PUBLISHED: Published(copy.deepcopy(net), data, recipe).step, FLOAT32: ours(recipe)}
    return {**ways, BF16: ours(half)} if has_bf16() else ways


def has_bf16() -> bool:
    """Say whether this CPU multiplies in bfloat16: without, it is emulated, ten times slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def cpu_name() -> str:
    """Return the CPU's name and the vector instructions that torch uses."""
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    bf16 = "with bf16" if has_bf16() else "without bf16"
    return f"{names[0] if names else platform.processor()} ({torch.backends.cpu.get_cpu_capability()}, {bf16})"


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return []


def adversarial_losses(net: nn.Module, data: ImageData, batch: ImageData, recipe: Recipe) -> dict[str, float]:
    """Return the float32 loss (nats) of the adversarial images that each way finds from the same starts."""
    net = copy.deepcopy(net).eval()
    images, labels = to_unit(data.images), data.labels
    attack = recipe.attack_at(recipe.eps)
    fixed = replace(attack, start="zero")  # one start for all
    published = Published(copy.deepcopy(net), batch, recipe)
    found = {PUBLISHED: published.adversarial(images, labels, images)}
    for name, precision in ((FLOAT32, "float32"), (BF16, "bf16")):
        found[name] = fixed(Twin(net, precision=precision).network(images), images, labels)
    with torch.no_grad():
        return {name: cross_entropy(net(x), labels).double().mean().item() for name, x in found.items()}


def flop_floor(net: nn.Module, images: Tensor, labels: Tensor, steps: int) -> float:
    """Return the arithmetic of a lean training step over the published way's, for an attack of `steps` steps."""
    net = copy.deepcopy(net)

    def count(network: Callable[[Tensor], Tensor], *, to_images: bool) -> int:
        with FlopCounterMode(display=False) as counter:
            # A product with 1 costs nothing that is counted; the counter takes no leaf for an input.
            logits = network(images.clone().requires_grad_(to_images) * 1.0)
            F.cross_entropy(logits, labels).backward()
        return counter.get_total_flops()

    update, full = count(net, to_images=False), count(net, to_images=True)
    lean = count(Twin(net).network(images), to_images=True)
    return (steps * lean + update) / (steps * full + update)


def _verdict(name: str, found: float, most: float) -> str:
    return f"{name}: {found:.3g}, wanted <= {most:g} ({'met' if found <= most else 'not met'})"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=sorted(CASES), help="default: all but tiny")
    parser.add_argument("--rounds", type=int, help="interleaved timings of each way (5)")
    parser.add_argument("--keep-memory", action="store_true", help="let freed memory be kept, as landscape train does")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("LANDSCAPE_DATA"), help="real MNIST, CIFAR-10")
    parser.add_argument("--out", type=Path, help="a .json file for all that was measured")
    parser.add_argument("--quick", action="store_true", help="a small net, few rounds")
    arguments = parser.parse_args(argv)
    if arguments.cases is None:
        arguments.cases = ["tiny"] if arguments.quick else [name for name in CASES if name != "tiny"]
    if arguments.rounds is None:
        arguments.rounds = 2 if arguments.quick else 5
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark as the command line says."""
    arguments = _arguments(argv)
    torch.set_num_threads(1)
    kept = keep_freed_memory() if arguments.keep_memory else False
    data_dir = None if arguments.data_dir is None else Path(arguments.data_dir)
    print(f"{cpu_name()}; torch {torch.__version__}, one thread", flush=True)
    machine = {
        "cpu": cpu_name(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "freed_memory_kept": kept,
    }
    results = []
    for name in arguments.cases:
        measured = measure(CASES[name], rounds=arguments.rounds, data_dir=data_dir)
        print("\n".join(measured.lines()) + "\n", flush=True)
        results.append(measured.to_dict())
        if arguments.out is not None:  # after each case: a long run that is stopped has what it got to
            arguments.out.write_text(json.dumps({**machine, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
