"""A recheck on the terminal: a row for each group of numbers, and a line for each number that differs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..rechecks import ACROSS, Check, Recheck, grouped
from ..terminal import print_table, say

_TOLD = 12  # numbers that differ, by name; -v tells all
_HEADER = ("recomputed", "numbers", "largest difference", "tolerance there", "")


def show(found: Recheck, *, whole: bool) -> None:
    """Print what a recheck found; `whole`: every number that differs."""
    groups = grouped(found.checks)
    print_table(f"{found.path}, {found.kind}: recomputed", _HEADER, [_row(*item) for item in groups.items()])
    differing = found.differing
    for check in differing if whole else differing[:_TOLD]:
        say(f"differs: {check}")
    if len(differing) > _TOLD and not whole:
        say(f"... and {len(differing) - _TOLD:,} more; -v tells all")
    if found.across:
        say(f"{found.across}: tolerances are those across devices, {ACROSS:g} times as wide")
    if found.aside:
        say(f"not rechecked: {'; '.join(found.aside)}")
    if found.passed:
        say(f"PASS: {found.path}, {len(found.checks):,} numbers")
    else:
        say(f"FAIL: {found.path}, {len(differing):,} of {len(found.checks):,} numbers differ")


def _row(group: str, checks: Sequence[Check]) -> list[str]:
    bad = sum(not check.passed for check in checks)
    worst = max(checks, key=lambda check: (not check.passed, _excess(check)))
    return [
        group,
        f"{len(checks):,}",
        f"{_apart(worst):.1e}",
        f"{worst.tolerance:.1e}",
        "PASS" if not bad else f"{bad:,} differ",
    ]


def _apart(check: Check) -> float:
    if (math.isnan(check.stored) and math.isnan(check.found)) or (check.most and check.found <= check.stored):
        return 0.0
    return 0.0 if check.stored == check.found else abs(check.stored - check.found)


def _excess(check: Check) -> float:
    apart = _apart(check)
    return math.inf if math.isnan(apart) else apart / max(check.tolerance, 1e-300)
