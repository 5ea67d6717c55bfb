"""The data-quality box: what each result says of its own numbers, a column for each way in which they can mislead.

A cell is red where `results.caveats` has something to say of it, and where results differ in what figures require of
those that they show together: no bound is set here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..results.caveats import concerns
from ..results.describe import show
from ..results.result import Result

COLUMNS = {
    "status": "status",
    "finite": "not finite",
    "interpolated": "interpolated",
    "attack": "attack",
    "residuals": "residuals",
    "errors": "standard errors",
    "batchnorm": "BatchNorm",
    "net": "net, training",
}
_WHOLE = ("surface", "connect")  # kinds whose figures say where results differ in BatchNorm


@dataclass(frozen=True)
class Cell:
    """What a column says of a result, and whether that is out of bounds."""

    text: str
    bad: bool = False


def quality(result: Result) -> dict[str, Cell]:
    """Return a cell for each of COLUMNS."""
    said: dict[str, list[str]] = {}
    for about, clause in concerns(result):
        said.setdefault("net" if about == "training" else about, []).append(clause)
    plain = {
        "status": show(result.attrs.get("status")),
        "finite": _finite(result),
        "interpolated": "none" if "status" in result.arrays else "",
        "attack": _attack(result),
        "residuals": _residuals(result),
        "errors": _errors(result),
        "batchnorm": show(result.attrs.get("batchnorm")),
        "net": "",
    }
    cells = {}
    for name, text in plain.items():
        bad = said.get(name, [])
        keeps = name in ("status", "residuals", "errors", "batchnorm") or (name == "attack" and text.startswith("gap"))
        cells[name] = Cell("; ".join([text, *bad] if keeps and text else bad) if bad else text, bool(bad))
    return cells


def policies(results: Sequence[Result]) -> list[str]:
    """Return the BatchNorm policies of results of one kind, where its figures say that results differ in them."""
    chosen = [result for result in results if result.kind in _WHOLE]
    found = list(dict.fromkeys(show(result.attrs.get("batchnorm")) for result in chosen))
    return found if len(found) > 1 else []


def _finite(result: Result) -> str:
    counted = [name for name in ("loss", "eigenvalues", "lambda_1", "error_rate") if name in result.arrays]
    size = sum(result.arrays[name].size for name in counted)
    return f"0 of {size:,}" if size else ""


def _attack(result: Result) -> str:
    attrs, arrays = result.attrs, result.arrays
    radii = arrays["eps"] if "eps" in arrays else np.array([attrs.get("eps", np.nan)], dtype=float)
    if not np.any(radii != 0):
        return "clean loss"
    if "attack_gap" in arrays and np.isfinite(arrays["attack_gap"]).any():
        place = np.unravel_index(np.nanargmax(arrays["attack_gap"]), arrays["attack_gap"].shape)
        gap, loss = float(arrays["attack_gap"][place]), float(arrays["loss"][place])
        share = f" ({100 * gap / loss:.2g} % of the loss there)" if loss > 0 else ""
        return f"gap up to {gap:.2g} nats{share}"
    if result.kind == "evaluate":
        verdicts = attrs.get("verdicts", [])
        told = dict.fromkeys(
            str(one).partition(":")[0] for one in (verdicts if isinstance(verdicts, list) else [verdicts])
        )
        return ", ".join(told)
    return {"frozen": "held at the net", "reattacked": "attacked anew", "none": "none"}.get(
        str(attrs.get("adversary")), ""
    )


def _residuals(result: Result) -> str:
    arrays, tol = result.arrays, result.attrs.get("tol")
    bound = f" (asked {tol:.1g})" if isinstance(tol, float) else ""
    if "residuals" in arrays and arrays["residuals"].size:
        return f"{_most(arrays['residuals'], arrays['eigenvalues']):.1g} of |λ|{bound}"
    if "lambda_1_residual" in arrays and np.isfinite(arrays["lambda_1_residual"]).any():
        return f"{_most(arrays['lambda_1_residual'], arrays['lambda_1']):.1g} of |λ₁|{bound}"
    if "kkt_residual" in arrays and np.isfinite(arrays["kkt_residual"]).any():
        return f"KKT {np.nanmax(arrays['kkt_residual']):.1g}{bound}"
    return ""


def _errors(result: Result) -> str:
    arrays = result.arrays
    for error, value, word in (
        ("eigenvalue_se", "eigenvalues", "|λ|"),
        ("centre_loss_se", "centre_loss", "the loss at 0"),
        ("lambda_1_se", "lambda_1", "λ₁"),
        ("loss_se", "loss", "the loss"),
    ):
        if error in arrays:
            if not np.isfinite(arrays[error]).any():
                return "not computed"
            return f"up to {100 * _most(arrays[error], arrays[value]):.2g} % of {word}"
    if "error_low" in arrays:
        reach = np.nanmax(
            np.maximum(arrays["error_high"] - arrays["error_rate"], arrays["error_rate"] - arrays["error_low"])
        )
        return f"95 % within {100 * reach:.2g} points"
    return "exact" if result.kind == "theory" else "none kept"


def _most(errors: np.ndarray, values: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.abs(errors / values)
    known = shares[np.isfinite(shares)]
    return float(known.max()) if known.size else np.nan
