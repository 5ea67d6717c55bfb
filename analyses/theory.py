"""The linear model of two classes of real data: where its regimes change, and its adversarial optimum at each eps."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from landscape.data import ImageData, as_data, select, to_unit
from landscape.errors import DataError, UsageError
from landscape.results import Result, provenance
from landscape.theory import Thresholds, constant_loss, find_thresholds, phase_diagram
from landscape.theory.optimum import TOL
from landscape.units import check_eps

Progress = Callable[[str, int, int], None]
POINTS = 41  # of the grid of eps, where none is given
BEYOND = 1.2  # the grid's end, in multiples of the threshold of the constant classifier


def linear_theory(
    data: Any,
    *,
    classes: tuple[int, int],
    eps: Sequence[float] | None = None,
    box: bool = False,
    n_examples: int | str | None = None,
    seed: int = 0,
    provenance_of: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Return the thresholds of the linear model with biases on two classes of `data`, and its optimum at each eps.

    `data` is as for `hessian`; the examples are those of the two classes. `eps`, in pixel units, are by default 41
    values up to 1.2 times the threshold of the constant classifier, and 1 % to both sides of either threshold. `box`
    clips attacked images to [0, 1], as PGD does; the paper's model does not. All is exact: no attack is run. Raises
    UsageError for classes that the data lack, DataError where they have one class, or no pixel tells the two apart.
    See docs/method.md; Liu et al. 2020, section 3.
    """
    began = time.perf_counter()
    first, second = classes = (min(classes), max(classes))
    whole = as_data(data)
    of_two = of_classes(whole, classes)
    examples = select(of_two, n_examples, seed=seed)
    inputs = to_unit(examples.images, dtype=torch.float64).flatten(1).numpy()
    labels = (examples.labels == second).long().numpy()
    counts = np.bincount(labels, minlength=2)
    if counts.min() == 0:
        raise DataError(f"all {len(labels)} examples are of one class; give more --n-examples")
    if progress is not None:
        progress("thresholds", 0, 1)
    found = find_thresholds(inputs, labels, box=box)
    if found.eps_bar_bias == 0:
        raise DataError(
            f"the images of {of_two.spec} have the same mean, so that a constant is best at every eps; "
            "give other --classes"
        )
    grid = _grid(eps, found, box)
    diagram = phase_diagram(
        inputs,
        labels,
        grid,
        found,
        box=box,
        progress=None if progress is None else lambda done, total: progress("optimum", done, total),
    )
    residuals = diagram.kkt_residual[np.isfinite(diagram.kkt_residual)]
    boxed = found.separation_box
    shape = "x".join(map(str, whole.shape))
    return Result(
        "theory",
        {
            "eps": diagram.eps,
            "regime": diagram.regime,
            "loss": diagram.loss,
            "weight_norm": diagram.norm,
            "margin": diagram.margin,
            "error_rate": diagram.error_rate,
            "clean_error_rate": diagram.clean_error_rate,
            "kkt_residual": diagram.kkt_residual,
        },
        {
            **provenance(command="landscape.linear_theory", device="cpu", torch_version=torch.__version__),
            "checkpoint": None,
            "checkpoint_sha256": None,
            "training": None,
            "train_eps": math.nan,
            "seed": seed,
            "model": f"linear:bias=true,input={shape},classes=2",
            "data": whole.spec,
            "data_sha256": whole.sha256,
            "split": whole.split,
            "n_examples": len(labels),
            "n_parameters": 2 * (inputs.shape[1] + 1),
            "norm": "linf",
            "attack": "exact",
            "adversary": "reattacked",
            "batchnorm": "none",
            **(provenance_of or {}),
            "status": "complete" if (residuals <= TOL).all() else "not-converged",
            "class_pair": f"{first},{second}",
            "class_counts": {str(name): int(count) for name, count in zip(classes, counts, strict=True)},
            "box": box,
            "eps_bar": found.eps_bar,
            "eps_bar_bias": found.eps_bar_bias,
            "eps_bar_box": found.eps_bar_box,
            "gamma_star": found.separation.margin,
            "gamma_star_bound": found.separation.bound,
            "gamma_star_box": math.nan if boxed is None else boxed.margin,
            "gamma_star_box_bound": math.nan if boxed is None else boxed.bound,
            "constant_loss": constant_loss(labels),
            "tol": TOL,
            "wall_seconds": time.perf_counter() - began,
        },
    )


def of_classes(data: ImageData, classes: tuple[int, int]) -> ImageData:
    """Return the examples of two classes; raise UsageError where the classes are one or absent, DataError for one."""
    first, second = classes
    if first == second:
        raise UsageError(f"--classes {first},{second} names one class; give two, such as --classes 3,8")
    there = data.labels.unique().tolist()
    if len(there) < 2:
        raise DataError(f"{data.spec} has one class only ({there[0]}); give --data with two or more")
    for wanted in classes:
        if wanted not in there:
            known = ", ".join(map(str, there[:12])) + (", ..." if len(there) > 12 else "")
            raise UsageError(f"class {wanted} has no example in {data.spec}, {data.split} split; there are {known}")
    chosen = (data.labels == first) | (data.labels == second)
    spec = f"{data.spec}, classes {first} and {second}"
    return dataclasses.replace(data, images=data.images[chosen], labels=data.labels[chosen], spec=spec)


def _grid(eps: Sequence[float] | None, found: Thresholds, box: bool) -> np.ndarray:
    if eps is None:
        separated, constant_from = found.edges(box=box)
        around = [side * edge for edge in (separated.bound, constant_from) for side in (0.99, 1.01) if edge > 1e-9]
        return np.unique([*np.linspace(0, BEYOND * constant_from, POINTS), *around])
    if len(eps) == 0:
        raise UsageError("there is no eps; give one or more, such as --eps 0.05,0.1")
    return np.unique([check_eps(value) for value in eps])
