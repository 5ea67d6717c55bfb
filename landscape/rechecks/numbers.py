"""Numbers of a file beside the same numbers recomputed, and how far apart the two may be."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

Nets = Sequence[nn.Module]
Key = tuple[str, str]  # a group of numbers, such as "eigenvalues"; which one of it

ROUNDING = 2e-5  # relative: of float32 sums as long as a net's, in whatever order
NUDGE = 4.0  # float epsilons of each weight: what another order of summation does to an output
ACROSS = 4.0  # how many times the rounding and the nudge are where a file was made on another kind of device
NUDGES, SPREAD = 6, 4.0  # copies of the nets that are nudged, and how many times their largest change is let pass


class Stored(NamedTuple):
    """A number of a file, and the rounding `room` it has beside its recomputation; `most`: it may be lower, too."""

    value: float
    room: float = 0.0
    most: bool = False


@dataclass(frozen=True)
class Unit:
    """A part of a file that is recomputed at once: `measure(nets)` gives a number for each that is `stored`.

    `moves` false: the numbers follow from others in the file, exactly, and no net is asked.
    """

    what: str
    stored: Mapping[Key, Stored]
    measure: Callable[[Nets], Mapping[Key, float]]
    moves: bool = True


@dataclass(frozen=True)
class Check:
    """One number: as the file has it, recomputed, and the tolerance; `passed` says whether the two agree."""

    group: str
    which: str
    stored: float
    found: float
    tolerance: float
    passed: bool
    most: bool = False  # what was recomputed may be lower

    def __str__(self) -> str:
        where = f" ({self.which})" if self.which else ""
        return (
            f"{self.group}{where}: the file says {self.stored:.6g}, recomputed {self.found:.6g}, "
            f"tolerance {self.tolerance:.1g}"
        )


def near(value: float, *, scale: float = 0.0, rounding: float = ROUNDING) -> Stored:
    """Return a number of a file with the rounding of float32 sums of its own size, or of `scale` where that is more."""
    sizes = [abs(size) for size in (value, scale) if math.isfinite(size)]
    return Stored(float(value), rounding * max(sizes, default=0.0) + 1e-9)


def share(value: float, n: int) -> Stored:
    """Return a share of n examples, one of which may stand on the edge."""
    return Stored(float(value), 1.5 / n)


def same(value: float) -> Stored:
    """Return a number of a file that another one of it gives to the last digits of float64."""
    return Stored(float(value), 1e-9 * (1 + abs(float(value)) if math.isfinite(value) else 1.0))


def judge(unit: Unit, nets: Nets, nudged: Callable[[], Sequence[Nets]], *, widened: float = 1.0) -> Iterator[Check]:
    """Yield a check for each number of a unit; `widened` is how many times its rounding is let pass, if a net gave it.

    What agrees to its rounding passes. Where something does not, all is measured again at nets that are nudged by a
    rounding, and SPREAD times the largest change that this makes is let pass: so much, and no more, would another
    device's order of summation change it. An attack follows signs of gradients, and some examples hang on one.
    """
    found = unit.measure(nets)
    rooms = {key: stored.room * (widened if unit.moves else 1.0) for key, stored in unit.stored.items()}
    off = [key for key, stored in unit.stored.items() if not _agrees(stored, found[key], rooms[key])]
    if off and unit.moves:
        others = [unit.measure(other) for other in nudged()]
        for key in off:
            rooms[key] += SPREAD * max((_distance(other[key], found[key]) for other in others), default=0.0)
    for key, stored in unit.stored.items():
        passed = _agrees(stored, found[key], rooms[key])
        yield Check(*key, stored.value, float(found[key]), rooms[key], passed, stored.most)


def nudge(model: nn.Module, number: int, *, widened: float = 1.0) -> nn.Module:
    """Return a copy of a net whose trainable weights are moved by NUDGE float epsilons of their own size, at random.

    With `widened` by so many times as many.
    """
    moved = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for value in moved.parameters():
            if value.requires_grad and value.is_floating_point():
                noise = torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.device)
                value.mul_((1 + widened * NUDGE * torch.finfo(value.dtype).eps * noise).to(value.dtype))
    return moved


def _agrees(stored: Stored, found: float, room: float) -> bool:
    if not (math.isfinite(stored.value) and math.isfinite(found)):
        return (math.isnan(stored.value) and math.isnan(found)) or stored.value == found
    if stored.most and found <= stored.value:
        return True
    return abs(found - stored.value) <= room


def _distance(one: float, other: float) -> float:
    return abs(one - other) if math.isfinite(one) and math.isfinite(other) else 0.0
