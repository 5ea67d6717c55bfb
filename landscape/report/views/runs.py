"""Charts of training runs and of checkpoints along one: loss, gradient, distance, error, schedules in strips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...plots.labels import Curve, footnote
from ...plots.traces import EXTRAS, LAYERS, smoothing
from ...results.result import Result
from ...units import format_eps
from ..chart import DASHES, Axis, Chart, Series, tones
from .families import families

_PANELS = {
    "loss": Axis("loss (nats)", log=True),
    "gradient_norm": Axis("gradient norm", log=True),
    "distance_from_init": Axis("distance from start", linear=True),
    "error_rate": Axis("error", percent=True),
    "test": Axis("test error", percent=True),
    "gradient_cosine": Axis("cosine, clean and adversarial gradient", linear=True),
    "lambda_1": Axis("λ₁ (nats)", log=True),
    "eps": Axis("ε (pixel units)", height=0.35, linear=True),
    "learning_rate": Axis("learning rate", height=0.35, linear=True),
}
_TESTS = {
    "test/target_robust_error_rate": ("robust, at the target ε", "solid"),
    "test/clean_error_rate": ("clean", "dot"),
}
_SCHEDULES = {"constant": "solid", "linear": "dash", "cosine": "dot"}


def run_charts(results: Sequence[Result]) -> list[Chart]:
    """Return the charts of traces: of training runs, of checkpoints, and gradients by layer where they were kept."""
    runs = [result for result in results if result.attrs.get("measured") == "mini-batches"]
    others = [result for result in results if result.attrs.get("measured") == "checkpoints"]
    found = [_runs(results, runs)] if runs else []
    found += [_layers(results, held)] if (held := [run for run in runs if LAYERS in run.arrays]) else []
    return found + ([_checkpoints(results, others)] if others else [])


def _runs(results: Sequence[Result], runs: Sequence[Result]) -> Chart:
    names = [
        name
        for name in _PANELS
        if (name == "test" and any(test in run.arrays for test in _TESTS for run in runs))
        or any(name in run.arrays and np.isfinite(run.arrays[name]).any() for run in runs)
    ]
    found = families(results, of=lambda result: any(result is run for run in runs))
    colours = tones(family.eps for family in found)
    series = []
    for family in found:
        for place, run in family.members:
            arrays = run.arrays
            look: Any = {"tone": colours[family.eps], "result": place, "group": family.label}
            dash = _SCHEDULES.get(_schedule(run), "solid")
            for panel, name in enumerate(names):
                if name == "test":
                    series += [
                        Series(panel, x=arrays["test/step"], y=arrays[test], name=word, dash=line, marks="both", **look)
                        for test, (word, line) in _TESTS.items()
                        if test in arrays
                    ]
                elif name in arrays:
                    rows = np.isfinite(arrays[name]) if name in EXTRAS else slice(None)
                    marks, se = "both" if name in EXTRAS else "lines", _error(arrays, name, rows)
                    x, y = arrays["step"][rows], arrays[name][rows]
                    series.append(Series(panel, x=x, y=y, dash=dash, width=1.0, se=se, marks=marks, **look))
    window = smoothing([Curve(tuple(runs), "")])
    dashes = "Dashes: the schedule of ε (solid constant, dashed linear, dotted cosine). " if len(found) > 1 else ""
    return Chart(
        "Training runs", Axis("mini-batch"), [_PANELS[name] for name in names], series,
        f"Each line is one run; colours are the eps of training. {dashes}{footnote(runs)}.", smooth=window,
    )  # fmt: skip


def _layers(results: Sequence[Result], held: Sequence[Result]) -> Chart:
    series = []
    for place, result in enumerate(results):
        if result in held:
            norms, told = result.arrays[LAYERS], result.attrs.get("layers")
            rows = np.isfinite(norms).all(axis=1)
            names = told if isinstance(told, list) else [told]
            colours = tones(range(norms.shape[1]))
            series += [
                Series(0, place, str(names[k] if k < len(names) else k), result.arrays["step"][rows], norms[rows, k],
                       colours[k], dash=DASHES[k % 4])
                for k in range(norms.shape[1])
            ]  # fmt: skip
    panel = Axis("norm of the gradient", log=True)
    return Chart(
        "Gradient by layer", Axis("mini-batch"), [panel], series, "From the first layer to the last.", pick=True
    )


def _checkpoints(results: Sequence[Result], others: Sequence[Result]) -> Chart:
    names = [name for name in ("loss", "gradient_norm", "distance_from_init", "error_rate") if name in _PANELS]
    colours = tones(float(eps) for result in others for eps in np.unique(result.arrays["eps"]))
    series = []
    for place, result in enumerate(results):
        if result not in others:
            continue
        for eps in np.unique(result.arrays["eps"]).tolist():
            rows = result.arrays["eps"] == eps
            label = f"measured at ε = {format_eps(eps)}"
            series += [
                Series(panel, place, label, result.arrays["step"][rows], result.arrays[name][rows], colours[eps],
                       se=_error(result.arrays, name, rows), marks="both")
                for panel, name in enumerate(names)
            ]  # fmt: skip
    note = "Over fixed examples at each checkpoint; bars: one standard error over examples."
    panels = [_PANELS[name] for name in names]
    return Chart("Checkpoints along a run", Axis("updates of the weights"), panels, series, note, pick=True)


def _error(arrays: dict[str, np.ndarray], name: str, rows: np.ndarray | slice) -> np.ndarray | None:
    found = arrays.get(f"{name}_se")
    return None if found is None else found[rows]


def _schedule(result: Result) -> str:
    training = result.attrs.get("training")
    return str(training.get("eps_schedule", "constant")) if isinstance(training, dict) else "constant"
