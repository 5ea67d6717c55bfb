"""Recheck the linear model: its thresholds, and its optimum at a random sample of radii, solved once more."""

from __future__ import annotations

from collections.abc import Iterator

from landscape.analyses.theory import linear_theory

from .case import Case
from .numbers import Key, Nets, Stored, Unit

RADII = 9
_THRESHOLDS = (
    "eps_bar", "eps_bar_bias", "eps_bar_box", "gamma_star", "gamma_star_bound", "gamma_star_box",
    "gamma_star_box_bound", "constant_loss",
)  # fmt: skip
_OF_RADIUS = ("loss", "margin", "error_rate", "clean_error_rate", "regime", "kkt_residual")


def units(case: Case) -> Iterator[Unit]:
    """Yield the parts of a theory result to recompute: all at once, for the optima share the thresholds."""
    arrays, attrs = case.arrays, case.attrs
    rows = case.picked("radii", len(arrays["eps"]), RADII)
    radii = [float(arrays["eps"][row]) for row in rows]
    first, second = case.read(lambda: map(int, str(attrs["class_pair"]).split(",")))
    n, tol = int(attrs["n_examples"]), float(attrs["tol"])
    stored: dict[Key, Stored] = {}
    for name in _THRESHOLDS:
        # gamma* is a margin that is certified from both sides, by a solver; the others are sums.
        room = 1e-6 if name.startswith("gamma") else 1e-9
        stored["thresholds", name] = Stored(float(attrs[name]), room + 1e-9)
    for row, eps in zip(rows, radii, strict=True):
        where = f"eps {eps:.5g}"
        stored |= {
            ("regime", where): Stored(float(arrays["regime"][row])),
            ("loss", where): Stored(float(arrays["loss"][row]), 1e-6),
            # The optimum is flat: weights that differ by more have the same loss to what was asked.
            ("margin", where): Stored(float(arrays["margin"][row]), 1e-3),
            ("error_rate", where): Stored(float(arrays["error_rate"][row]), 1.5 / n),
            ("clean_error_rate", where): Stored(float(arrays["clean_error_rate"][row]), 1.5 / n),
            ("kkt_residual", where): Stored(float(arrays["kkt_residual"][row]), max(tol, 1e-7), most=True),
        }

    def measure(nets: Nets) -> dict[Key, float]:
        found = linear_theory(
            case.data,
            classes=(first, second),
            eps=radii,
            box=bool(attrs["box"]),
            n_examples=n,
            seed=int(attrs["seed"]),
        )
        numbers: dict[Key, float] = {("thresholds", name): float(found.attrs[name]) for name in _THRESHOLDS}
        place = {float(eps): row for row, eps in enumerate(found.arrays["eps"])}
        for eps in radii:
            values = {name: found.arrays[name][place[eps]] for name in _OF_RADIUS}
            numbers |= {(name, f"eps {eps:.5g}"): float(value) for name, value in values.items()}
        return numbers

    yield Unit("thresholds and optima", stored, measure, moves=False)
