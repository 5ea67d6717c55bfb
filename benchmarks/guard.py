"""How often Lanczos misses a planted eigenvalue, with the guard and without, and what the guard costs.

    python benchmarks/guard.py [--problems 40] [--dimension 2000]

The spectra are like those of trained nets: outliers that decay as a power, a negative side, a bulk near zero. "planted"
doubles or triples one of the top 18. A diagonal matrix stands for any with its spectrum: Lanczos sees no more of it.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import click
import numpy as np
import torch
from torch import Tensor

from landscape.curvature import Lanczos

TOP = 20


@dataclass(frozen=True)
class Diagonal:
    """A diagonal matrix as an operator."""

    entries: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return len(self.entries), len(self.entries)

    @property
    def device(self) -> torch.device:
        """Where the entries are."""
        return self.entries.device

    def __matmul__(self, v: Tensor) -> Tensor:
        """Return the product (P,) with v (P,)."""
        return self.entries * v


def spectrum(seed: int, dimension: int, copies: int) -> np.ndarray:
    """Return a spectrum (dimension,), one of its top 18 values there `copies` times."""
    rng = np.random.default_rng(seed)
    outliers = 27 * np.arange(1, 401) ** -rng.uniform(0.6, 0.9) * np.exp(rng.normal(0, 0.05, 400))
    values = rng.normal(0, 1e-3, dimension)
    values[:400] = outliers
    values[400:600] = -6 * np.arange(1, 201) ** -0.8
    planted = np.sort(outliers)[::-1][rng.integers(0, 18)]
    values[600 : 600 + copies - 1] = planted
    return values


@click.command()
@click.option("--problems", default=40, show_default=True)
@click.option("--dimension", default=2000, show_default=True)
def main(problems: int, dimension: int) -> None:
    """Count the missed sets and the products, over random spectra."""
    torch.set_num_threads(1)
    click.echo(
        f"top {TOP} of {problems} spectra of dimension {dimension:,}, tol 1e-3; missed: an entry off by over 1e-3"
    )
    for copies, guard in ((1, False), (1, True), (2, False), (2, True), (3, False), (3, True)):
        missed, products = 0, []
        for seed in range(problems):
            values = spectrum(seed, dimension, copies)
            truth = np.sort(values)[::-1][:TOP]
            generator = torch.Generator().manual_seed(seed)
            solver = Lanczos(Diagonal(torch.from_numpy(values)), TOP, guard=guard, generator=generator)
            solver.solve()
            missed += bool(np.max(np.abs(solver.values - truth) / truth) > 1e-3)
            products.append(solver.products)
        click.echo(
            f"copies {copies}, guard {'on ' if guard else 'off'}: missed {missed:2d} of {problems}, "
            f"products median {statistics.median(products):.0f}, most {max(products)}"
        )


if __name__ == "__main__":
    main()
