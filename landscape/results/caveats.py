"""What must be said beside a result: pairs that did not converge, a search for skipped ones that failed, a dead net."""

from __future__ import annotations

import numpy as np

from .result import Result


def is_collapsed(result: Result) -> bool | None:
    """Return whether the net is a constant classifier, as its file says; None where the file does not.

    The rule is that of whoever wrote the file: `landscape.training.collapsed`, on the clean examples.
    """
    said = result.attrs.get("collapsed")
    return None if said is None else bool(said)


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
