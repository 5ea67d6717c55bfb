"""Measure how far a surface bends as the Hessian says: second differences of a digits net against its eigenvalues.

python benchmarks/second_differences.py digits/eps0.1 --eps 0.1

In float64, the adversary frozen. A ReLU net has its Hessian almost everywhere: at the smallest steps no unit switches.
"""

from __future__ import annotations

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import torch
from landscape.analyses.surface import prepare

from landscape import load_data, load_model
from landscape.surfaces import quadratic

STEPS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.2)


def main() -> None:
    """Print a line for each step h: what (L(h) - 2 L(0) + L(-h)) / h^2 is off by, in per cent of the eigenvalue."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("net", help="a digits net: digits/eps0.1, or a checkpoint")
    parser.add_argument("--eps", required=True, help="radius of the attack")
    parser.add_argument("--examples", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.net).double()
    made = prepare(model, load_data("digits"), eps=arguments.eps, adversary="frozen", n_examples=arguments.examples)
    points = made.points
    values = quadratic(points)[1][0].diagonal()

    def loss(a: float, b: float) -> float:
        return float(points.ladder.evaluate(points.network(a, b)).means)

    print(f"lambda_1 {values[0]:.5g}, lambda_2 {values[1]:.5g}, loss {loss(0, 0):.6g}, {arguments.examples} examples")
    for h in STEPS:
        bends = [(loss(*at(h, axis)) - 2 * loss(0, 0) + loss(*at(-h, axis))) / h**2 for axis in (0, 1)]
        print(
            f"h = {h:<7g}", *(f"{100 * (bend / value - 1):+7.2f} %" for bend, value in zip(bends, values, strict=True))
        )


def at(h: float, axis: int) -> tuple[float, float]:
    """Return the coordinates of a step along one axis."""
    return (h, 0.0) if axis == 0 else (0.0, h)


if __name__ == "__main__":
    main()
