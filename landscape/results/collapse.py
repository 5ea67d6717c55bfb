"""Which trained nets are constant classifiers, over width and eps: shares of seeds, the frontier, and its trends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..errors import ResultError
from ..spec import parse_spec
from ..statistics import wilson
from ..streams import stream
from .comparison import Effect, contrast, verdict
from .replicates import Replicate, recipe_of
from .result import Result

HALF = 0.5  # share of the seeds at which the frontier lies
_AXES = ("eps", "eps_overshoot", "seed")  # of a recipe: what the runs of one grid may differ in


@dataclass(frozen=True)
class Collapse:
    """A grid of runs: `collapsed` (W, E, S) is 0 or 1, NaN where no run is; widths, eps and seeds grow."""

    widths: tuple[int, ...]
    eps: tuple[float, ...]
    seeds: tuple[int, ...]
    collapsed: np.ndarray

    @property
    def runs(self) -> np.ndarray:
        """How many runs (W, E) each cell has."""
        return np.isfinite(self.collapsed).sum(axis=2)

    @property
    def failed(self) -> np.ndarray:
        """How many of them (W, E) are constant classifiers."""
        return np.nansum(self.collapsed, axis=2).astype(int)

    @property
    def shares(self) -> np.ndarray:
        """The share (W, E) of each cell's runs that are, NaN where none is there."""
        with np.errstate(invalid="ignore"):
            return np.where(self.runs > 0, self.failed / self.runs, np.nan)

    def interval(self, width: int, eps: int) -> tuple[float, float]:
        """Return Wilson's 95 % interval of a cell's share, by the cell's place in the grid."""
        return wilson(int(self.failed[width, eps]), int(self.runs[width, eps]))

    def frontier(self) -> list[float]:
        """Return, for each width, the eps at which half of its runs collapse, linear between neighbours of the grid.

        The first crossing counts; infinite where no cell reaches it, and the smallest eps where that one does.
        """
        found = []
        for shares in self.shares:
            known = [(eps, share) for eps, share in zip(self.eps, shares, strict=True) if not math.isnan(share)]
            found.append(_crossing(known))
        return found

    def effects(self) -> list[Effect]:
        """Return the trends of the share of collapsed runs over log2(width) and over eps, paired by seed.

        Of seeds whose runs are all there.
        """
        whole = [k for k in range(len(self.seeds)) if np.isfinite(self.collapsed[:, :, k]).all()]
        by_width = self.collapsed[:, :, whole].mean(axis=1)  # (W, S)
        by_eps = self.collapsed[:, :, whole].mean(axis=0)  # (E, S)
        doublings = np.log2(np.array(self.widths, dtype=float))
        return [
            _trend(f"width, {self.widths[0]} to {self.widths[-1]}", "width", doublings, by_width),
            _trend(f"eps, {self.eps[0]:g} to {self.eps[-1]:g}", "eps", np.array(self.eps), by_eps),
        ]


def read_collapse(results: Sequence[Result]) -> Collapse:
    """Return the grid of the training traces of a set of runs that differ in width, eps and seed alone.

    Raises ResultError for a net without a width, for runs of several recipes, and for a run that comes twice.
    """
    cells: dict[tuple[int, float, int], bool] = {}
    first: tuple[str, dict[str, object]] | None = None
    for result in results:
        training, model = result.attrs["training"], parse_spec(str(result.attrs["model"]))
        name = str(result.attrs["checkpoint"])
        final = training.get("final") if isinstance(training, dict) else None
        if not isinstance(training, dict) or not isinstance(final, dict) or "collapsed" not in final:
            raise ResultError(f"the traces of {name} do not say how its run ended; finish it with landscape train")
        if not model.settings.get("width", "").isdecimal():
            raise ResultError(f"{name} is a {model}, which has no width; give runs of lenet:width=N, or its like")
        shared = {key: value for key, value in recipe_of(training).items() if key not in _AXES}
        shared |= {"net": model.head, "data": result.attrs["data"]}
        first = first or (name, shared)
        if shared != first[1]:
            other = next(key for key in {**shared, **first[1]} if shared.get(key) != first[1].get(key))
            raise ResultError(
                f"{other} differs: {first[1].get(other)} in {first[0]}, {shared.get(other)} in {name}; a grid is of "
                "runs that differ in width, eps and seed alone"
            )
        cell = (int(model.settings["width"]), float(training["eps"]), int(training["seed"]))
        if cell in cells:
            raise ResultError(f"{name} is there twice: width {cell[0]}, eps {cell[1]:g}, seed {cell[2]}")
        cells[cell] = bool(final["collapsed"])
    widths, eps, seeds = (tuple(sorted({cell[axis] for cell in cells})) for axis in range(3))
    grid = np.full((len(widths), len(eps), len(seeds)), np.nan)
    for (width, radius, seed), dead in cells.items():
        grid[widths.index(width), eps.index(radius), seeds.index(seed)] = dead
    return Collapse(widths, eps, seeds, grid)  # type: ignore[arg-type]  # sorted keeps each axis's own type


def _crossing(known: Sequence[tuple[float, float]]) -> float:
    if not known:
        return math.nan
    if known[0][1] >= HALF:
        return known[0][0]
    for (eps, share), (beyond, more) in pairwise(known):
        if share < HALF <= more:
            return eps + (beyond - eps) * (HALF - share) / (more - share)
    return math.inf


def _trend(words: str, by: str, places: np.ndarray, shares: np.ndarray) -> Effect:
    """Return the trend of shares (G, S) over places (G,), from the first to the last of them."""
    seeds = shares.shape[1]
    if len(places) < 2 or seeds == 0:
        return Effect(words, seeds, True, contrast([[]], [1.0], paired=True, rng=stream(0, "seeds")), "not measured")
    slope = (places - places.mean()) / ((places - places.mean()) ** 2).sum() * np.ptp(places)
    groups = [[Replicate.of_number(float(value), seed=k) for k, value in enumerate(row)] for row in shares]
    found = contrast(groups, slope, paired=True, rng=stream(0, "seeds"))
    return Effect(words, seeds, True, found, verdict(found, seeds, above=f"more with {by}", below=f"fewer with {by}"))
