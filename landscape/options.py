"""Options that several commands share, with their types: each refuses what cannot be meant before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
NORMS = ("linf", "l2")
DEFAULT_ATTACK = "pgd:steps=10,rel_step=0.25,restarts=1"


class Count(click.ParamType[int | str]):
    """A whole number of examples, or "all"."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the number, or "all"."""
        if value == "all" or isinstance(value, int):
            return value
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value!r} is no number of examples; write 1 or more, or all", param, ctx)
        return int(value)


class Decay(click.ParamType[float | str]):
    """A weight decay, or "training"."""

    name = "W|training"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Return the number, or "training"."""
        if value == "training":
            return "training"
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 <= number < math.inf:
            self.fail(f"{value!r} is no weight decay; write 0 or more, such as 5e-4, or training", param, ctx)
        return number


class Counts(click.ParamType[tuple[int, ...]]):
    """Several whole numbers, separated by commas."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",")]
        if not all(word.isdecimal() for word in words):
            self.fail(f"{value!r} are no whole numbers; write 250,500,1000", param, ctx)
        return tuple(map(int, words))


class Numbers(click.ParamType[tuple[float, ...]]):
    """Several positive numbers, separated by commas."""

    name = "H,H,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(word) for word in str(value).split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(0 < number < math.inf for number in numbers):
            self.fail(f"{value!r} are no positive numbers; write 0.01,0.02,0.05", param, ctx)
        return numbers


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return one decorator that adds several options, in the order that help shows them."""

    def decorate(function: Command) -> Command:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


model = click.option("--model", metavar="SPEC", help="The net: lenet:width=4, pkg.mod:callable, file.py:callable.")
key = click.option(
    "--key", metavar="KEY", help="Which of several nets in a foreign checkpoint, such as state_dict_ema."
)
data = click.option("--data", metavar="SPEC", help="digits, mnist, cifar10, x.npz, pkg.mod:callable, file.py:callable.")
data_dir = click.option(
    "--data-dir", type=PATH, help="Folder of the data sets.  [default: $LANDSCAPE_DATA, else a cache]"
)
split = click.option("--split", type=click.Choice(["train", "test"]), default="train", show_default=True)
n_examples = click.option("--n-examples", type=Count(), help="Examples to average over.  [default: at most 2,000]")
eps = click.option("--eps", metavar="EPS", help="Radius in pixel units, such as 4/255.  [default: that of training]")
norm = click.option(
    "--norm", type=click.Choice(NORMS), help="Norm of the ball.  [default: that of training, else linf]"
)
attack = click.option("--attack", metavar="ATTACK", default=DEFAULT_ATTACK, show_default=True, help="The adversary.")
loss = click.option(
    "--loss",
    metavar="SPEC",
    help="A loss for each example: squared_error, pkg.mod:callable, file.py:callable.  [default: cross_entropy]",
)
seed = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of every random draw.")
device = click.option("--device", metavar="auto|cpu|cuda[:i]", default="auto", show_default=True)
batch_size = click.option("--batch-size", type=click.IntRange(1), help="Changes memory and speed only.")
out = click.option("--out", type=PATH, help="The file to write.  [default: a name of its own under results/]")
overwrite = click.option("--overwrite", is_flag=True, help="Replace what is there.")
volume = together(
    click.option("-v", "--verbose", is_flag=True, help="Tell each stage's time, and what was spent."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
)

measured = together(model, key, data, data_dir, split, n_examples, eps, norm, attack, loss, seed, device, batch_size)
written = together(out, overwrite, volume)


def choose_device(text: str, *, local: int = 0, local_world: int = 1) -> str:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:i` stands for; raise where it is not there.

    Of `local_world` processes on a machine each has a CUDA device of its own, that of its number, `local`.
    """
    import torch

    from .errors import LandscapeError

    if text == "cpu":
        return "cpu"
    if text == "auto":
        if not torch.cuda.is_available():
            return "cpu"
        text = "cuda"
    kind, _, number = text.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise UsageError(f"--device {text} is unknown; write auto, cpu, cuda or cuda:1")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if local_world > 1:
        if number:
            raise UsageError(f"--device {text} is one device, and {local_world} processes want one each; type cuda")
        if count < local_world:
            raise LandscapeError(
                f"{local_world} processes were started here, and torch sees {count} CUDA devices; "
                f"give torchrun --nproc-per-node {max(count, 1)}, or --device cpu"
            )
        return f"cuda:{local}"
    if int(number or 0) >= count:
        raise LandscapeError(f"--device {text} is not there: torch sees {count} CUDA devices; type --device cpu")
    return text
