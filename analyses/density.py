"""The spectral density beside the eigenpairs of a Hessian, as the arrays and the attributes of its result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from landscape.curvature import Eigenpairs, HessianOperator, spectral_density
from landscape.streams import stream_key


def density_beside(
    H: HessianOperator, pairs: Eigenpairs, probes: int, seed: int, progress: Callable[[int, int], None] | None
) -> tuple[dict[str, np.ndarray], dict[str, float | int]]:
    """Return the arrays and the attributes of the spectral density of H, whose `pairs` are known."""
    found = spectral_density(
        H,
        pairs.values,
        pairs.vectors,
        pairs.residuals,
        probes=probes,
        generator=torch.Generator().manual_seed(stream_key(seed, "density") >> 1),
        progress=progress,
    )
    grid, values = found.on_grid()
    arrays = {
        "density/grid": grid,
        "density/values": values,
        "density/nodes": found.nodes,
        "density/weights": found.weights,
    }
    numbers = {
        "trace": found.trace.value,
        "trace_low": found.trace.low,
        "trace_high": found.trace.high,
        "frobenius": found.frobenius.value,
        "frobenius_low": found.frobenius.low,
        "frobenius_high": found.frobenius.high,
        "density_kernel_width": found.kernel_width,
        "density_probes": found.probes,
        "density_steps": found.steps,
        "density_deflated": found.deflated,
        "density_hvps": found.hvps,
    }
    return arrays, numbers
