"""What one product costs, everyone's interleaved, and the arithmetic that it cannot do without."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping
from unittest import mock

import numpy as np
import torch
from peers import HAS_CURVLINOPS, curvlinops_product, pyhessian_product
from problems import Problem
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

GRADIENT = "gradient"
KEPT = "ours, graph kept"
REBUILT = "ours, graph rebuilt"
TOWARDS_IMAGES = "ours, kept, torch's first convolution"
PYHESSIAN = "PyHessian"
CURVLINOPS = "curvlinops"


def kernels(problem: Problem) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return everyone's product v (P,) -> Hv (P,) by name; the gradient, which takes no heed of v, comes first."""
    w = problem.w
    found: dict[str, Callable[[Tensor], Tensor]] = {
        GRADIENT: lambda v: problem.objective.gradient(w),
        KEPT: problem.operator().__matmul__,
        REBUILT: problem.operator(keep_graphs=False).__matmul__,
        TOWARDS_IMAGES: _towards_images(problem),
        PYHESSIAN: pyhessian_product(problem),
    }
    if HAS_CURVLINOPS:
        multiply = curvlinops_product(problem)
        # As eigsh calls it: float64 in, float64 out.
        found[CURVLINOPS] = lambda v: torch.from_numpy(np.asarray(multiply(v.double().numpy())))
    return found


def _towards_images(problem: Problem) -> Callable[[Tensor], Tensor]:
    """Return our product with a first convolution that is differentiated towards the images, as torch does it."""
    H = problem.operator()

    def multiply(v: Tensor) -> Tensor:
        with mock.patch("landscape.curvature.operator.OnData", contextlib.nullcontext):
            return H @ v

    return multiply


def time_products(products: Mapping[str, Callable[[Tensor], Tensor]], v: Tensor, rounds: int) -> dict[str, float]:
    """Return the median CPU seconds of each product with v (P,), one of each in every round, after one unmeasured."""
    taken: dict[str, list[float]] = {name: [] for name in products}
    for number in range(rounds + 1):
        for name, multiply in products.items():
            began = time.process_time()
            multiply(v)
            if number:  # the first round plans, builds graphs and warms caches
                taken[name].append(time.process_time() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def relative_errors(products: Mapping[str, Callable[[Tensor], Tensor]], v: Tensor, truth: Tensor) -> dict[str, float]:
    """Return ||Hv - truth|| / ||truth|| of each product with v (P,), the gradient left out."""
    return {
        name: float((multiply(v).double() - truth).norm() / truth.norm())
        for name, multiply in products.items()
        if name != GRADIENT
    }


def flop_ratio(products: Mapping[str, Callable[[Tensor], Tensor]], v: Tensor) -> float:
    """Return the floating-point operations of a product with kept graphs over those of a gradient."""
    counts = []
    for name in (KEPT, GRADIENT):
        products[name](v)  # graphs that are kept are built outside the count
        with FlopCounterMode(display=False) as counter:
            products[name](v)
        counts.append(counter.get_total_flops())
    return counts[0] / counts[1]
