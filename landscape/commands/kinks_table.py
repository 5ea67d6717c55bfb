"""The curvature of the re-attacked loss on the terminal: step by step, beside the frozen one, and the kinks counted."""

from __future__ import annotations

from ..results import Result
from ..results.kinks import census
from ..terminal import print_table, say

# What the table is made of, which a repeated command reads.
COLUMNS = tuple(
    f"reattack/{name}"
    for name in (
        "direction", "h", "index", "curvature", "frozen", "raw", "jump", "distance", "own_jump", "crosses", "verdict"
    )
)  # fmt: skip
_HEADER = ("h", "frozen", "added", "± se", "by kinks", "kinks", "smooth", "open", "missed", "down", "alone")


def show_kinks(result: Result) -> None:
    """Print a row for each step along each direction: curvatures of the mean in nats, and shares of the examples."""
    for place, number in enumerate(result.arrays["reattack/direction"]):
        told = census(result, place)
        rows = []
        for row in zip(
            told.h, told.frozen, told.excess, told.excess_se, told.of_kinks, told.kinks, told.smooth, told.undecided,
            told.lattice, told.down, told.raw, strict=True,
        ):  # fmt: skip
            h, frozen, added, error, of_kinks, *shares, raw = row
            counts = [f"{100 * share:.0f} %" for share in shares]
            rows.append(
                [f"{h:g}", f"{frozen:.4g}", f"{added:.4g}", f"{error:.2g}", f"{of_kinks:.4g}", *counts, f"{raw:.4g}"]
            )
        along = f"v{number}, eigenvalue {result.eigenvalues[number - 1]:.5g}" if number else f"direction {place + 1}"
        print_table(f"adversary attacking anew along {along} (curvatures of the mean loss):", _HEADER, rows)
    say("added: what the adversary's moving adds, at the best perturbation known at each place; by kinks: their part")
    say("kinks, smooth, open: examples whose added curvature grows like 1/h, does not, moves at too few h to tell")
    say("missed, down, alone: the attack's own answers fail cross-evaluation; make the slope fall; their curvature")
