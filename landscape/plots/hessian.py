"""All that Hessian results hold, on one page: spectrum, density, and the examples behind the first eigenvalue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes

from ..results.concentration import IMAGES, has_examples
from ..results.kinks import has_kinks
from ..results.result import Result
from . import style
from .density import density_note, draw_density, has_density
from .examples import draw_concentration, draw_example_curvature, draw_images, examples_note
from .kinks import draw_census, draw_reattacked, kinks_note
from .labels import footnote
from .spectrum import draw_spectrum, errors_note, figure_spectrum, stamps

_IMAGES_IN_A_ROW = 10


def figure_hessian(results: Sequence[Result], *, width: float | None = None) -> style.PaperFigure:
    """Return the figure of one or more Hessian results; `width` is in inches, by default as there is to show.

    Without more it is `figure_spectrum`. An adversary that attacks anew has panels for its curvature and its kinks.
    Terms by example have panels for their concentration and, of one result, for curvature against margin, and the
    images of the sharpest ten across the top.
    """
    told = [result for result in results if has_examples(result)]
    kinked = [result for result in results if has_kinks(result)]
    if not told and not kinked:
        return figure_spectrum(results, width=width or style.SINGLE)
    width = width or style.DOUBLE
    alone = told[0] if len(told) == 1 else None
    panels: list[Callable[[Axes], None]] = []
    spectral = bool(told) or any(result.arrays["eigenvalues"].size > 1 for result in results)
    if spectral:  # one eigenvalue is no spectrum
        panels.append(lambda ax: draw_spectrum(ax, results))
    if dense := any(map(has_density, results)):
        panels.append(lambda ax: draw_density(ax, results))
    if alone:
        panels.append(lambda ax: draw_example_curvature(ax, alone))
    if told:
        panels.append(lambda ax: draw_concentration(ax, told))
    if kinked:
        panels += [lambda ax: draw_reattacked(ax, kinked), lambda ax: draw_census(ax, kinked)]
    columns = 1 if width < style.DOUBLE else 3 if len(panels) == 3 else 2
    rows = -(-len(panels) // columns)
    row = (0.62 if columns == 2 else 0.78) * width / columns + 0.25  # inches, as is all below
    side = _IMAGES_IN_A_ROW if width >= style.DOUBLE else _IMAGES_IN_A_ROW // 2
    strips = -(-len(alone.arrays[IMAGES]) // side) if alone else 0
    strip = width / side + 0.3
    with style.paper_style():
        figure = style.new_figure(width)
        note = f"{footnote(results)}." + (f" {errors_note(results)}" if spectral else "")
        note += f" {density_note(results)}" if dense else ""
        if kinked:
            note += f" {kinks_note()}"
        if alone:
            note += f" {examples_note(alone)}"
            halves: Any = figure.subfigures(2, 1, height_ratios=[strips * strip, rows * row])
            above, below = halves
            draw_images(above.subplots(strips, side, squeeze=False).ravel(), alone)
        else:
            below = figure
        axes = below.subplots(rows, columns, squeeze=False).ravel()
        for ax, draw in zip(axes, panels, strict=False):
            draw(ax)
        for ax in axes[len(panels) :]:
            ax.remove()
        lines = style.stamp(figure, stamps(results))
        lines += style.annotate(figure, note)
        figure.set_figheight(strips * strip + rows * row + 0.1 * lines + 0.1)
    return figure
