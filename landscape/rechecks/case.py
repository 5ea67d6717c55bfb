"""One result file with all that it was made from: what a recheck of its kind is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..arguments import read_ladder
from ..attacks import PGD, make_ball, parse_attack
from ..data import Examples, ImageData, select
from ..losses import Loss, cross_entropy
from ..objective import Objective
from ..results import Result
from ..streams import stream
from .origin import Origin, read_settings

T = TypeVar("T")
MOST_STEPS = 100_000  # of an attack that a file asks for: beyond it, nobody has run it


@dataclass(frozen=True, eq=False)
class Case:
    """A result file, its sources, and how much of it is recomputed."""

    path: Path
    result: Result
    origin: Origin
    sample: int | str | None = None
    seed: int = 0
    batch_size: int | None = None
    loss: Loss = cross_entropy

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes of the file."""
        return self.result.attrs

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the file."""
        return self.result.arrays

    @cached_property
    def data(self) -> ImageData:
        """The split of the data that the file's numbers are over."""
        return self.origin.data()

    @cached_property
    def nets(self) -> list[nn.Module]:
        """The nets of the file."""
        return self.origin.nets(self.data, self.loss)

    @cached_property
    def examples(self) -> Examples:
        """The examples that the file's numbers are over."""
        return self.read(lambda: select(self.data, int(self.attrs["n_examples"]), seed=int(self.attrs["seed"])))

    def read(self, read: Callable[[], T]) -> T:
        """Return what `read` makes of the file's settings; ResultError where no run can have had them."""
        found: T = read_settings(self.path, read)
        return found

    def attack(self, eps: float) -> PGD:
        """Return the file's attack at a radius."""
        return self.read(lambda: self._attack(eps))

    def ladder(self) -> list[PGD]:
        """Return the file's attack at each radius of its array `eps`."""
        radii = self.arrays["eps"].tolist()
        return self.read(lambda: read_ladder(self._attack(max(radii)), None, radii))

    def _attack(self, eps: float) -> PGD:
        text = str(self.attrs["attack"])
        attack = parse_attack("pgd" if text == "none" else text, make_ball(str(self.attrs["norm"]), float(eps)))
        if attack.steps * attack.restarts > MOST_STEPS:
            raise ValueError(f"an attack of {attack.steps} steps")
        return attack

    def objective(self, net: nn.Module, attack: PGD | None, **settings: Any) -> Objective:
        """Return the objective of a net on the file's examples."""
        return Objective(
            net,
            self.examples.images,
            self.examples.labels,
            attack=attack,
            loss=self.loss,
            batch_size=self.batch_size,
            seed=int(self.attrs["seed"]),
            indices=self.examples.indices,
            **settings,
        )

    def picked(self, name: str, total: int, most: int) -> list[int]:
        """Return the places of a random sample of `total` things, sorted: at most `most`, or what was asked for."""
        count = total if self.sample == "all" else min(total, most if self.sample is None else int(self.sample))
        return sorted(stream(self.seed, f"recheck/{name}").permutation(total)[:count].tolist())


def kept(make: Callable[[nn.Module], T]) -> Callable[[nn.Module], T]:
    """Return `make` with its last answers kept by net: several units ask for the same."""
    found: dict[int, tuple[nn.Module, T]] = {}

    def get(net: nn.Module) -> T:
        if id(net) not in found:
            if len(found) > 1:
                found.pop(list(found)[-1])  # the net itself stays; nudged ones come and go
            found[id(net)] = net, make(net)
        return found[id(net)][1]

    return get


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Return the mean of values (n,) and its standard error."""
    values = values.double()
    n = len(values)
    return float(values.mean()), float(values.std()) / math.sqrt(n) if n > 1 else math.nan


def as_tensor(array: np.ndarray, net: nn.Module) -> Tensor:
    """Return an array of a file on the device and in the precision of a net's weights."""
    first = next(value for value in net.parameters() if value.requires_grad)
    return torch.from_numpy(np.ascontiguousarray(array)).to(first)
