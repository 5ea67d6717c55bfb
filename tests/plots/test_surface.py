"""Surfaces drawn: every artist is where the axes say, on rectangles off centre, and nothing unknown is filled."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path

from landscape.errors import ResultError, UsageError
from landscape.plots import DOUBLE, SINGLE, draw_contour, draw_relief, draw_slice, figure_surface, plot
from landscape.plots.contour import BEYOND, Panel, common_scale, panel_of, round_ticks
from landscape.plots.relief import facets
from landscape.plots.style import eps_colours
from landscape.plots.surface import panel_labels
from tests.results.made_surface import EVALUATED, FAILED, INTERPOLATED, NOT_FINITE, SKIPPED, bowl, surface

AUDITED: dict[str, Any] = {
    "attack_gap": np.full((2, 4, 6), 0.0123),
    "audit_attack": "square",
    "audit_examples": 200,
}
WIDE: Any = {"x": np.linspace(-0.4, 0.6, 6), "y": np.linspace(-0.3, 0.6, 4)}  # 6 x 4, the origin beside the middle


def tilted(eps: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a loss whose lowest value on WIDE is not at the origin."""
    return 3 + bowl(eps, x, y) + 6 * x - y


def contour(result: Any, **options: Any) -> tuple[Axes, QuadContourSet]:
    ax = Figure().add_subplot()
    return ax, draw_contour(ax, result, **options)


def marks(ax: Axes, gid: str) -> list[Line2D]:
    return [line for line in ax.lines if line.get_gid() == gid]


def colour_at(contours: QuadContourSet, x: float, y: float) -> tuple[float, ...] | None:
    """Return the colour that fills a point, or None where nothing does."""
    for path, colour in zip(contours.get_paths(), contours.get_facecolor(), strict=True):
        if _holds(path, x, y):
            return tuple(colour)
    return None


def _holds(path: Path, x: float, y: float) -> bool:
    """Say whether a point is inside a compound path: within an odd number of its polygons."""
    return sum(polygon.contains_point((x, y)) for polygon in _polygons(path)) % 2 == 1


def _polygons(path: Path) -> list[Path]:
    if not len(path.vertices):
        return []
    starts = [*np.flatnonzero(path.codes == Path.MOVETO), len(path.vertices)]
    return [Path(path.vertices[a:b]) for a, b in itertools.pairwise(starts)]


def words(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def lines_of(ax: Axes) -> QuadContourSet:
    (found,) = [item for item in ax.collections if item.get_gid() == "lines"]
    assert isinstance(found, QuadContourSet)
    return found


def test_every_contour_line_lies_where_the_function_has_its_level() -> None:
    """A linear loss is interpolated exactly, so that each vertex satisfies it: x and y are where they belong."""

    def plane(eps: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 2 + eps + x - 3 * y

    ax, _ = contour(surface(plane, **WIDE, eps=(0.0, 0.5)), eps=0.5)
    found = lines_of(ax)
    assert sum(len(path.vertices) for path in found.get_paths()) > 20
    for level, path in zip(found.levels, found.get_paths(), strict=True):
        for x, y in path.vertices:
            assert plane(0.5, x, y) == pytest.approx(level, rel=1e-9)
    assert ax.get_xlim() == pytest.approx((-0.4, 0.6))
    assert ax.get_ylim() == pytest.approx((-0.3, 0.6))


def test_the_colour_of_every_point_is_that_of_its_value() -> None:
    result = surface(**WIDE, eps=(0.1,))
    _, contours = contour(result)
    scale = common_scale([Panel(result, 0)])
    inner = np.ix_(range(1, 3), range(1, 5))
    for x, y, loss in zip(
        *(grid[inner].ravel() for grid in np.meshgrid(WIDE["x"], WIDE["y"])), result.loss[0][inner].ravel(), strict=True
    ):
        band = int(np.searchsorted(scale.levels, loss)) - 1
        assert colour_at(contours, x + 1e-7, y + 1e-7) in (
            tuple(contours.get_facecolor()[max(band, 0)]),
            tuple(contours.get_facecolor()[max(band, 0) + (loss > scale.levels[max(band, 0)])]),
        )


def test_exchanging_the_directions_transposes_the_picture() -> None:
    names: Any = {"direction_names": ["v1", "v2"]}
    one = surface(tilted, **WIDE, **names)
    other = surface(lambda e, x, y: tilted(e, y, x), x=WIDE["y"], y=WIDE["x"], **names)
    scale = common_scale([Panel(one, 1)])
    ax, contours = contour(one, eps=0.1, scale=scale)
    mirrored, transposed = contour(other, eps=0.1, scale=scale)
    assert ax.get_xlim() == mirrored.get_ylim()
    for path, twin in zip(lines_of(ax).get_paths(), lines_of(mirrored).get_paths(), strict=True):
        ours, theirs = (
            sorted(map(tuple, np.round(vertices, 9))) for vertices in (path.vertices, twin.vertices[:, ::-1])
        )
        assert ours == theirs
    assert tuple(contours.levels) == tuple(transposed.levels)
    ((x, y),) = marks(ax, "minimum")[0].get_xydata()
    ((a, b),) = marks(mirrored, "minimum")[0].get_xydata()
    assert (x, y) == (b, a) != (y, x)


def test_what_is_not_finite_or_failed_is_left_out_and_lies_on_hatching() -> None:
    change = {(0, 1, 2): (np.inf, NOT_FINITE), (0, 2, 4): (0.3, FAILED)}  # a failed point's number is no value
    ax, contours = contour(surface(**WIDE, eps=(0.1,), change=change))
    assert ax.patch.get_hatch()
    for row, column in ((1, 2), (2, 4)):
        x, y = WIDE["x"][column], WIDE["y"][row]
        for dx in (-0.09, 0.09):
            for dy in (-0.14, 0.14):
                assert colour_at(contours, x + dx, y + dy) is None
    assert colour_at(contours, 0.5, -0.2) is not None
    assert not contour(surface(**WIDE, eps=(0.1,)))[0].patch.get_hatch()


def test_skipped_points_are_beyond_the_cap_and_so_is_the_colour() -> None:
    change = {(0, row, column): (np.nan, SKIPPED) for row in (2, 3) for column in (4, 5)}
    ax, contours = contour(surface(**WIDE, eps=(0.1,), change=change, cap=3.0))
    assert contours.levels[-1] == pytest.approx(3.0)
    assert colour_at(contours, 0.55, 0.55) == to_rgba(BEYOND)
    assert not ax.patch.get_hatch()


def test_panels_share_levels_from_the_lowest_value_to_the_cap() -> None:
    panels = [Panel(surface(**WIDE), 0), Panel(surface(**WIDE, eps=(0.0, 0.3)), 1)]
    lowest = min(panel.loss.min() for panel in panels)
    assert common_scale(panels).levels[0] == pytest.approx(lowest)
    scale = common_scale(panels, cap=2.0)
    np.testing.assert_allclose(np.diff(np.log(scale.levels)), np.log(2.0 / lowest) / (len(scale.levels) - 1))
    assert scale.cut and scale.cap == 2.0
    figure = figure_surface([surface(**WIDE, eps=(0.0, 0.1, 0.3))], width=DOUBLE)
    drawn = [
        item for ax in _axes(figure) for item in ax.collections if isinstance(item, QuadContourSet) and item.filled
    ]
    assert len(drawn) == 3
    assert len({(tuple(item.levels), item.norm.vmin, item.norm.vmax) for item in drawn}) == 1
    assert {item.extend for item in drawn} == {"max"}


def _axes(figure: Any) -> list[Axes]:
    return list(figure.axes)


def test_a_few_high_corners_do_not_stretch_the_scale() -> None:
    result = surface(
        lambda e, x, y: 1 + 9 * x**4 + 9 * y**4, x=np.linspace(-1, 1, 21), y=np.linspace(-1, 1, 21), eps=(0.0,)
    )
    assert common_scale([Panel(result, 0)]).cap == pytest.approx(np.quantile(result.loss, 0.95))
    assert common_scale([Panel(result, 0)]).cut
    flat = surface(lambda e, x, y: 1 + 0.1 * x + 0 * y, x=np.linspace(-1, 1, 21), y=np.linspace(-1, 1, 21), eps=(0.0,))
    assert (common_scale([Panel(flat, 0)]).cap, common_scale([Panel(flat, 0)]).cut) == (pytest.approx(1.1), False)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_constant_surface_can_be_drawn(value: float) -> None:
    result = surface(lambda e, x, y: value + 0 * (x + y), **WIDE)
    figure_surface([result]).canvas.draw()


def test_a_surface_with_no_value_is_refused() -> None:
    with pytest.raises(ResultError, match="no value of this surface is finite"):
        plot(surface(lambda e, x, y: np.inf + 0 * (x + y), **WIDE, status=np.full((2, 4, 6), NOT_FINITE, np.uint8)))
    with pytest.raises(ResultError, match="nothing to draw"):
        figure_surface([])


def test_the_net_is_marked_and_the_lowest_value_apart_where_it_is_another() -> None:
    ax, _ = contour(surface(tilted, **WIDE))
    assert marks(ax, "centre")[0].get_xydata().tolist() == [[0, 0]]
    low = surface(tilted, **WIDE).loss[1]
    row, column = np.unravel_index(low.argmin(), low.shape)
    ((x, y),) = marks(ax, "minimum")[0].get_xydata()
    assert (x, y) == (WIDE["x"][column], WIDE["y"][row]) != (0, 0)
    ax, _ = contour(surface(lambda e, x, y: 1 + x**2 + y**2, **WIDE))
    assert marks(ax, "minimum") == []


def test_an_interpolated_value_is_no_minimum_and_the_evaluated_are_dotted() -> None:
    result = surface(**WIDE, eps=(0.1,))
    status = np.full((1, 4, 6), INTERPOLATED, np.uint8)
    status[0, ::3, ::5] = EVALUATED
    ax, _ = contour(surface(**WIDE, eps=(0.1,), status=status, adaptive=True))
    assert sorted(map(tuple, marks(ax, "evaluated")[0].get_xydata())) == [
        (-0.4, -0.3),
        (-0.4, 0.6),
        (0.6, -0.3),
        (0.6, 0.6),
    ]
    assert marks(ax, "minimum") == []  # the origin, known by itself, is lower than those four
    figure = figure_surface([surface(**WIDE, eps=(0.1,), status=status, interpolation_error=0.013)])
    assert "! 20 of 24 values interpolated (error up to 1.3 % of the loss)" in words(figure)
    assert "interpolated" not in words(figure_surface([result]))


@pytest.mark.parametrize(
    ("x", "attrs", "equal"),
    [
        (np.linspace(-1, 1, 5), {}, True),
        (np.linspace(-5, 5, 5), {}, False),
        (np.linspace(-1, 1, 5), {"units": "direction", "gram": np.diag([1.0, 4.0])}, False),
        (np.linspace(-1, 1, 5), {"units": "direction", "gram": np.eye(2)}, True),
    ],
)
def test_both_axes_have_one_scale_only_where_lengths_compare(x: np.ndarray, attrs: dict[str, Any], equal: bool) -> None:
    ax, _ = contour(surface(x=x, y=np.linspace(-0.6, 0.6, 3), **attrs))
    assert (ax.get_aspect() == 1) == equal


@pytest.mark.parametrize(
    ("attrs", "label"),
    [
        ({}, "Euclidean length along v1"),
        ({"units": "filter norm", "direction_names": ["random 1", "random 2"]}, "filter norms along random 1"),
        ({"units": "direction", "direction_names": ["B - A", "C - A"]}, "multiples of B - A"),
        (
            {"direction_names": ["PC1", "PC2"], "explained_variance": [0.931, 0.05]},
            "Euclidean length along PC1 (93.1 % of variance)",
        ),
    ],
)
def test_axes_say_their_units_and_directions(attrs: dict[str, Any], label: str) -> None:
    assert contour(surface(**attrs))[0].get_xlabel() == label


def test_a_trajectory_is_joined_and_three_nets_are_named_with_their_distance_from_the_plane() -> None:
    places = {"landmarks/x": [-0.4, 0.0, 0.4], "landmarks/y": [0.5, 0.0, 0.1], "landmarks/off_plane": [3.0, 0.0, 0.25]}
    run = surface(**WIDE, **places, landmarks=["e0", "e1", "e2"], landmarks_joined=True)
    ax, _ = contour(run)
    assert marks(ax, "trajectory")[0].get_xydata().tolist() == [[-0.4, 0.5], [0, 0], [0.4, 0.1]]
    assert "up to 3 off the plane" in words(figure_surface([run]))
    nets = surface(**WIDE, **places, landmarks=["A", "B", "C"], landmarks_joined=False)
    ax, _ = contour(nets)
    assert [text.get_text() for text in ax.texts] == ["A", "B", "C"]
    assert [text.xy for text in ax.texts] == [(-0.4, 0.5), (0, 0), (0.4, 0.1)]
    assert "Off the plane: A 3, B 0, C 0.25." in words(figure_surface([nets]))


def test_a_slice_is_the_row_or_the_column_through_the_origin() -> None:
    x, y = [-0.4, 0.0, 0.2, 0.6], [-0.3, 0.0, 0.9]
    result = surface(x=x, y=y, eps=(0.0, 0.2))
    for axis, along, values in ((0, x, result.loss[:, 1, :]), (1, y, result.loss[:, :, 1])):
        ax = Figure().add_subplot()
        right = draw_slice(ax, result, axis=axis)
        assert right is not None
        for line, expected, colour in zip(marks(ax, "loss"), values, eps_colours([0, 0.2]).values(), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), along)
            np.testing.assert_array_equal(line.get_ydata(), expected)
            assert line.get_color() == colour
        np.testing.assert_allclose(marks(right, "error_rate")[1].get_ydata(), np.clip(30 * values[1], 0, 100))
    with pytest.raises(ResultError, match="no row of this grid passes through the origin"):
        draw_slice(Figure().add_subplot(), surface(x=x, y=[-0.3, 0.2]))


def test_the_band_is_what_the_audit_found_and_only_where_it_looked() -> None:
    line = {"x": [-0.2, -0.1, 0.0, 0.1], "y": [0.0], "eps": (0.0, 0.1)}
    gap = np.full((2, 1, 4), np.nan)
    gap[1, 0] = [0.4, 0.3, 0.2, 0.1]
    result = surface(**line, attack_gap=gap)
    ax = Figure().add_subplot()
    draw_slice(ax, result)
    (band,) = [item for item in ax.collections if item.get_gid() == "band"]
    (path,) = band.get_paths()
    for k, x in enumerate(line["x"]):
        ends = path.vertices[np.isclose(path.vertices[:, 0], x)][:, 1]
        assert (ends.min(), ends.max()) == pytest.approx((result.loss[1, 0, k], result.loss[1, 0, k] + gap[1, 0, k]))
    gap[1, 0, 1:3] = np.nan
    result = surface(**line, attack_gap=gap)
    ax = Figure().add_subplot()
    draw_slice(ax, result)
    (bars,) = [item for item in ax.collections if item.get_gid() == "band"]
    assert [segment[0][0] for segment in bars.get_segments()] == [-0.2, 0.1]
    assert "Largest audited gap 0.4 nats" in words(figure_surface([result]))


def test_a_slice_breaks_where_nothing_is_known() -> None:
    change = {(0, 0, 1): (np.inf, NOT_FINITE), (0, 0, 5): (np.nan, SKIPPED)}
    result = surface(y=[0.0], eps=(0.1,), change=change, cap=2.0)
    ax = Figure().add_subplot()
    draw_slice(ax, result)
    assert np.isnan(marks(ax, "loss")[0].get_ydata()).tolist() == [False, True, False, False, False, True]
    assert marks(ax, "beyond")[0].get_xdata().tolist() == [0.6]
    (hatched,) = [patch for patch in ax.patches if patch.get_gid() == "hatched"]
    assert hatched.get_hatch()
    assert (hatched.get_x(), hatched.get_width()) == pytest.approx((-0.3, 0.2))


def test_the_quadratic_is_laid_over_the_slice_and_its_end_marked() -> None:
    """1 + 4 t^2 + t^3 leaves its quadratic by 5 % of itself at the root of t^3 = 0.05 (1 + 4 t^2 + t^3)."""
    x = np.linspace(-1, 1, 401)
    ax = Figure().add_subplot()
    # Derivatives by differences over 1e-2 carry the cubic's own 1e-4 into the slope.
    cubic = surface(lambda e, a, b: 1 + 4 * a**2 + a**3 + 0 * b, x=x, y=[0.0], eps=(0.1,))
    draw_slice(ax, cubic)
    (line,) = marks(ax, "quadratic")
    np.testing.assert_allclose(line.get_ydata(), 1 + 4 * line.get_xdata() ** 2, atol=2e-4)
    root = min(abs(r.real) for r in np.roots([1.05, -0.2, 0, -0.05]) if abs(r.imag) < 1e-9)
    other = min(abs(r.real) for r in np.roots([0.95, -0.2, 0, -0.05]) if abs(r.imag) < 1e-9)
    assert abs(marks(ax, "radius")[0].get_xdata()) == pytest.approx(min(root, other), rel=2e-3)
    assert f"up to, along v1: {min(root, other):.2g} (ε = 0.1)" in words(figure_surface([cubic]))


@pytest.mark.parametrize(
    ("attrs", "said"),
    [
        ({}, "! attack not audited"),
        ({"collapsed": True}, "! constant classifier"),
        ({"zero_gradient": np.full((2, 4, 6), 0.35)}, "no input gradient for up to 35 % of the examples"),
        ({"change": {(0, 1, 1): (np.nan, FAILED)}}, "1 of 48 values failed"),
        ({"change": {(0, 1, 1): (np.inf, NOT_FINITE)}}, "1 of 48 values not finite"),
        ({"status": np.full((2, 4, 6), EVALUATED, np.uint8)}, "adversary reattacked; training seed 0; no BatchNorm"),
        ({}, "N = 2,000; ℓ∞ ε = 0, 0.1; PGD-10 (step 0.25 ε)"),
        (AUDITED, "Largest audited gap 0.012 nats (by square, 200 examples)"),
    ],
)  # fmt: skip
def test_the_figure_says_what_it_rests_on(attrs: dict[str, Any], said: str) -> None:
    assert said in words(figure_surface([surface(**WIDE, **attrs)]))


@pytest.mark.parametrize("attrs", [{"eps": (0.0,)}, {"adversary": "frozen"}])
def test_what_is_no_maximum_needs_no_audit(attrs: dict[str, Any]) -> None:
    assert "audited" not in words(figure_surface([surface(**WIDE, **attrs)]))


def test_panels_that_do_not_compare_are_stamped() -> None:
    one, other = surface(**WIDE, train_eps=0.0), surface(x=[-1, 0, 1], y=[-1, 0, 1], n_examples=500, train_eps=0.1)
    clean = surface(**WIDE, eps=(0.0,), attack="none", adversary="none", train_eps=0.0)
    assert "panels differ" not in words(figure_surface([clean, surface(**WIDE, eps=(0.1,))], width=DOUBLE))
    text = words(figure_surface([one, other], width=DOUBLE))
    assert "! panels differ in N (2,000 / 500); range" in text
    assert "panels differ" not in words(figure_surface([one, surface(**WIDE, train_eps=0.1)], width=DOUBLE))
    with pytest.raises(UsageError, match="planes or lines"):
        figure_surface([one, surface(y=[0.0])])


def test_the_panel_of_a_ladder_is_the_one_asked_for_or_that_of_training() -> None:
    result = surface(eps=(0.0, 0.1, 0.2), train_eps=0.1)
    assert panel_of(result).eps == 0.1
    assert panel_of(result, 0.2).eps == 0.2
    assert panel_of(surface(eps=(0.0, 0.1, 0.2), train_eps=float("nan"))).eps == 0.2
    with pytest.raises(UsageError, match="eps = 0.3 is not in this surface, which has 0, 0.1, 0.2"):
        panel_of(result, 0.3)


def test_relief_has_the_grids_corners_cut_at_the_cap() -> None:
    change = {(0, 1, 2): (np.nan, NOT_FINITE), (0, 3, 5): (np.nan, SKIPPED)}
    result = surface(**WIDE, eps=(0.1,), change=change, cap=2.0)
    ax: Any = Figure().add_subplot(projection="3d")
    draw_relief(ax, result)
    assert ax.get_zlim() == pytest.approx((0, 2.0))
    panel = Panel(result, 0)
    corners, faces = facets(panel, common_scale([panel]))
    assert len(corners) == len(faces) == 15 - 4  # four cells touch the point that is not finite
    loss = {(x, y): result.loss[0, j, i] for j, y in enumerate(WIDE["y"]) for i, x in enumerate(WIDE["x"])}
    for x, y, z in corners.reshape(-1, 3):
        assert z == (2.0 if np.isnan(loss[x, y]) else min(loss[x, y], 2.0))
    spans = np.ptp(corners[..., :2], axis=1)
    np.testing.assert_allclose(spans, np.broadcast_to([0.2, 0.3], spans.shape))
    with pytest.raises(ResultError, match="a line has no relief"):
        draw_relief(ax, surface(y=[0.0]))
    with pytest.raises(ResultError, match="a line has no contours"):
        draw_contour(Figure().add_subplot(), surface(y=[0.0]))


@pytest.mark.parametrize("result", [surface(y=[0.0]), surface(**WIDE, eps=(0.0, 0.1, 0.2, 0.3))])
def test_everything_written_is_inside_the_page(result: Any) -> None:
    for width in (SINGLE, DOUBLE):
        figure = plot(result, width=width)
        figure.canvas.draw()
        page = figure.get_window_extent()
        labels = [(ax.xaxis.label, ax.yaxis.label, ax.title) for ax in figure.axes if ax.get_visible()]
        texts = [*figure.texts, *itertools.chain(*labels)]
        for text in texts:
            if text.get_text():
                box = text.get_window_extent()
                assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1, text.get_text()
                assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1, text.get_text()


@pytest.mark.parametrize(("low", "high"), [(1e-5, 30), (0.1, 0.9), (0.31, 0.33), (0.02, 0.05), (2.9, 7.1)])
def test_the_colour_bar_has_a_few_round_numbers(low: float, high: float) -> None:
    ticks = round_ticks(low, high)
    assert 1 <= len(ticks) <= 9
    assert all(low <= tick <= high for tick in ticks)


def test_slices_of_one_net_under_several_batchnorm_policies_are_told_apart() -> None:
    results = [surface(batchnorm=policy) for policy in ("frozen", "clean-recal", "adv-recal")]
    labels = panel_labels([Panel(result, 0) for result in results])
    assert [label.partition(", ")[2] for label in labels] == [
        "BatchNorm frozen",
        "BatchNorm clean-recal",
        "BatchNorm adv-recal",
    ]
