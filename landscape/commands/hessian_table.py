"""A Hessian result on the terminal: its numbers, what must be said beside them, and what to try."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..results import Result, caveats
from ..results.concentration import has_examples
from ..results.kinks import has_kinks
from ..terminal import percent, print_table, say
from .examples_table import show_examples
from .kinks_table import show_kinks

COLUMNS = ("eigenvalues", "residuals", "eigenvalue_se", "gauss_newton", "gradient_projection", "pair_status")
_BY_SIZE = ("by_size/n", "by_size/eigenvalues", "by_size/residuals", "by_size/eigenvalue_se")
ARRAYS = COLUMNS + _BY_SIZE
_HEADER = ("k", "eigenvalue", "± se", "residual/|λ|", "v'Gv/λ", "g'v", "status")
_STATUS = {0: "not converged", 1: "ok", 2: "precision limit"}
_GUARD = {None: "not run", True: "passed", False: "FAILED"}


def show(result: Result, path: Path, *, again: bool) -> None:
    """Print a Hessian result's table, its caveats, and where it lies; `again`: it was there already."""
    attrs: dict[str, Any] = result.attrs
    rows = []
    columns = zip(*(result.arrays[name] for name in COLUMNS), strict=True)
    for number, (value, residual, se, gauss_newton, slope, status) in enumerate(columns, 1):
        relative = f"{residual / abs(value):.0e}" if value else "-"
        share = f"{100 * gauss_newton / value:.1f} %" if value else "-"
        rows.append([str(number), f"{value:.5g}", f"{se:.2g}", relative, share, f"{slope:.1e}", _STATUS[int(status)]])
    title = (
        f"loss {attrs['loss']:.4g} ± {attrs['loss_se']:.1g}, error {percent(attrs['error_rate'])}, "
        f"gradient norm {attrs['gradient_norm']:.2g}; {attrs['hvps']} products, guard {_GUARD[attrs['guard_passed']]}"
    )
    print_table(title, _HEADER, rows)
    if "trace" in attrs:
        say(
            f"trace {_interval(attrs, 'trace')}, Frobenius norm {_interval(attrs, 'frobenius')}: 95 % over "
            f"{attrs['density_probes']} probes, {attrs['density_deflated']} pairs exact; "
            f"density's kernel width {attrs['density_kernel_width']:.3g}"
        )
    if has_examples(result):
        show_examples(result)
    if "by_size/n" in result.arrays:
        _show_sizes(result)
    if has_kinks(result):
        show_kinks(result)
    for caveat in caveats(result):
        say(f"caution: {caveat}")
    if attrs["status"] != "complete":
        say(f"try: {_advice(result)}")
    say(f"{'found' if again else 'wrote'} {path}")


def show_layers(source: str, results: Mapping[str, Result]) -> None:
    """Print one line for each layer's block: how many parameters, its largest eigenvalue, and its trace if known."""
    header = ["layer", "P", "eigenvalue 1", "± se", "v'Gv/λ", "trace"]
    rows = []
    for layer, result in results.items():
        attrs: dict[str, Any] = result.attrs
        value, se, gauss_newton = (result.arrays[name][0] for name in ("eigenvalues", "eigenvalue_se", "gauss_newton"))
        share = f"{100 * gauss_newton / value:.1f} %" if value else "-"
        trace = f"{attrs['trace']:.4g}" if "trace" in attrs else "-"
        rows.append([layer, f"{attrs['n_parameters']:,}", f"{value:.5g}", f"{se:.2g}", share, trace])
    print_table(f"{source}, layer by layer", header, rows)


def _show_sizes(result: Result) -> None:
    """Print a row for each size: its eigenvalues with their standard errors, and the worst of their residuals."""
    sizes, values, residuals, errors = (result.arrays[name] for name in _BY_SIZE)
    header = ["n", *(word for j in range(values.shape[1]) for word in (f"eigenvalue {j + 1}", "± se")), "residual/|λ|"]
    rows = []
    for n, own, residual, se in zip(sizes, values, residuals, errors, strict=True):
        pairs = [word for value, error in zip(own, se, strict=True) for word in (f"{value:.5g}", f"{error:.2g}")]
        worst = f"{np.max(residual[own != 0] / np.abs(own[own != 0])):.0e}" if own.any() else "-"
        rows.append([f"{n:,}", *pairs, worst])
    print_table("by number of examples, each subset within the next:", header, rows)
    say("averaged over samples, lambda_1 of fewer examples is no lower: its vector is fitted to them")


def _interval(attrs: dict[str, Any], name: str) -> str:
    return f"{attrs[name]:.5g} ({attrs[name + '_low']:.5g} to {attrs[name + '_high']:.5g})"


def _advice(result: Result) -> str:
    if result.attrs["method"] == "power":
        return "--method lanczos, which reaches --tol in fewer products"
    if np.any(result.arrays["pair_status"] == 0):
        return "more --max-products, a larger --tol, or a smaller --top"
    return "more --max-products or a smaller --top; or --no-guard, and treat the set as incomplete"
