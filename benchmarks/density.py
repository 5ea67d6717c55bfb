"""Spectral density, trace and Frobenius norm of dense matrices: ours beside the peers at equal numbers of products.

python benchmarks/density.py               the tables: a minute or two
python benchmarks/density.py --coverage    how often the 95 % intervals hold

Two counts. "after the eigenpairs": the top 20 are there anyway, and everyone gets as many products as ours takes more.
"all in": everyone gets what ours takes in all, the eigenpairs, their guard and their check too. PyHessian 0.1 calls
torch.eig, which is gone from torch: it runs here with a stand-in. It is a measurement: the exit code is 0.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import torch
from estimators import (
    HAS_CURVLINOPS,
    Counted,
    Estimate,
    Estimator,
    curvlinops_quadrature,
    curvlinops_trace,
    ours,
    pyhessian_density,
    pyhessian_trace,
    run,
    transport,
)
from problems import CASES, make_problem
from torch import Tensor

from landscape.curvature import top_eigenpairs

TOP = 20
DEFAULT = {"probes": 8, "steps": 6, "search": 15}  # what `landscape hessian --density` spends: 63 products
ALL_IN = "all in: the eigenpairs, their check, and 63"
SMALL = {"probes": 2, "steps": 5, "search": 5}


@dataclass(frozen=True, eq=False)
class Matrix:
    """A dense symmetric matrix (P, P) in float64 with its eigenvalues (P,)."""

    name: str
    matrix: Tensor
    spectrum: np.ndarray


def matrices() -> list[Matrix]:
    """Return a net's Hessian, a matrix with heavy tails at both ends, and one that is all bulk."""
    problem = make_problem(CASES["digits"], CASES["digits"].examples[0])
    H = problem.in_float64()
    dense = H @ torch.eye(H.shape[0], dtype=torch.float64)
    H.release()
    found = [_matrix(f"Hessian of {problem.case.model} on digits, n = {problem.n}", (dense + dense.T) / 2)]
    rng = np.random.default_rng(0)
    index = np.arange(1, 701)
    tails = np.concatenate([30 / index, -12 / index[:300]])
    found.append(_matrix("power-law tails at both ends", _turned(tails)))
    found.append(_matrix("all bulk: normal eigenvalues about 0.2", _turned(rng.normal(0.2, 1, 1000))))
    return found


def _matrix(name: str, matrix: Tensor) -> Matrix:
    return Matrix(f"{name}, P = {len(matrix):,}", matrix, torch.linalg.eigvalsh(matrix).numpy())


def _turned(values: np.ndarray) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64))
    return (basis * torch.from_numpy(values)) @ basis.T


def peers(budget: int) -> dict[str, Estimator]:
    """Return everyone else's ways to spend about `budget` products: one long run, or short ones."""
    short = 10 if budget >= 40 else 5
    runs = max(1, round(budget / short))
    found = {
        "PyHessian density, one run": pyhessian_density(budget, 1),
        f"PyHessian density, runs of {short}": pyhessian_density(short, runs),
        "PyHessian trace": pyhessian_trace(budget),
    }
    if HAS_CURVLINOPS:
        found |= {
            "curvlinops spectrum, one run": curvlinops_quadrature(budget, 1),
            f"curvlinops spectrum, runs of {short}": curvlinops_quadrature(short, runs),
            "curvlinops Hutchinson": curvlinops_trace("hutchinson_trace", budget),
            "curvlinops Hutch++": curvlinops_trace("hutchpp_trace", budget),
            "curvlinops XTrace": curvlinops_trace("xtrace", budget),
            "curvlinops squared_fro": curvlinops_trace("hutchinson_squared_fro", budget),
        }
    return found


def compare(problem: Matrix, seeds: int) -> None:
    """Print the tables of one matrix: everyone in turn for each seed, medians over the seeds."""
    blocks: dict[str, dict[str, list[Estimate]]] = {}

    def note(title: str, name: str, estimate: Estimate) -> None:
        blocks.setdefault(title, {}).setdefault(name, []).append(estimate)

    for seed in range(seeds):
        H = Counted(problem.matrix)
        pairs = top_eigenpairs(H, TOP, generator=torch.Generator().manual_seed(seed), strict=False)
        before = H.products
        for title, plan, extra in (("15 products", SMALL, 0), ("63 products", DEFAULT, 0), (ALL_IN, DEFAULT, before)):
            shape = f"{plan['search']} + {plan['probes']} x {plan['steps']}"
            own = run(ours(pairs, **plan), problem.matrix, seed)
            note(
                title,
                f"ours{'' if extra else ' after the eigenpairs'}, {shape}",
                replace(own, products=own.products + extra),
            )
            if not extra:
                note(title, f"ours, no pair known, {shape}", run(ours(None, **plan), problem.matrix, seed))
            for name, estimator in peers(own.products + extra).items():
                note(title, name, run(estimator, problem.matrix, seed))
    print(f"\n{problem.name}: lambda_1 {problem.spectrum[-1]:.3g}, lambda_P {problem.spectrum[0]:.3g}, "
          f"trace {problem.spectrum.sum():.4g}, squared norm {(problem.spectrum**2).sum():.4g}")  # fmt: skip
    for title, block in blocks.items():
        print(f"\n| {title} | products | W1 / lambda_1 | trace | squared norm |\n|---|---|---|---|---|")
        for name, estimates in block.items():
            print(
                f"| {name} | {statistics.median(e.products for e in estimates):.0f} | {_errors(problem, estimates)} |"
            )


def _errors(problem: Matrix, estimates: Sequence[Estimate]) -> str:
    """Return the median errors in a row's words; a dash for what an estimator does not give."""
    scale, trace, squares = np.abs(problem.spectrum).max(), problem.spectrum.sum(), (problem.spectrum**2).sum()
    words = []
    if estimates[0].nodes is None:
        words.append("-")
    else:
        distances = [transport(e.nodes, e.weights, problem.spectrum) / scale for e in estimates if e.nodes is not None]
        words.append(f"{statistics.median(distances):.1e}")
    for values, exact in (([e.trace for e in estimates], trace), ([e.squares for e in estimates], squares)):
        known = [abs(value - exact) / abs(exact) for value in values if value is not None]
        words.append(f"{100 * statistics.median(known):.2g} %" if known else "-")
    return " | ".join(words)


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--coverage", action="store_true", help="how often the 95 %% intervals hold, by kind of spectrum"
    )
    parser.add_argument("--seeds", type=int, default=12, help="runs that the medians are over (12)")
    parser.add_argument("--problems", type=int, default=200, help="problems of each kind, for --coverage (200)")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    if arguments.coverage:
        from coverage_of import coverage

        coverage(arguments.problems)
        return
    print(f"medians over {arguments.seeds} seeds; errors of trace and squared norm relative to the exact ones")
    if not HAS_CURVLINOPS:
        print("curvlinops is not installed and is left out: pip install -c constraints.txt curvlinops-for-pytorch")
    for problem in matrices():
        compare(problem, arguments.seeds)


if __name__ == "__main__":
    main()
