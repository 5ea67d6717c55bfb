"""The figure of surfaces: for planes contours for each eps over their slices, for lines the slices alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..errors import ResultError, UsageError
from ..results.caveats import caveats
from ..results.describe import show
from ..results.kinds.surface import EVALUATED, SKIPPED, TODO
from ..results.result import Result
from ..units import format_eps
from . import style
from .contour import Panel, add_colour_bar, at_origin, common_scale, draw_contour, landmark_names, lowest, shares_scale
from .labels import footnote, net_name
from .slice import draw_slice, has_slice, radius_note, slice_legend, slice_of

# What panels of one figure must share, or the figure says that they do not.
SHARED = ("norm", "model", "data_sha256", "split", "n_examples", "attack", "adversary", "batchnorm", "units")
_OF_ATTACKS = ("attack", "adversary")
_WORDS = {"data_sha256": "data", "n_examples": "N", "batchnorm": "BatchNorm"}


def figure_surface(results: Sequence[Result], *, width: float | None = None) -> style.PaperFigure:
    """Return the figure of surfaces, planes or lines, `width` inches wide (None: double for three planes or more).

    A plane has a contour panel for each eps, all on common levels, over its slices through the origin; a line its
    slice. Raises UsageError where planes and lines are mixed, ResultError where there is nothing to draw.
    """
    if not results:
        raise ResultError("there is nothing to draw; give one or more surfaces")
    lines = [is_line(result) for result in results]
    if len(set(lines)) > 1:
        raise UsageError("a figure shows planes or lines, and these are both; draw each kind by itself")
    if lines[0]:
        return _figure_lines(results, width or style.SINGLE)
    planes = sum(len(result.arrays["eps"]) for result in results)
    return _figure_planes(results, width or (style.DOUBLE if planes > 2 else style.SINGLE))


_LETTERS = 14  # of an axis label to the inch, with room around them


def is_line(result: Result) -> bool:
    """Say whether a surface is a line: one value of y."""
    return bool(result.arrays["y"].size == 1)


def panel_labels(panels: Sequence[Panel]) -> list[str]:
    """Return "ε = 0.1" for each panel; where nets of several training radii are attacked at another, that too."""
    told = len({_trained(panel) for panel in panels}) > 1
    told = told and any(not _same(_trained(panel), panel.eps) for panel in panels)
    labels = [
        f"ε = {format_eps(panel.eps)}" + (f" (trained at {format_eps(_trained(panel))})" if told else "")
        for panel in panels
    ]
    for telling in (_stem, _seed, _batchnorm, _adversary):
        if len(set(labels)) < len(labels):
            words = [telling(panel.result) for panel in panels]
            labels = [
                f"{label}, {word}" if labels.count(label) > 1 and words.count(word) < len(words) else label
                for label, word in zip(labels, words, strict=True)
            ]
    return labels


def _batchnorm(result: Result) -> str:
    return f"BatchNorm {result.attrs.get('batchnorm')}"


def _adversary(result: Result) -> str:
    return f"adversary {result.attrs.get('adversary')}"


def surface_note(panels: Sequence[Panel]) -> str:
    """Return what the values of panels rest on, and what their marks mean, in one line for the foot of a figure."""
    results = unique(panels)
    trained = {_trained(panel) for panel in panels}
    parts = (
        [f"Net trained at ε = {format_eps(max(trained))}:"]
        if len(trained) == 1 and all(map(math.isfinite, trained))
        else []
    )
    parts += [f"{footnote(results)}.", gap_note(panels)]
    if not all(is_line(result) for result in results):
        parts.append(_marks_note(panels))
    parts += [_landmarks_note(result) for result in results]
    parts.append(_cells_note(panels))
    return " ".join(part for part in parts if part)


def gap_note(panels: Sequence[Panel]) -> str:
    """Return the largest gap that an audit found, where, and on how many examples; or that there was none."""
    attacked = [panel for panel in panels if panel.eps > 0 and panel.result.attrs["adversary"] == "reattacked"]
    if not attacked:
        return ""
    gaps = [
        (float(np.nanmax(values)), panel)
        for panel in attacked
        if np.isfinite(values := panel.result.arrays["attack_gap"][panel.rung]).any()
    ]
    if not gaps:
        return "Attack not audited: under attack each value is a lower bound, how loose is not known."
    worst, panel = max(gaps, key=lambda pair: pair[0])
    by = panel.result.attrs.get("audit_attack")
    examples = panel.result.attrs.get("audit_examples")
    details = [f"at ε = {format_eps(panel.eps)}"] if len({panel.eps for panel in attacked}) > 1 else []
    details += [f"by {by}"] if by else []
    details += [f"{show(examples)} examples"] if examples else []
    return f"Largest audited gap {worst:.2g} nats" + (f" ({', '.join(details)})." if details else ".")


def stamps(panels: Sequence[Panel]) -> list[str]:
    """Return what forbids trusting a figure as it stands: each result's caveats, and how panels differ."""
    results = unique(panels)
    said: dict[str, list[str]] = {}
    for result in results:
        own = [panel for panel in panels if panel.result is result]
        name = _stem(result) if len(own) > 1 else panel_labels(panels)[panels.index(own[0])]
        for clause in caveats(result):
            said.setdefault(clause, []).append(name)
    alone = len(results) == 1
    found = [f"! {'' if alone else ', '.join(names) + ': '}{clause}" for clause, names in said.items()]
    found = [f"! {'; '.join(said)}"] if alone and said else found
    if differing := differences(results):
        found.append(f"! panels differ in {'; '.join(differing)}")
    return found


def differences(results: Sequence[Result]) -> list[str]:
    """Return what surfaces that are shown together do not share, a clause each: settings, then range and audit."""
    found = []
    settings = [shared_settings(result) for result in results]
    for name in SHARED:
        values = list(dict.fromkeys(own[word] for own in settings if (word := _WORDS.get(name, name)) in own))
        if len(values) > 1:
            listed = "" if name == "data_sha256" else f" ({' / '.join(values[:3])})"
            found.append(f"{_WORDS.get(name, name)}{listed}")
    if len({own["range"] for own in settings}) > 1:
        found.append("range")
    if len({own["audit"] for own in settings if "audit" in own}) > 1:
        found.append("audit (some have none)")
    return found


def shared_settings(result: Result) -> dict[str, str]:
    """Return by their names, in words, the settings that surfaces shown together must share."""
    # Nothing attacks the clean loss: it has no attack to differ in.
    attacked = bool(np.any(result.arrays["eps"] > 0))
    names = [name for name in SHARED if attacked or name not in _OF_ATTACKS]
    settings = {_WORDS.get(name, name): show(result.attrs.get(name)) for name in names}
    edges = [round(float(edge), 9) for name in "xy" for edge in (_end(result, name, 0), _end(result, name, -1))]
    settings["range"] = " ".join(f"{edge + 0.0!r}" for edge in edges)  # + 0.0: no minus zero
    if attacked:
        settings["audit"] = "audited" if np.isfinite(result.arrays["attack_gap"]).any() else "not audited"
    return settings


def unique(panels: Sequence[Panel]) -> list[Result]:
    """Return the results behind panels, each once, in their order."""
    found: list[Result] = []
    for panel in panels:
        if not any(panel.result is result for result in found):
            found.append(panel.result)
    return found


def _figure_planes(results: Sequence[Result], width: float) -> style.PaperFigure:
    panels = [Panel(result, rung) for result in results for rung in range(len(result.arrays["eps"]))]
    scale = common_scale(panels)
    labels = panel_labels(panels)
    with style.paper_style():
        figure = style.new_figure(width)
        most = 4 if width >= style.DOUBLE else 2
        ladder = len(results[0].arrays["eps"])
        columns = min(most, len(panels) if len(results) == 1 else max(ladder, min(len(panels), most)))
        rows = math.ceil(len(panels) / columns)
        cuts = [
            (result, axis) for result in results for axis in (0, 1) if len(results) == 1 and has_slice(result, axis)
        ]
        alike = not any(text == "range" for text in differences(results))
        stacked = len(cuts) > 1 and width < style.DOUBLE
        panel_height = _panel_height(results, width, columns)
        slices_height = (1.15 * (len(cuts) if stacked else 1) + 0.35) if cuts else 0.0
        parts: list[Any] = [figure]
        if cuts:
            parts = list(
                figure.subfigures(2, 1, squeeze=False, height_ratios=[rows * panel_height, slices_height]).ravel()
            )
        axes = parts[0].subplots(rows, columns, squeeze=False).ravel()
        contours = None
        for number, ax in enumerate(axes):
            if number >= len(panels):
                ax.set_visible(False)
                continue
            contours = draw_contour(ax, panels[number].result, eps=panels[number].eps, scale=scale)
            ax.set_title(labels[number], fontsize=7, pad=3)
            wrap_labels(ax, panel_height - 0.5)
            if number % columns:
                ax.set_ylabel("")
            if number + columns < len(panels):
                ax.set_xlabel("")
            if alike:
                ax.tick_params(labelleft=number % columns == 0, labelbottom=number + columns >= len(panels))
        assert contours is not None
        add_colour_bar(parts[0], contours, axes[: len(panels)], scale)
        if cuts:
            shape = (len(cuts), 1) if stacked else (1, len(cuts))
            found = parts[1].subplots(*shape, squeeze=False).ravel()
            drawn = [slice_of(result, axis) for result, axis in cuts]
            top = 1.08 * min(scale.cap, max(float(np.nanmax(np.append(cut.found, 0))) for cut in drawn))
            for number, (ax, (result, axis)) in enumerate(zip(found, cuts, strict=True)):
                draw_slice(ax, result, axis=axis, errors=False, top=top or None)
                if number and not stacked:
                    ax.set_ylabel("")
            slice_legend(found[0], drawn, errors=False)
        note = " ".join([surface_note(panels), _quadratic_note(cuts)]).strip()
        lines = style.stamp(figure, stamps(panels)) + style.annotate(figure, note)
        figure.set_figheight(rows * panel_height + slices_height + 0.1 * lines)
    return figure


def _figure_lines(results: Sequence[Result], width: float) -> style.PaperFigure:
    panels = [Panel(result, rung) for result in results for rung in range(len(result.arrays["eps"]))]
    colours = style.eps_colours(eps for result in results for eps in result.arrays["eps"].tolist())
    cuts = [slice_of(result) for result in results]
    top = max(1.08 * float(np.nanmax(np.append(cut.found + np.nan_to_num(cut.attack_gap), 0))) for cut in cuts)
    with style.paper_style():
        figure = style.new_figure(width)
        columns = min(len(results), 2 if width >= style.DOUBLE else 1)
        rows = math.ceil(len(results) / columns)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        names = panel_labels([Panel(result, len(result.arrays["eps"]) - 1) for result in results])
        for number, (ax, result) in enumerate(zip(axes, results, strict=False)):
            right = draw_slice(ax, result, top=top or None, colours=colours)
            if number % columns:
                ax.set_ylabel("")
            if right is not None and (number + 1) % columns and number + 1 < len(results):
                right.set_ylabel("")
            if len(results) > 1:
                ax.set_title(names[number].partition(", ")[2] or names[number], fontsize=7, pad=3)
        for ax in axes[len(results) :]:
            ax.set_visible(False)
        slice_legend(axes[0], cuts, errors=True)
        note = " ".join([surface_note(panels), _quadratic_note([(result, 0) for result in results])]).strip()
        lines = style.stamp(figure, stamps(panels)) + style.annotate(figure, note)
        figure.set_figheight(rows * (0.62 * width / columns + 0.25) + 0.1 * lines)
    return figure


def wrap_labels(ax: Axes, room: float) -> None:
    """Break the axis labels of a panel into lines where `room` inches are too few for one."""
    for axis in (ax.xaxis, ax.yaxis):
        lines = [axis.get_label_text()]
        for mark in (" (", " along "):
            if max(map(len, lines)) > _LETTERS * room:
                lines = [piece for line in lines for piece in line.replace(mark, "\n" + mark[1:]).split("\n")]
        axis.set_label_text("\n".join(lines))
        axis.label.set_fontsize(8 if len(lines) == 1 else 7)


def _panel_height(results: Sequence[Result], width: float, columns: int) -> float:
    room = (width - 1.25) / columns - 0.1  # without what labels and colour bar take
    if not shares_scale(results[0]):
        return 0.8 * room + 0.6
    span_x, span_y = (float(np.ptp(results[0].arrays[name])) for name in "xy")
    return room * span_y / span_x + 0.6


def _quadratic_note(cuts: Sequence[tuple[Result, int]]) -> str:
    told = []
    for result, axis in cuts:
        cut = slice_of(result, axis)
        if text := radius_note(cut):
            name = cut.label.partition("along ")[2] or cut.label
            told.append(f"{name.partition(' (')[0]}: {text}")
    return f"Quadratic (adversary held) within 5 % of the loss up to, along {'; '.join(told)}." if told else ""


def _marks_note(panels: Sequence[Panel]) -> str:
    moved = [
        (panel, low)
        for panel in panels
        if not is_line(panel.result) and (low := lowest(panel)) is not None and not at_origin(*low[:2])
    ]
    if not moved:
        return "Cross: the net, at the lowest value of the plane."
    fall = max(float(panel.result.arrays["centre_loss"][panel.rung]) - low[2] for panel, low in moved)
    return f"Cross: the net; circle: the lowest value, {fall:.2g} nats below it at most."


def _landmarks_note(result: Result) -> str:
    if "landmarks/x" not in result.arrays:
        return ""
    away = result.arrays.get("landmarks/off_plane", np.full(len(result.arrays["landmarks/x"]), np.nan))
    if result.attrs.get("landmarks_joined"):
        return f"Line: the run's checkpoints, projected; up to {np.nanmax(np.append(away, 0)):.2g} off the plane."
    told = ", ".join(f"{name} {value:.2g}" for name, value in zip(landmark_names(result), away, strict=True))
    return f"Off the plane: {told}."


def _cells_note(panels: Sequence[Panel]) -> str:
    """Return how many values are not what the colours say: beyond the cap, not finite, to do."""
    status = np.concatenate([panel.result.arrays["status"][panel.rung].ravel() for panel in panels])
    skipped, todo = int(np.sum(status == SKIPPED)), int(np.sum(status == TODO))
    known = sum(int(np.sum(np.isfinite(panel.loss))) for panel in panels)
    hatched = status.size - known - skipped - todo
    parts = [f"{hatched:,} not finite or failed, hatched"] if hatched else []
    parts += [f"{todo:,} still to do, hatched"] if todo else []
    parts += [f"{skipped:,} with a clean loss beyond the cap, not attacked"] if skipped else []
    interpolated = known - int(np.sum(status == EVALUATED))
    parts += [f"{interpolated:,} interpolated, the others dotted"] if interpolated > 0 else []
    return f"Of {status.size:,} values {'; '.join(parts)}." if parts else ""


def _same(trained: float, eps: float) -> bool:
    return math.isnan(trained) or math.isclose(trained, eps, rel_tol=1e-9, abs_tol=1e-12)


def _trained(panel: Panel) -> float:
    value = panel.result.attrs.get("train_eps")
    return value if isinstance(value, float) else math.nan


def _end(result: Result, name: str, index: int) -> float:
    return float(result.arrays[name][index])


def _stem(result: Result) -> str:
    checkpoint = result.attrs.get("checkpoint")
    names = checkpoint if isinstance(checkpoint, list) else [checkpoint]
    return " – ".join(net_name(str(name)) for name in names)


def _seed(result: Result) -> str:
    training = result.attrs.get("training")
    return f"seed {training.get('seed')}" if isinstance(training, dict) else "seed unknown"
