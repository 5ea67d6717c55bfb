"""Charts of Hessians: the top of the spectrum with both of its errors, the density, and what else a file holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...plots.density import GRID, VALUES, density_note, has_density, one_eigenvalue
from ...plots.labels import footnote
from ...plots.sizes import SIZES, has_sizes
from ...plots.spectrum import errors_note
from ...results.kinds import KINDS
from ...results.kinks import census, has_kinks
from ...results.result import Result
from ..chart import DASHES, Axis, Chart, Series, Tone, tones
from .families import families

_NEGATIVE, _OPEN = 1, 2  # bits of a symbol: λ < 0, and not converged


def spectrum_charts(results: Sequence[Result]) -> list[Chart]:
    """Return the charts of Hessian results; `result` of a series is its place among them."""
    found = [_spectrum(results)]
    if dense := [result for result in results if has_density(result)]:
        found.append(_density(results, dense))
    if any(map(has_sizes, results)):
        found.append(_sizes(results))
    if any(map(has_kinks, results)):
        found.append(_kinks(results))
    if any("examples/margin" in result.arrays and "examples/curvature" in result.arrays for result in results):
        found.append(_examples(results))
    return found


def members(results: Sequence[Result]) -> Iterator[tuple[int, Result, str, Tone, str]]:
    """Yield each result with its place, the label of its family, the colour of its eps, and dashes."""
    found = families(results)
    colours = tones(family.eps for family in found)
    used: dict[float, int] = {}
    for family in found:
        dash = DASHES[used.setdefault(family.eps, 0) % len(DASHES)]
        used[family.eps] += 1
        for place, result in family.members:
            yield place, result, family.label, colours[family.eps], dash


def _spectrum(results: Sequence[Result]) -> Chart:
    words = KINDS["hessian"].arrays["pair_status"].codes
    series = []
    for place, result, label, tone, dash in members(results):
        values, status = result.arrays["eigenvalues"], result.arrays["pair_status"]
        symbols = _NEGATIVE * (values < 0) + _OPEN * (status == 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            also = {
                "eigenvalue": values,
                "residual": result.arrays["residuals"],
                "v'Gv": result.arrays["gauss_newton"],
                "g'v": result.arrays["gradient_projection"],
                "status": status,
            }
        series.append(
            Series(
                0, place, label, np.arange(1.0, len(values) + 1), np.abs(values), tone, dash=dash, marks="both",
                se=result.arrays["eigenvalue_se"], also=also, symbols=symbols.tolist(),
            )
        )  # fmt: skip
    told = "; ".join(f"{code} {word}" for code, word in words.items())
    note = (
        f"{footnote(results)}. {errors_note(results).replace('; broad pale bars:', ';')} Triangles: λ < 0, drawn as "
        f"|λ|; open: not converged. Codes of status: {told}."
    )
    panel = Axis("|Hessian eigenvalue| (nats)", log=True)
    return Chart("Top of the spectrum", Axis("index"), [panel], series, note)


def _density(results: Sequence[Result], dense: Sequence[Result]) -> Chart:
    series = [
        Series(0, place, label, result.arrays[GRID], result.arrays[VALUES], tone, dash=dash)
        for place, result, label, tone, dash in members(results)
        if has_density(result)
    ]
    # From a tenth of the peak of one eigenvalue, so that the outermost ones are seen and the gaps between them are not.
    panel = Axis("spectral density (1/nats)", log=True, low=0.1 * min(map(one_eigenvalue, dense)))
    return Chart("Spectral density", Axis("Hessian eigenvalue λ (nats)"), [panel], series, density_note(dense))


def _sizes(results: Sequence[Result]) -> Chart:
    series = []
    for place, result, label, tone, _ in members(results):
        if has_sizes(result):
            values, errors = result.arrays["by_size/eigenvalues"], result.arrays["by_size/eigenvalue_se"]
            series += [
                Series(
                    0, place, label, result.arrays[SIZES], values[:, j], tone, name=f"λ{j + 1}", se=errors[:, j],
                    marks="both", dash=DASHES[min(j, 3)],
                )
                for j in range(values.shape[1])
            ]  # fmt: skip
    note = "First eigenvalues of the mean loss over nested subsets; bars: one standard error over examples."
    return Chart("Eigenvalues by number of examples", Axis("examples", log=True), [Axis("eigenvalue")], series, note)


def _kinks(results: Sequence[Result]) -> Chart:
    series = []
    for place, result, label, tone, _ in members(results):
        if has_kinks(result):
            told = census(result)
            both: dict[str, Any] = {"se": told.excess_se, "marks": "both"}
            series += [
                Series(0, place, label, told.h, told.frozen + told.excess, tone, name="attacked anew", **both),
                Series(0, place, label, told.h, told.frozen, tone, name="adversary held", dash="dash"),
                Series(1, place, label, told.h, told.kinks, tone, name="with a kink", marks="both"),
                Series(1, place, label, told.h, told.lattice, tone, name="missed by the attack", dash="dot"),
            ]
    panels = [Axis("curvature along v1 (nats)"), Axis("share of examples", percent=True, height=0.7)]
    note = (
        "Second differences of the mean loss: solid, adversary attacking anew; dashed, held. Below: solid, share of "
        "the examples with a kink within h; dotted, of those that the attack by itself misses."
    )
    return Chart("An adversary that attacks anew", Axis("step h", log=True), panels, series, note)


def _examples(results: Sequence[Result]) -> Chart:
    names = ("margin", "curvature", "gauss_newton", "loss", "clean_loss", "label", "predicted", "index")
    series = []
    for place, result, _, tone, _ in members(results):
        held = {name: result.arrays[f"examples/{name}"] for name in names if f"examples/{name}" in result.arrays}
        if {"margin", "curvature"} <= set(held):
            own = {name: array if array.ndim == 1 else array[0] for name, array in held.items()}
            x, y = own.pop("margin"), own.pop("curvature")
            series.append(Series(0, place, "examples", x, y, tone, also=own, marks="markers"))
    note = "Each example's curvature along the first eigenvector against its margin under attack; the mean is v'Hv."
    axis = Axis("margin under attack (logits)")
    return Chart("The examples behind λ₁", axis, [Axis("curvature along v1 (nats)")], series, note, pick=True)
