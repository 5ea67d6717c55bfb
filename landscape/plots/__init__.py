"""Pictures of results in the paper's style: `plot(results)` draws any kind, `draw_*` draw on axes of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import UsageError
from ..results.result import Result
from .connect import draw_barriers, draw_connect
from .connect_figure import figure_connect
from .contour import draw_contour
from .density import draw_density
from .escape import draw_survival
from .evaluate import draw_error_curve, draw_errors, figure_evaluate
from .examples import draw_concentration, draw_example_curvature, draw_images
from .hessian import figure_hessian
from .kinks import draw_census, draw_reattacked
from .plain import plain
from .relief import draw_relief
from .scattering import draw_nets, draw_parts, draw_readings, figure_scattering
from .sharpness import draw_curvature, draw_groups, draw_matrix, draw_rises, draw_ways, figure_sharpness
from .sizes import draw_sizes
from .slice import draw_slice
from .spectrum import draw_spectrum, figure_spectrum
from .style import DOUBLE, SINGLE, PaperFigure, drawn_by_landscape, save_figure
from .surface import figure_surface
from .theory import draw_one_dimensional, draw_phases, figure_one_dimensional, figure_theory
from .traces import draw_schedule, draw_trace, figure_traces

FIGURES: dict[str, Callable[..., PaperFigure]] = {
    "connect": figure_connect,
    "evaluate": figure_evaluate,
    "hessian": figure_hessian,
    "scattering": figure_scattering,
    "sharpness": figure_sharpness,
    "surface": figure_surface,
    "theory": figure_theory,
    "traces": figure_traces,
}


def plot(results: Result | Sequence[Result], *, width: float | None = None) -> PaperFigure:
    """Return the figure of one result, or of several of one kind together, `width` inches wide (None: as suits it).

    Raises UsageError where there are none or of several kinds.
    """
    results = [results] if isinstance(results, Result) else list(results)
    kinds = sorted({result.kind for result in results})
    if len(kinds) != 1:
        raise UsageError(
            f"one figure shows results of one kind; got {', '.join(kinds) or 'none'}: name one kind's files"
        )
    results = [plain(result) for result in results]
    figure = FIGURES[kinds[0]]
    return figure(results) if width is None else figure(results, width=width)


__all__ = [
    "DOUBLE",
    "FIGURES",
    "SINGLE",
    "PaperFigure",
    "draw_barriers",
    "draw_census",
    "draw_concentration",
    "draw_connect",
    "draw_contour",
    "draw_curvature",
    "draw_density",
    "draw_error_curve",
    "draw_errors",
    "draw_example_curvature",
    "draw_groups",
    "draw_images",
    "draw_matrix",
    "draw_nets",
    "draw_one_dimensional",
    "draw_parts",
    "draw_phases",
    "draw_readings",
    "draw_reattacked",
    "draw_relief",
    "draw_rises",
    "draw_schedule",
    "draw_sizes",
    "draw_slice",
    "draw_spectrum",
    "draw_survival",
    "draw_trace",
    "draw_ways",
    "drawn_by_landscape",
    "figure_connect",
    "figure_evaluate",
    "figure_hessian",
    "figure_one_dimensional",
    "figure_scattering",
    "figure_sharpness",
    "figure_spectrum",
    "figure_surface",
    "figure_theory",
    "figure_traces",
    "plot",
    "save_figure",
]
