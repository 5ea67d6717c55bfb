"""The spectral density of a Hessian on a logarithmic axis, one curve per result, coloured by eps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ..errors import ResultError
from ..results.result import Result
from . import style
from .labels import group

GRID, VALUES = "density/grid", "density/values"


def has_density(result: Result) -> bool:
    """Return whether a result holds a spectral density."""
    return GRID in result.arrays and VALUES in result.arrays


def draw_density(ax: Axes, results: Sequence[Result]) -> None:
    """Draw the smoothed spectral density against the eigenvalue for the results that hold one.

    The axis begins at a tenth of the peak that one single eigenvalue makes, so that the outermost ones are seen.
    Raises ResultError where no result holds a density.
    """
    chosen = [result for result in results if has_density(result)]
    if not chosen:
        raise ResultError("there is no density to draw; make one with: landscape hessian CKPT --density")
    curves = group(chosen)
    colours = style.eps_colours(curve.eps for curve in curves)
    for curve in curves:
        for number, result in enumerate(curve.results):
            ax.plot(
                result.arrays[GRID], result.arrays[VALUES], color=colours[curve.eps], linewidth=0.8, gid="density",
                alpha=0.6 if len(curve.results) > 1 else 1.0, label=curve.label if number == 0 else "_run",
            )  # fmt: skip
    ax.set_yscale("log")
    ax.set_ylim(0.1 * min(one_eigenvalue(result) for result in chosen), 3 * max(_highest(result) for result in chosen))
    ax.set_xlabel("Hessian eigenvalue λ")
    ax.set_ylabel("density of the spectrum")
    if len(curves) > 1:
        ax.legend(handlelength=1.8, labelspacing=0.3, borderaxespad=0.2)


def density_note(results: Sequence[Result]) -> str:
    """Return what a density rests on: the kernel's width, and the probes behind it."""
    chosen = [result.attrs for result in results if has_density(result)]
    widths = sorted(float(str(attrs["density_kernel_width"])) for attrs in chosen)
    counts = sorted({str(attrs["density_probes"]) for attrs in chosen}, key=int)
    shown = f"{widths[0]:.2g}" if len(set(widths)) == 1 else f"{widths[0]:.2g} to {widths[-1]:.2g}"
    return f"Density: Gaussian kernel of standard deviation {shown}; {' / '.join(counts)} probes, outer pairs exact."


def one_eigenvalue(result: Result) -> float:
    """Return the height of the peak that one single eigenvalue makes."""
    width = float(str(result.attrs["density_kernel_width"]))
    return 1 / (math.sqrt(2 * math.pi) * width * int(str(result.attrs["n_parameters"])))


def _highest(result: Result) -> float:
    return float(np.max(result.arrays[VALUES]))
