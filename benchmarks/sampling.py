"""How far the largest eigenvalue of n examples is from that of all, and how often its standard error covers that.

    python benchmarks/sampling.py [--draws 100] [--sizes 100 300 1000]

A digits net; its 1,437 examples, attacked, stand for the population, and samples of n are drawn from them with
replacement. "held": v'Hv along the population's own eigenvector, of which the standard error speaks. "own": the
sample's largest eigenvalue, whose vector has been fitted to the sample: the maximum over vectors is biased upward.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
from problems import CASES, make_problem

from landscape.curvature import HessianOperator, curvature_by_example, top_eigenpairs
from landscape.objective import Objective

_REACH = 1.96  # standard errors to either side: 95 % where the mean is normal


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=100, help="samples of each size (100)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1000], help="examples in a sample")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    everyone = make_problem(CASES["digits"], 1437).objective
    top = top_eigenpairs(HessianOperator(everyone), 1, generator=torch.Generator().manual_seed(0))
    held = curvature_by_example(everyone, everyone.w0, top.vectors)[0][0]
    largest = float(top.values[0])
    print(f"{everyone.n_parameters:,} parameters, {everyone.n:,} examples: lambda_1 {largest:.4g}, "
          f"deviation of v'H_i v over examples {held.std():.3g}; {arguments.draws} samples of each size\n")  # fmt: skip
    print("| n | lambda_1 over the population's | se / lambda_1 | held covers | own covers | own too low / too high |")
    print("|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for n in arguments.sizes:
        rows = np.array(
            [_draw(everyone, held, rng.integers(0, everyone.n, n), largest) for _ in range(arguments.draws)]
        )
        value, se, held_in, own_in, below, above = rows.T
        error = 100 * value.std(ddof=1) / largest / math.sqrt(len(rows))
        bias = f"{100 * (value.mean() / largest - 1):+.1f} % ± {error:.1f}"
        print(f"| {n} | {bias} | {100 * np.median(se / value):.1f} % | "
              f"{100 * held_in.mean():.0f} % | {100 * own_in.mean():.0f} % | {100 * below.mean():.0f} % / "
              f"{100 * above.mean():.0f} % |", flush=True)  # fmt: skip


def _draw(everyone: Objective, held: np.ndarray, chosen: np.ndarray, largest: float) -> tuple[float, ...]:
    """Return one sample's eigenvalue, its error, whether the intervals hold the population's, on which side."""
    n = len(chosen)
    sample = Objective(everyone.model, everyone.images[chosen], everyone.labels[chosen])
    pairs = top_eigenpairs(
        HessianOperator(sample), 1, tol=1e-2, guard=False, generator=torch.Generator().manual_seed(0), strict=False
    )
    own = curvature_by_example(sample, sample.w0, pairs.vectors)[0][0]
    value, se = float(pairs.values[0]), float(own.std(ddof=1)) / math.sqrt(n)
    mean, error = held[chosen].mean(), held[chosen].std(ddof=1) / math.sqrt(n)
    below, above = value + _REACH * se < largest, value - _REACH * se > largest
    return value, se, abs(mean - held.mean()) <= _REACH * error, not (below or above), below, above


if __name__ == "__main__":
    main()
