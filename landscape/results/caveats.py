"""What must be said beside a result: what did not converge, is not known, or not audited; a dead net."""

from __future__ import annotations

import numpy as np

from .result import Result

LOOSE = 0.05  # share of a rise at a worst shift by which attack or ascent may fall short before it must be said
SHORT = 0.01  # share of the loss by which an attack may fall short of images held before it must be said
ZERO_GRADIENTS = 0.1  # share of examples without a gradient at the attack's start, beyond which it must be said


def is_collapsed(result: Result, row: int = 0) -> bool | None:
    """Return whether the net, the `row`-th of several, is a constant classifier; None where its file does not say.

    The rule is that of whoever wrote the file: `landscape.training.collapsed`, on the clean examples. An evaluation
    knows what training said of each net at its end.
    """
    said = result.attrs.get("collapsed")
    if said is None and result.kind == "evaluate" and result.attrs.get("ensemble") == "none":
        training = result.attrs.get("training")
        entry = training[row] if isinstance(training, list) and row < len(training) else training
        final = entry.get("final") if isinstance(entry, dict) else None
        said = final.get("collapsed") if isinstance(final, dict) else None
    return None if said is None else bool(said)


def caveats(result: Result) -> list[str]:
    """Return what a reader has to know before trusting the numbers, a short clause each; empty where all is well."""
    return [clause for _, clause in concerns(result)]


def concerns(result: Result) -> list[tuple[str, str]]:
    """Return the caveats with what each is about: a table of them has a column for each.

    That is "net", "residuals", "attack", "finite", "interpolated", "training" (of a curve) or "status".
    """
    found: list[tuple[str, str]] = []
    if result.kind == "evaluate":
        dead = sum(is_collapsed(result, row) is True for row in range(len(result.arrays["checkpoints"])))
        found += (
            [("net", f"{dead} of {len(result.arrays['checkpoints'])} nets are constant classifiers")] if dead else []
        )
    elif is_collapsed(result):
        found.append(("net", "constant classifier"))
    if "pair_status" in result.arrays:
        status = result.arrays["pair_status"]
        if unconverged := int(np.sum(status == 0)):
            found.append(("residuals", f"{unconverged} of {status.size} pairs not converged"))
    if result.attrs.get("guard_passed") is False:
        found.append(("residuals", "guard failed: pairs may be missing"))
    if result.kind == "evaluate":
        verdicts = result.attrs.get("verdicts", [])
        suspect = [
            verdict
            for verdict in (verdicts if isinstance(verdicts, list) else [verdicts])
            if str(verdict).startswith("suspect")
        ]
        found += [("attack", f"attacks on {len(suspect)} nets may be too weak")] if suspect else []
    if result.kind == "surface":
        found += _of_surface(result)
    if result.kind == "connect":
        found += _of_connect(result)
    if result.kind == "sharpness":
        found += _of_sharpness(result)
    if result.kind == "scattering":
        found += _of_scattering(result)
    if result.attrs.get("status") == "partial":
        found.append(("status", "unfinished"))
    elif result.attrs.get("status") == "not-converged" and not found:
        found.append(("status", "not converged"))
    return found


def _of_surface(result: Result) -> list[tuple[str, str]]:
    """Return what is wrong with a surface's values; a part of its arrays may not have been read."""
    found: list[tuple[str, str]] = []
    arrays = result.arrays
    if "status" in arrays:
        status = arrays["status"]
        counts = {code: int(np.sum(status == code)) for code in (2, 4, 5)}
        if counts[2]:
            found.append(("finite", f"{counts[2]:,} of {status.size:,} values not finite"))
        if counts[5]:
            found.append(("finite", f"{counts[5]:,} of {status.size:,} values failed"))
        if counts[4]:
            error = result.attrs.get("interpolation_error")
            known = isinstance(error, float) and np.isfinite(error)
            note = f" (error up to {100 * float(str(error)):.2g} % of the loss)" if known else " (error not known)"
            found.append(("interpolated", f"{counts[4]:,} of {status.size:,} values interpolated{note}"))
    attacked = arrays["eps"] > 0 if "eps" in arrays else np.zeros(0, dtype=bool)
    audited = "attack_gap" not in arrays or np.isfinite(arrays["attack_gap"][attacked]).any()
    if attacked.any() and result.attrs.get("adversary") == "reattacked" and not audited:
        found.append(("attack", "attack not audited"))
    if attacked.any() and "zero_gradient" in arrays:
        share = np.nanmax(np.append(arrays["zero_gradient"][attacked], 0))
        if share > ZERO_GRADIENTS:
            blind = f"no input gradient for up to {100 * share:.0f} % of the examples: the attack may be blind"
            found.append(("attack", blind))
    return found


def _of_connect(result: Result) -> list[tuple[str, str]]:
    """Return what is wrong with a curve's values; a part of its arrays may not have been read."""
    found: list[tuple[str, str]] = []
    for path in ("", "line_"):
        status = result.arrays.get(f"{path}status", np.zeros(0))
        where = " of the line" if path else ""
        for code, word in ((2, "not finite"), (5, "failed")):
            if count := int(np.sum(status == code)):
                found.append(("finite", f"{count:,} of {status.size:,} values{where} {word}"))
    low, high = result.arrays.get("barrier_low"), result.arrays.get("line_barrier_high")
    if low is not None and high is not None and np.any(low > high):
        found.append(("training", "the curve's barrier is above the line's: its training has failed"))
    if result.attrs.get("curve") != "line" and result.attrs.get("steps") == 0:
        found.append(("training", "control points not trained: the curve is the line"))
    return found


def _of_sharpness(result: Result) -> list[tuple[str, str]]:
    """Return where the attack at a shifted point did less than the images held, or the ascents did not agree."""
    found: list[tuple[str, str]] = []
    arrays = result.arrays
    if "worst_rise" in arrays:
        rise, held, gap = (arrays[name] for name in ("worst_rise", "worst_rise_frozen", "worst_rise_gap"))
        if loose := int(np.sum(rise < (1 - LOOSE) * held)):
            less = f"at {loose} of {rise.size} worst shifts the attack found less than the images held at the net"
            found.append(("attack", less))
        apart = gap > LOOSE * held
        if apart.any():
            ended = f"ascents to {int(apart.sum())} of {rise.size} worst shifts ended over {100 * LOOSE:.0f} % apart"
            found.append(("attack", ended))
    return found


def _of_scattering(result: Result) -> list[tuple[str, str]]:
    """Return where cosines have no meaning, and where the attack did less than the images held at the net."""
    found: list[tuple[str, str]] = []
    arrays = result.arrays
    missing = max(float(np.max(arrays.get(name, 0), initial=0)) for name in ("undefined", "zero_start_undefined"))
    if result.attrs.get("eps") and missing:
        found.append(("attack", f"up to {100 * missing:.2g} % of the examples have a perturbation of 0, and no cosine"))
    loss, held = arrays.get("loss"), arrays.get("loss_frozen")
    if loss is not None and held is not None and (loose := int(np.sum(loss < (1 - SHORT) * held))):
        less = f"at {loose} of {loss.size} points the attack found less than the images held at the net"
        found.append(("attack", less))
    return found
