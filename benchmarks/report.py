"""The measurements of one problem: a table for a person, plain Python for a file, and a verdict on each target."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from line_up import OURS
from timing import GRADIENT, KEPT

PYHESSIAN, CURVLINOPS = "PyHessian", "curvlinops + eigsh"
# How many times faster than a peer our guarded solve shall be: (at least, goal), for each case.
TARGETS = {
    "lenet": {PYHESSIAN: (4.0, 8.0), CURVLINOPS: (1.0, 1.5)},
    "resnet18": {PYHESSIAN: (8.0, 12.0), CURVLINOPS: (1.5, 2.5)},
}
MOST_TRUE_OVER_CLAIMED = 1.05
MOST_OVERLAP = 1e-12


@dataclass
class SolveRow:
    """One contender's whole solves, `runs` of them: medians of what they cost, and of the evidence the poorest.

    `steady` is what the solve would cost at its product's median, interleaved with the others': products x median, and
    what the solver takes itself. It tells the work apart from the weather that a single long solve met.
    """

    runs: int
    seconds: float
    steady: float
    product_seconds: float
    products: int
    pairs: int
    worst: float
    orthogonality: float
    peak_mib: float = math.nan
    notes: dict[str, float] = field(default_factory=dict)


@dataclass
class Measured:
    """All that was measured on one problem, times in CPU seconds."""

    case: str
    model: str
    data: str
    eps: float
    parameters: int
    n: int
    micro_batch: int
    k: int
    rounds: int
    products: dict[str, float]
    errors: dict[str, float]
    flop_ratio: float
    evidence_seconds: float
    solves: dict[str, SolveRow]

    @property
    def gradients(self) -> dict[str, float]:
        """What each product costs, in gradients of the same data."""
        return {name: seconds / self.products[GRADIENT] for name, seconds in self.products.items()}

    @property
    def above_floor(self) -> float:
        """The time of our product with kept graphs over what its arithmetic takes at the gradient's pace."""
        return self.gradients[KEPT] / self.flop_ratio

    def targets(self) -> list[dict[str, Any]]:
        """Return each target: its name, what was found, what was wanted, and whether it is met."""
        ours = self.solves[OURS]
        found: list[dict[str, Any]] = [
            _judged(f"pairs of {self.k} within 1e-3 of their own |eigenvalue|", ours.pairs, self.k),
            _judged("guard passed (1: in every run)", ours.notes["guard_passed"], 1),
            _judged("true over claimed residual", ours.notes["true_over_claimed"], MOST_TRUE_OVER_CLAIMED, "<="),
            _judged("orthogonality", ours.orthogonality, MOST_OVERLAP, "<="),
        ]
        for peer, (least, goal) in TARGETS.get(self.case, {}).items():
            if peer in self.solves:
                row = self.solves[peer]
                for words, ratio in (("", row.seconds / ours.seconds), (" (steady)", row.steady / ours.steady)):
                    found.append({**_judged(f"times faster than {peer}{words}", ratio, least), "goal": goal})
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain Python; what was not measured is None."""
        plain = {key: value for key, value in vars(self).items() if key != "solves"}
        solves = {
            name: {key: None if value != value else value for key, value in vars(row).items()}
            for name, row in self.solves.items()
        }
        derived = {"gradients": self.gradients, "above_floor": self.above_floor, "targets": self.targets()}
        return {**plain, "solves": solves, **derived}

    def lines(self) -> Iterator[str]:
        """Yield the table, line by line."""
        yield (
            f"{self.model} ({self.parameters:,} parameters), n = {self.n} in micro-batches of {self.micro_batch}; "
            f"{self.data}; trained and attacked at l-inf {self.eps:.4g}"
        )
        title = f"one product (median of {self.rounds}, interleaved)"
        yield f"  {title:<42} {'CPU ms':>9} {'gradients':>10} {'error':>9}"
        for name, seconds in self.products.items():
            error = f"{self.errors[name]:9.1e}" if name in self.errors else ""
            yield f"  {name:<42} {1e3 * seconds:9.1f} {self.gradients[name]:10.2f} {error}".rstrip()
        yield (
            f"  floor: a product with kept graphs takes the arithmetic of {self.flop_ratio:.2f} gradients; "
            f"ours takes {self.above_floor:.2f} times that"
        )
        ours = self.solves[OURS]
        title = f"{self.k} eigenpairs"
        yield (
            f"  {title:<20} {'runs':>4} {'CPU s':>7} {'steady s':>8} {'solver s':>8} {'products':>8} {'pairs ok':>8} "
            f"{'worst res.':>10} {'overlap':>7} {'peak MiB':>8} {'/ ours':>6} {'steady':>6}"
        )
        for name, row in self.solves.items():
            peak = "-" if math.isnan(row.peak_mib) else f"{row.peak_mib:.0f}"
            yield (
                f"  {name:<20} {row.runs:4d} {row.seconds:7.2f} {row.steady:8.2f} "
                f"{row.seconds - row.product_seconds:8.2f} {row.products:8d} {f'{row.pairs}/{self.k}':>8} "
                f"{row.worst:10.1e} {row.orthogonality:7.0e} {peak:>8} "
                f"{row.seconds / ours.seconds:6.2f} {row.steady / ours.steady:6.2f}"
            )
        yield (
            f"  ours, of that the guard: {ours.notes['guard_products']:.0f} products; apart from that, "
            f"the check: {ours.notes['check_seconds']:.2f} s ({ours.notes['check_products']:.0f} products), "
            f"the evidence: {self.evidence_seconds:.2f} s; residuals claimed below rounding are at most "
            f"{ours.notes['rounding_over_estimate']:.2f} of its estimate"
        )
        for target in self.targets():
            goal = f" (goal {target['goal']:g}: {_met(target['value'] >= target['goal'])})" if "goal" in target else ""
            yield (
                f"  {_met(target['met']):<7} {target['name']}: {target['value']:.3g}, "
                f"wanted {target['relation']} {target['wanted']:g}{goal}"
            )


def _judged(name: str, value: float, wanted: float, relation: str = ">=") -> dict[str, Any]:
    met = value <= wanted if relation == "<=" else value >= wanted
    return {"name": name, "value": value, "relation": relation, "wanted": wanted, "met": met}


def _met(met: bool) -> str:
    return "met" if met else "not met"
