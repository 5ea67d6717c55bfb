"""One point of a surface: the net there, with the BatchNorm statistics that hold there, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..borrow import Network
from ..errors import LandscapeError
from ..geometry import Plane, Statistics
from ..memory import out_of_memory
from ..replica import Replica
from ..results.kinds.surface import EVALUATED, FAILED, NOT_FINITE, SKIPPED
from .ladder import Found, Ladder

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Points:
    """The points of a plane, each evaluated by itself: the same numbers in whatever order they come.

    Where the clean loss passes `cap`, no attack is run.
    """

    ladder: Ladder
    plane: Plane
    statistics: Statistics
    cap: float = float("inf")

    @cached_property
    def replica(self) -> Replica:
        """The copy of the net that walks over the plane."""
        return Replica(self.ladder.objective)

    def network(self, a: float, b: float) -> Network:
        """Return the net at (a, b) as a function of images, until the next one is asked for."""
        weights = self.ladder.objective.space.named(self.plane.at(a, b))
        return self.replica.at({**weights, **self.statistics.at(weights)})

    def values(self, a: float, b: float) -> tuple[Values, str]:
        """Return what a surface holds of (a, b), each (E,) or (E, n), and what the net said if it failed there."""
        return values_at(self.ladder, lambda: self.network(a, b), cap=self.cap)


def values_at(ladder: Ladder, network: Callable[[], Network], *, cap: float = float("inf")) -> tuple[Values, str]:
    """Return what a ladder finds at a net, as arrays, and what the net, made or called, said if it failed."""
    try:
        found = ladder.evaluate(network(), cap=cap)
    except LandscapeError:
        raise
    except (RuntimeError, ValueError, ArithmeticError) as error:  # the net is anybody's, and so are these weights
        if out_of_memory(error):
            raise
        words = " ".join(str(error).split())[:200]
        return failed(len(ladder.eps), ladder.objective.n), f"{type(error).__name__}: {words}"
    return values_of(found, ladder.eps), ""


def values_of(found: Found, eps: list[float]) -> Values:
    """Return what was found as arrays by the names of a surface's, with a status for each radius."""
    means = found.means.numpy()
    status = np.where(np.isfinite(means), EVALUATED, NOT_FINITE).astype(np.uint8)
    errors = found.error_rates.numpy()
    if found.skipped:
        attacked = np.array(eps) > 0
        status[attacked], errors[attacked] = SKIPPED, np.nan
    return {
        "loss": means,
        "loss_se": found.errors.numpy(),
        "error_rate": errors,
        "zero_gradient": found.flat.double().mean(dim=1).numpy(),
        "example_loss": found.losses.float().numpy(),
        "status": status,
    }


def failed(n_eps: int, n: int) -> Values:
    """Return the values of a point where the net raised an error."""
    nan = torch.full((n_eps, n), torch.nan, dtype=torch.float64)
    values = dict(values_of(Found(nan, torch.zeros(n_eps, n, dtype=torch.bool), nan), [0.0] * n_eps))
    return {**values, "error_rate": np.full(n_eps, np.nan), "status": np.full(n_eps, FAILED, dtype=np.uint8)}
