"""Traces of checkpoints on the terminal: a row for each checkpoint and radius, its numbers with their errors."""

from __future__ import annotations

import math
from pathlib import Path

from ..results import Result, caveats
from ..terminal import percent, print_table, say
from ..units import format_eps

_HEADER = ("step", "epoch", "eps", "loss", "± se", "error", "|gradient|", "± se", "unbiased", "distance")


def show(result: Result, path: Path, *, again: bool) -> None:
    """Print the rows, their caveats, and where the file lies; `again`: it was there already."""
    names = (
        "step", "epoch", "eps", "loss", "loss_se", "error_rate", "gradient_norm", "gradient_norm_se",
        "gradient_norm_sq_unbiased", "distance_from_init",
    )  # fmt: skip
    rows = []
    for step, epoch, eps, loss, loss_se, error, norm, norm_se, square, distance in zip(
        *(result.arrays[name] for name in names), strict=True
    ):
        rows.append(
            [
                f"{step:,}",
                "-" if math.isnan(epoch) else f"{epoch:g}",
                format_eps(float(eps)),
                f"{loss:.4g}",
                f"{loss_se:.1g}",
                percent(float(error)),
                f"{norm:.3g}",
                f"{norm_se:.1g}",
                # The square of a norm may be estimated below 0, where nothing but noise is left.
                f"{math.sqrt(square):.3g}" if square >= 0 else "0",
                f"{distance:.3g}",
            ]
        )
    print_table(f"along the run, over {result.attrs['n_examples']:,} examples", _HEADER, rows)
    for caveat in caveats(result):
        say(f"caution: {caveat}")
    say(f"{'found' if again else 'wrote'} {path}")
