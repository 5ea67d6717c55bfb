"""Made-up results for the tests of files and pictures: the shape and the size of real ones, numbers from formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.results import Result


def hessian(*, k: int = 20, m: int = 2, n_parameters: int = 1_000, top: float = 40.0, **attrs: Any) -> Result:
    """Return a Hessian result with eigenvalues top / i^0.8; `attrs` replace attributes, or arrays by their names."""
    index = np.arange(1, k + 1)
    values = top / index**0.8
    vectors = np.random.default_rng(0).standard_normal((m, n_parameters))
    arrays = {
        "eigenvalues": values,
        "residuals": 4e-4 * values,
        "eigenvalue_se": 0.06 * values,
        "gauss_newton": 0.98 * values,
        "gradient_projection": 1e-3 / index,
        "pair_status": np.ones(k, dtype=np.uint8),
        "eigenvectors": vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    }
    values_of: dict[str, Any] = {
        "status": "complete",
        "command": "landscape hessian net.pt --eps 0.1",
        "created": "2026-01-02T03:04:05+00:00",
        "landscape_version": "0.1.0",
        "torch_version": "2.13.0",
        "device": "cpu",
        "seed": 0,
        "checkpoint": "runs/net.pt",
        "checkpoint_sha256": "ab" * 32,
        "training": {"eps": 0.1, "seed": 0, "epochs": 20, "optimizer": "adam", "lr": 1e-3, "final": {"loss": None}},
        "data_sha256": "cd" * 32,
        "model": "lenet:width=4,input=1x28x28,classes=10",
        "data": "mnist",
        "split": "train",
        "n_examples": 2_000,
        "n_parameters": n_parameters,
        "norm": "linf",
        "train_eps": 0.1,
        "attack": "pgd:steps=10,rel_step=0.25,restarts=1",
        "adversary": "frozen",
        "batchnorm": "none",
        "wall_seconds": 12.5,
        "eps": 0.1,
        "loss": 0.31,
        "gradient_norm": 0.02,
        "hvps": 231,
        "method": "lanczos",
        "which": "la",
        "tol": 1e-3,
        "guard_passed": True,
        "orthogonality": 3e-15,
        "error_rate": 0.09,
    }
    for name, value in attrs.items():
        (arrays if name in arrays or "/" in name else values_of)[name] = value
    return Result("hessian", arrays, values_of)


def with_density(*, size: int = 64) -> dict[str, Any]:
    """Return what a Hessian result holds beside the rest where a density was asked for."""
    grid = np.linspace(-3, 53, size)
    return {
        "density/grid": grid,
        "density/values": np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi),
        "density/nodes": np.array([50.0, 10.0, 0.0]),
        "density/weights": np.array([0.1, 0.1, 0.8]),
        "trace": 120.0,
        "trace_low": 110.0,
        "trace_high": 130.0,
        "frobenius": 60.0,
        "frobenius_low": 59.0,
        "frobenius_high": 61.0,
        "density_kernel_width": 0.5,
        "density_probes": 8,
        "density_steps": 6,
        "density_deflated": 24,
        "density_hvps": 63,
    }


def with_examples(
    *, n: int = 200, pairs: int = 3, scores: bool = True, shape: tuple[int, ...] = (1, 4, 4)
) -> dict[str, Any]:
    """Return what a Hessian result holds beside the rest where terms by example were asked for; index runs in twos.

    The curvature falls from the middle of the margins on; without `scores` there is no margin.
    """
    margin = np.linspace(-3, 7, n)
    label = np.arange(n) % 10
    curvature = np.array([40 / np.cosh(margin - shift) ** 2 for shift in range(pairs)])
    sharpest = np.argsort(-curvature[0], kind="stable")[:10]
    index = 2 * np.arange(n)
    arrays = {
        "index": index,
        "label": label,
        "loss": np.log1p(np.exp(-margin)),
        "clean_loss": 0.1 * np.log1p(np.exp(-margin)),
        "curvature": curvature,
        "gauss_newton": curvature,
        "gradient": 0.1 * curvature,
        "sharpest": index[sharpest],
        "image": np.random.default_rng(0).random((len(sharpest), *shape)),
    }
    if scores:
        rival = (label + 1) % 10
        arrays |= {"margin": margin, "rival": rival, "predicted": np.where(margin < 0, rival, label)}
    return {f"examples/{name}": array for name, array in arrays.items()}


def with_kinks(*, n: int = 12, directions: int = 1, jump: float = 0.5) -> dict[str, Any]:
    """Return what a Hessian result holds beside the rest where an adversary attacks anew: every third example kinks."""
    h = np.array([0.01, 0.02, 0.05, 0.1])
    shape = (directions, len(h), n)
    step, kinks = h[None, :, None], np.arange(n) % 3 == 0
    added = np.where(kinks, jump / step, 2.0) * np.ones(shape)
    missed = np.broadcast_to((np.arange(n) % 2 == 0) & (step < 0.05), shape)
    arrays = {
        "h": h,
        "direction": np.arange(1, directions + 1),
        "index": np.arange(n),
        "curvature": 40.0 + added,
        "frozen": np.full(shape, 40.0),
        "raw": np.full(shape, 60.0),
        "jump": added * step,
        "distance": np.full(shape, 0.2),
        "own_jump": np.where(missed, -0.1, 0.1),
        "crosses": (~missed).astype(np.uint8),
        "verdict": np.where(kinks, 1, 2) * np.ones(shape, dtype=np.uint8),
    }
    return {"adversary": "reattacked", **{f"reattack/{name}": array for name, array in arrays.items()}}
