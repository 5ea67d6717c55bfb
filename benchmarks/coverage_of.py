"""How often the 95 % intervals of trace and Frobenius norm hold what they are about, by kind of spectrum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from landscape.curvature import spectral_density

KNOWN = 10  # pairs given exactly: the largest, as `landscape hessian` finds them
Spectrum = Callable[[np.random.Generator, int], np.ndarray]


class Diagonal:
    """diag(values) as an operator (P, P): probes are drawn evenly in all directions, so any basis is as good."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = torch.from_numpy(values)
        self.shape, self.device = (len(values), len(values)), torch.device("cpu")

    def __matmul__(self, v: Tensor) -> Tensor:
        """Return the product (P,) with v (P,)."""
        return self.values * v


def _net(rng: np.random.Generator, n: int) -> np.ndarray:
    outliers = 27 * np.arange(1, 41) ** -rng.uniform(0.6, 0.9) * np.exp(rng.normal(0, 0.05, 40))
    return np.concatenate([outliers, -6 * np.arange(1, 21) ** -0.8, rng.normal(0, 0.02, n - 60)])


def _low_rank(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.concatenate([rng.uniform(1, 2, 60), rng.normal(0, 1e-3, n - 60)])


KINDS: dict[str, Spectrum] = {
    "like nets': outliers at both ends, a narrow bulk": _net,
    "normal bulk": lambda rng, n: rng.normal(0.2, 1, n),
    "negative trace": lambda rng, n: rng.normal(-0.5, 1, n) - 0.2 * rng.random(n),
    "rank 60 and noise, 25 of the 60 deflated": _low_rank,
    "heavy tails: power law 1.5 (infinite variance)": lambda rng, n: rng.pareto(1.5, n) * rng.choice([-1, 1], n),
    "heavy tails: Cauchy": lambda rng, n: rng.standard_cauchy(n),
    "one eigenvalue of 100 under 10 pairs of 101, rest 1": lambda rng, n: np.r_[
        np.full(10, 101.0), 100.0, np.ones(n - 11)
    ],
    "zero": lambda rng, n: np.zeros(n),
}


def holds(kind: str, seed: int, *, probes: int, search: int, n: int = 400) -> tuple[bool, bool]:
    """Return whether the intervals of trace and Frobenius norm hold them, for one spectrum of a kind."""
    rng = np.random.default_rng([seed, probes])
    values = np.sort(KINDS[kind](rng, n))[::-1].copy()
    found = spectral_density(
        Diagonal(values),
        values[:KNOWN],
        torch.eye(n, dtype=torch.float64)[:KNOWN],
        np.zeros(KNOWN),
        probes=probes,
        steps=1,  # the moments are those of the first step; more steps are for the density
        search_steps=search,
        generator=torch.Generator().manual_seed(seed),
    )
    exact = float(values.sum()), math.sqrt(float((values**2).sum()))
    rounding = 1e-12 * float(np.abs(values).sum())
    return (
        found.trace.low - rounding <= exact[0] <= found.trace.high + rounding,
        found.frobenius.low - rounding <= exact[1] <= found.frobenius.high + rounding,
    )


def rates(problems: int) -> Iterator[tuple[str, str, float, float]]:
    """Yield kind, how it was measured, and the shares of problems in which trace and norm lie in their intervals."""
    for kind in KINDS:
        for probes, search in ((8, 15), (3, 15), (8, 0)):
            share = np.mean([holds(kind, seed, probes=probes, search=search) for seed in range(problems)], axis=0)
            yield kind, f"{probes} probes, search {search}", float(share[0]), float(share[1])


def coverage(problems: int) -> None:
    """Print the table."""
    deviation = math.sqrt(0.95 * 0.05 / problems)
    print(
        f"share of {problems} random spectra (P = 400, {KNOWN} pairs known) whose trace and norm lie in their "
        f"95 % intervals; binomial deviation {100 * deviation:.1f} points\n"
    )
    print("| spectrum | | trace | norm |\n|---|---|---|---|")
    for kind, how, trace, norm in rates(problems):
        marks = ["" if share >= 0.95 - 3 * deviation else " (under)" for share in (trace, norm)]
        print(f"| {kind} | {how} | {100 * trace:.1f} %{marks[0]} | {100 * norm:.1f} %{marks[1]} |")
