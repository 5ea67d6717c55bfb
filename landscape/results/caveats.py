"""What must be said beside a result: pairs that did not converge, a search for skipped ones that failed, a dead net."""

from __future__ import annotations

import math
import re

import numpy as np

from .result import Result

# Fixed beforehand: a constant classifier has the loss ln(classes) whatever the attack, and errs on all classes but one.
COLLAPSED_LOSS = 0.02
COLLAPSED_ERROR = 0.05


def is_collapsed(result: Result) -> bool:
    """Return whether the net is a constant classifier: as the file says, else by its loss and its error rate.

    The rule: the loss is within 2 % of ln(classes), and the error rate, where known, within 0.05 of 1 - 1/classes.
    """
    if (said := result.attrs.get("collapsed")) is not None:
        return bool(said)
    classes, loss = class_count(result), _number(result, "loss")
    if classes is None or not abs(loss - math.log(classes)) <= COLLAPSED_LOSS * math.log(classes):
        return False
    error = _number(result, "error_rate")
    return math.isnan(error) or abs(error - (1 - 1 / classes)) <= COLLAPSED_ERROR


def class_count(result: Result) -> int | None:
    """Return the number of classes, from the attribute or from the net's resolved spec; None where neither says."""
    classes = result.attrs.get("classes")
    if classes is None and (match := re.search(r"\bclasses=(\d+)", str(result.attrs.get("model") or ""))):
        classes = int(match[1])
    return classes if isinstance(classes, int) and classes > 1 else None


def caveats(result: Result) -> list[str]:
    """Return what a reader has to know before trusting the numbers, a short clause each; empty where all is well."""
    found = []
    if is_collapsed(result):
        found.append("constant classifier")
    if "pair_status" in result.arrays:
        status = result.arrays["pair_status"]
        if unconverged := int(np.sum(status == 0)):
            found.append(f"{unconverged} of {status.size} pairs not converged")
    if result.attrs.get("guard_passed") is False:
        found.append("guard failed: pairs may be missing")
    if result.attrs.get("status") == "partial":
        found.append("unfinished")
    elif result.attrs.get("status") == "not-converged" and not found:
        found.append("not converged")
    return found


def _number(result: Result, name: str) -> float:
    value = result.attrs.get(name)
    return float(value) if isinstance(value, int | float) else math.nan
