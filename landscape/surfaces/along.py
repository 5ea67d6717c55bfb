"""Curves between two nets, scanned: at each t the net there, with the BatchNorm statistics that hold, on each split."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from ..attacks import PGD
from ..borrow import Network
from ..curvature import HessianOperator, top_eigenpairs
from ..geometry import POLICIES, Curve, Statistics, batchnorm_policy, statistics_names
from ..objective import Objective
from ..params import ParameterSpace
from ..replica import Replica
from ..streams import stream_key
from .ladder import Ladder
from .point import Values, values_at
from .scan import Grid

ALONG = (*POLICIES, "interpolated")


def policy_along(model: nn.Module, policy: str) -> str:
    """Return the BatchNorm policy of a curve as results state it: "none" for a net without; UsageError if unknown."""
    if policy == "interpolated":
        return "none" if batchnorm_policy(model) == "none" else policy
    return batchnorm_policy(model, policy)


@dataclass(frozen=True, eq=False)
class Slopes:
    """What is measured of the loss beside its value, under one attack that is held: |gradient|, lambda_1 if asked."""

    objective: Objective
    attack: PGD
    eigenvalue: bool

    def at(self, buffers: Mapping[str, Tensor], w: Tensor) -> np.ndarray:
        """Return gradient norm, lambda_1 and its residual (3,) at w (P,); NaN for what was not asked."""
        own = self.objective
        net = copy.deepcopy(own.model)
        held = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        with torch.no_grad():
            for name, value in {**own.space.named(w), **buffers}.items():
                held[name].copy_(value)
        frozen = Objective(
            net,
            own.images,
            own.labels,
            attack=self.attack,
            loss=own.loss,
            batch_size=own.batch_size,
            seed=own.seed,
            indices=own.indices,
        ).freeze()
        gradient = float(frozen.gradient().double().norm())
        if not self.eigenvalue or not math.isfinite(gradient):
            return np.array([gradient, math.nan, math.nan])
        generator = torch.Generator().manual_seed(stream_key(own.seed, "lanczos") >> 1)
        pairs = top_eigenpairs(HessianOperator(frozen, frozen.w0), 1, guard=False, strict=False, generator=generator)
        return np.array([gradient, pairs.values[0], pairs.residuals[0]])


class Along:
    """The points of curves between two nets, by t and by the row of a scan.

    Row c S + s is curve c on split s, of S splits, each with a ladder of its own; row C S + s, of C curves, holds the
    two nets as they are deployed, each with its own buffers. Curves share their ends. `buffers` are those of the two
    nets; `statistics` hold at the weights between, unless `policy` is "interpolated".
    """

    def __init__(
        self,
        curves: Sequence[Curve],
        ladders: Sequence[Ladder],
        statistics: Statistics,
        policy: str,
        buffers: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
        slopes: Slopes | None = None,
    ) -> None:
        self.curves, self.ladders, self.statistics, self.policy = list(curves), list(ladders), statistics, policy
        self.slopes = slopes
        self._buffers = tuple({name: value.clone() for name, value in own.items()} for own in buffers)
        self._last: tuple[object, Network] | None = None
        self._ends: dict[tuple[float, int], tuple[Values, str]] = {}

    @property
    def rows(self) -> int:
        """The rows of a scan."""
        return (len(self.curves) + 1) * len(self.ladders)

    @property
    def _most(self) -> int:
        return max(ladder.objective.n for ladder in self.ladders)

    def grid(self, places: int) -> Grid:
        """Return the arrays of a scan of so many places t; the examples of a smaller split are filled up with NaN."""
        grid = Grid(len(self.ladders[0].eps), self.rows, places, self._most, keep_examples=True)
        if self.slopes is not None:
            grid.arrays["slopes"] = np.full((3, self.rows, places), np.nan)
        return grid

    def values(self, t: float, row: float) -> tuple[Values, str]:
        """Return what a scan holds of t on a row, and what the net said if it failed there."""
        number, split = divmod(int(row), len(self.ladders))
        deployed = number == len(self.curves)
        shared = t in (0, 1) and (not deployed or self.policy == "none")
        if shared and number and (t, split) in self._ends:
            return self._padded(*self._ends[t, split], None)
        ladder = self.ladders[split]
        found = values_at(ladder, lambda: self._network(number, t, deployed=deployed))
        if shared:
            self._ends[t, split] = found
        slopes = None
        if self.slopes is not None and row == 0 and not found[1]:
            w = self.curves[0].at(t)
            slopes = self.slopes.at(self._buffers_at(self._space.named(w), t), w)
        return self._padded(*found, slopes)

    def _padded(self, values: Values, words: str, slopes: np.ndarray | None) -> tuple[Values, str]:
        losses = values["example_loss"]
        filled = np.full((len(losses), self._most), np.nan, dtype=np.float32)
        filled[:, : losses.shape[1]] = losses
        found = {**values, "example_loss": filled}
        if self.slopes is not None:
            found["slopes"] = np.full(3, np.nan) if slopes is None else slopes
        return found, words

    @cached_property
    def _replica(self) -> Replica:
        return Replica(self.ladders[0].objective)

    @property
    def _space(self) -> ParameterSpace:
        return self.ladders[0].objective.space

    def _network(self, number: int, t: float, *, deployed: bool) -> Network:
        key = (number, t, deployed)
        if self._last is None or self._last[0] != key:
            self._last = None
            weights = self._space.named(self.curves[0 if deployed else number].at(t))
            buffers = self._buffers[int(t)] if deployed else self._buffers_at(weights, t)
            self._last = key, self._replica.at({**weights, **buffers})
        return self._last[1]

    def _buffers_at(self, weights: Mapping[str, Tensor], t: float) -> dict[str, Tensor]:
        """Return the buffers at w(t): BatchNorm's by the policy, all others mixed, so that the ends have their own."""
        first, last = self._buffers
        mixed = {
            name: torch.lerp(value, last[name], t) if value.is_floating_point() else self._buffers[int(t == 1)][name]
            for name, value in first.items()
        }
        if self.policy == "interpolated":
            return mixed
        held = {name: first[name] for name in statistics_names(self.ladders[0].objective.model)}
        return {**mixed, **held, **self.statistics.at({**mixed, **weights})}
