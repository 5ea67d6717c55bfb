"""A comparison on the terminal and as CSV: the groups, then the effects with their intervals and verdicts."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from ..files import atomic_path
from ..results.comparison import LEVEL, Comparison, Effect, Group, Interval
from ..terminal import print_table, say
from ..units import format_eps

_LISTED = 6  # seeds whose own numbers a table has room for


def show(comparison: Comparison) -> None:
    """Print the groups, the effects between them, and what the intervals are."""
    unit = "" if comparison.unit == "1" else f" ({comparison.unit})"
    title = f"{comparison.quantity}{unit}, by {comparison.by}:"
    rows = [
        [
            group_name(group, comparison.by),
            str(len(group.nets)),
            str(group.collapsed) if group.collapsed else "-",
            _number(group.mean.value),
            _range(group.mean),
            _listed(group),
        ]
        for group in comparison.groups
    ]
    share = f"{100 * LEVEL:.0f} %"
    print_table(title, [comparison.by, "seeds", "collapsed", "mean", share, "each net"], rows)
    if not comparison.effects:
        say("there is one group that counts, and nothing to compare it with")
        return
    rows = [
        [
            effect.words,
            f"{effect.seeds}{' paired' if effect.paired else ''}",
            f"{effect.interval.value:+.4g}",
            _range(effect.interval) if math.isfinite(effect.interval.low) else _these(effect.interval),
            effect.verdict,
        ]
        for effect in comparison.effects
    ]
    print_table("effects:", ["effect", "seeds", "difference", share, "verdict"], rows)
    if any(math.isfinite(effect.interval.low) for effect in comparison.effects):
        each = f"; each of the {len(comparison.effects)} is {share} by itself" if len(comparison.effects) > 1 else ""
        say(f"intervals: Student's, with the bootstrap's error over seeds, then examples{each}")
        if math.isfinite(comparison.rank_correlation):
            say(f"rank correlation with {comparison.by} over all nets: {comparison.rank_correlation:+.2f}")


def write_csv(comparison: Comparison, path: Path, *, overwrite: bool) -> Path:
    """Write every net, group and effect of a comparison as one table, whole or not at all; return its path.

    Raises LandscapeError where the path exists (unless `overwrite`) or cannot be written.
    """
    header = [
        "row", "name", "training_seed", "seeds", "paired", "collapsed", "value", "standard_error", "low", "high",
        "verdict",
    ]  # fmt: skip
    rows: list[list[object]] = []
    for group in comparison.groups:
        name = group_name(group, comparison.by)
        rows += [["net", f"{name}: {net.name}", net.seed, "", "", "", net.value, "", "", "", ""] for net in group.nets]
        rows.append(["group", name, "", len(group.nets), "", group.collapsed, *_numbers(group.mean), ""])
    rows += [_row(effect) for effect in comparison.effects]
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def group_name(group: Group, by: str) -> str:
    """Return what a group is called: its eps as people say it, or its value."""
    if isinstance(group.name, str):
        return group.name
    return format_eps(group.name) if by.endswith("eps") else f"{group.name:g}"


def _row(effect: Effect) -> list[object]:
    return [
        "effect", effect.words, "", effect.seeds, effect.paired, "", *_numbers(effect.interval), effect.verdict,
    ]  # fmt: skip


def _numbers(interval: Interval) -> list[float]:
    return [interval.value, interval.error, interval.low, interval.high]


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def _these(interval: Interval) -> str:
    """Return what is known of a difference without enough seeds: its standard error over examples."""
    return f"± {interval.error:.2g} (these nets)" if math.isfinite(interval.error) else "-"


def _range(interval: Interval) -> str:
    return f"{interval.low:.4g} to {interval.high:.4g}" if math.isfinite(interval.low) else "-"


def _listed(group: Group) -> str:
    shown = [f"{net.value:.3g}" for net in group.nets[:_LISTED]]
    return " ".join(shown) + (" ..." if len(group.nets) > _LISTED else "")
