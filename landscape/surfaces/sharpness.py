"""How sharp a net is under one attack: curvature at its weights, and the rise of the loss beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..attacks import PGD
from ..curvature import (
    HessianOperator,
    PairStatus,
    directional_curvature,
    spectral_density,
    standard_error,
    top_eigenpairs,
)
from ..curvature.flatness import RelativeBall, worst_shift
from ..errors import LandscapeError
from ..geometry.directions import random_direction
from ..losses import error_rate
from ..objective import Objective
from ..replica import Replica
from ..streams import stream_key
from .ladder import Ladder


class Place:
    """The net's own weights under one attack: what is measured at them and around them."""

    def __init__(
        self,
        clean: Objective,
        attacked: Objective,
        attack: PGD,
        *,
        seed: int,
        probes: int,
        tol: float,
        batch_size: int | None,
    ) -> None:
        self._clean, self._objective, self._attack = clean, attacked, attack
        self._seed, self._probes, self._tol, self._batch_size = seed, probes, tol, batch_size

    @cached_property
    def frozen(self) -> Objective:
        """The objective with its adversarial images fixed at the weights: attacked once, when first asked for."""
        return self._objective.freeze()

    def curvature(self, *, with_trace: bool) -> dict[str, Any]:
        """Return loss, error, gradient and lambda_1 with its evidence; with the trace too."""
        frozen = self.frozen
        w0, n = frozen.w0, frozen.n
        outputs, losses = frozen.outputs(w0)
        if not bool(torch.isfinite(losses).all()):
            bad = int((~torch.isfinite(losses)).sum())
            raise LandscapeError(f"the loss is not finite on {bad} of {n} examples; no sharpness exists: check the net")
        H = HessianOperator(frozen, w0, batch_size=self._batch_size)
        generator = torch.Generator().manual_seed(stream_key(self._seed, "lanczos") >> 1)
        pairs = top_eigenpairs(H, 1, tol=self._tol, generator=generator, strict=False)
        found: dict[str, Any] = {}
        hvps = pairs.hvps + pairs.check_hvps
        if with_trace:
            density = spectral_density(
                H,
                pairs.values,
                pairs.vectors,
                pairs.residuals,
                probes=self._probes,
                generator=torch.Generator().manual_seed(stream_key(self._seed, "density") >> 1),
            )
            found = {
                "trace": density.trace.value,
                "trace_low": density.trace.low,
                "trace_high": density.trace.high,
            }
            hvps += density.hvps
        H.release()
        curvature, gauss_newton, _ = directional_curvature(frozen, w0, pairs.vectors[0])
        return {
            "loss": float(losses.double().mean()),
            "loss_se": float(standard_error(losses.double().cpu().numpy())),
            "error_rate": error_rate(outputs, frozen.labels),
            "gradient_norm": float(frozen.gradient(w0).double().norm()),
            "lambda_1": pairs.values[0],
            "lambda_1_residual": pairs.residuals[0],
            "lambda_1_se": float(standard_error(curvature.double().cpu().numpy())),
            "gauss_newton": float(gauss_newton.double().mean()),
            "pair_status": pairs.status[0] if pairs.guard_passed is not False else PairStatus.NOT_CONVERGED,
            "hvps": hvps,
            **found,
        }

    def random_rises(self, radii: Sequence[float], number: int) -> dict[str, Any]:
        """Return the rise of each example (R, n), the mean over +d and -d, along one random direction."""
        space, w0 = self.frozen.space, self.frozen.w0
        direction = random_direction(space, w0, number, seed=self._seed)
        rises = [(self._rises(w0 + radius * direction) + self._rises(w0 - radius * direction)) / 2 for radius in radii]
        return {"rises": torch.stack(rises).numpy()}

    def worst_rise(self, radius: float, starts: int) -> dict[str, Any]:
        """Return the rise at the worst shift found, attacked anew and not, with its errors."""
        frozen = self.frozen
        space, w0 = frozen.space, frozen.w0
        more = [random_direction(space, w0, number, seed=self._seed) for number in range(starts - 1)]
        worst = worst_shift(frozen, RelativeBall(space, w0, radius), starts=(frozen.gradient(w0), *more))
        rises = self._rises(w0 + worst.shift)
        return {
            "worst_rise": float(rises.mean()),
            "worst_rise_se": float(standard_error(rises.numpy())),
            "worst_rise_frozen": worst.rise,
            "worst_rise_gap": worst.rise - min(worst.rises) if starts > 1 else math.nan,
        }

    def _rises(self, w: Tensor) -> Tensor:
        """Return how far the loss of each example (n,) lies above its own at the net, each attacked at its weights."""
        return self._attacked(w) - self._centre

    @cached_property
    def _centre(self) -> Tensor:
        return self._attacked(self.frozen.w0)

    @cached_property
    def _around(self) -> tuple[Ladder, Replica]:
        # From the same random starts everywhere, and from nothing else: with the images of the net in the pool, every
        # point but the net itself would be attacked twice, and a rise of no distance would not be 0.
        return Ladder(self._clean, [self._attack]), Replica(self._clean)

    def _attacked(self, w: Tensor) -> Tensor:
        ladder, replica = self._around
        return ladder.evaluate(replica.at(self.frozen.space.named(w))).losses[0]
