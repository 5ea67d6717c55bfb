"""Recheck a Hessian: the loss at the weights, stored eigenvectors multiplied once more, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from ..curvature import HessianOperator, curvature_by_example, standard_error
from ..curvature.krylov import KrylovSpace
from ..curvature.lanczos import guard_steps
from ..losses import error_rate
from ..objective import Objective
from ..streams import stream_key
from .beside import density, reattack, sizes
from .case import Case, as_tensor, kept, mean_and_error
from .numbers import Key, Nets, Stored, Unit, near, share

PAIRS = 5


@dataclass(frozen=True, eq=False)
class _Attacked:
    """The objective of a net with its adversary frozen, its Hessian, and the same unattacked."""

    frozen: Objective
    clean: Objective
    H: HessianOperator

    @cached_property
    def gradient(self) -> Tensor:
        """The gradient (P,) at the weights, in float64."""
        return self.frozen.gradient().double()


def units(case: Case) -> Iterator[Unit]:
    """Yield the parts of a Hessian result to recompute."""
    attrs, arrays = case.attrs, case.arrays
    values, vectors = arrays["eigenvalues"], arrays["eigenvectors"]
    top = float(np.abs(values).max())
    attack = case.attack(attrs["eps"])
    settings = {"params": attrs.get("params"), "weight_decay": float(attrs.get("weight_decay", 0.0))}

    @kept
    def attacked(net: nn.Module) -> _Attacked:
        frozen = case.objective(net, attack, **settings).freeze()
        return _Attacked(frozen, case.objective(net, None), HessianOperator(frozen, batch_size=case.batch_size))

    yield Unit("the file itself", dict(_within(case)), lambda nets: _among(case), moves=False)

    def at_weights(nets: Nets) -> dict[Key, float]:
        held = attacked(nets[0])
        outputs, losses = held.frozen.outputs()
        clean, clean_losses = held.clean.outputs()
        mean, error = mean_and_error(losses)
        return {
            ("loss", ""): mean,
            ("loss_se", ""): error,
            ("error_rate", ""): error_rate(outputs, held.frozen.labels),
            ("gradient_norm", ""): float(held.gradient.norm()),
            ("clean_loss", ""): float(clean_losses.double().mean()),
            ("clean_error_rate", ""): error_rate(clean, held.clean.labels),
        }

    n = int(attrs["n_examples"])
    known = [name for name in ("loss", "loss_se", "gradient_norm", "clean_loss") if name in attrs]
    shares = [name for name in ("error_rate", "clean_error_rate") if name in attrs]
    loss = abs(attrs["loss"])
    stored = {(name, ""): near(attrs[name], scale=0.0 if name == "gradient_norm" else loss) for name in known}
    # A gradient is a sum over examples that cancels: its rounding is that of their norms, which are as large as lambda.
    stored[("gradient_norm", "")] = near(attrs["gradient_norm"], scale=attrs["gradient_norm"] + 0.1 * top)
    yield Unit("loss", stored | {(name, ""): share(attrs[name], n) for name in shares}, at_weights)

    for k in case.picked("pairs", len(vectors), PAIRS):
        yield _pair(case, k, attacked, vectors[k], top)
    yield from density(case, lambda net: attacked(net).frozen)
    yield from sizes(case, lambda net: attacked(net).frozen)
    yield from reattack(case, lambda net: case.objective(net, attack, **settings))
    if len(vectors) == len(values) and attrs.get("guard_passed") and len(values) < attrs["n_parameters"]:
        yield _left_out(case, attacked)


def _within(case: Case) -> Iterator[tuple[Key, Stored]]:
    vectors = case.arrays["eigenvectors"]
    for k in range(len(vectors)):
        yield ("length of the eigenvector", str(k + 1)), Stored(1.0, 1e-5)
    yield ("largest |v_i'v_j|", ""), Stored(max(case.attrs["orthogonality"], 1e-6), 1e-5, most=True)
    if "examples/curvature" in case.arrays:
        for k, terms in enumerate(case.arrays["examples/curvature"]):
            room = case.arrays["residuals"][k] + 1e-5 * np.abs(terms).mean()
            yield ("mean of examples/curvature", str(k + 1)), Stored(case.arrays["eigenvalues"][k], room)


def _among(case: Case) -> Mapping[Key, float]:
    vectors = case.arrays["eigenvectors"].astype(np.float64)
    gram = vectors @ vectors.T
    found = {("length of the eigenvector", str(k + 1)): float(np.sqrt(gram[k, k])) for k in range(len(vectors))}
    apart = np.abs(gram - np.diag(np.diag(gram)))
    found["largest |v_i'v_j|", ""] = float(apart.max())
    for k, terms in enumerate(case.arrays.get("examples/curvature", ())):
        found["mean of examples/curvature", str(k + 1)] = float(terms.mean())
    return found


def _pair(case: Case, k: int, attacked: Callable[[nn.Module], _Attacked], vector: np.ndarray, top: float) -> Unit:
    """Return the unit of pair k: its value by v'Hv, its residual, and its evidence over examples."""
    arrays, which = case.arrays, str(k + 1)
    value, residual = float(arrays["eigenvalues"][k]), float(arrays["residuals"][k])
    stored = {
        ("eigenvalues", which): Stored(value, residual + 1e-5 * top),
        ("residuals", which): Stored(residual, 1e-5 * top, most=True),
        ("eigenvalue_se", which): near(arrays["eigenvalue_se"][k], scale=value, rounding=1e-4),
        ("gauss_newton", which): near(arrays["gauss_newton"][k], scale=top, rounding=1e-4),
        ("gradient_projection", which): near(
            arrays["gradient_projection"][k], scale=case.attrs["gradient_norm"] + 0.1 * top, rounding=1e-4
        ),
    }

    def measure(nets: Nets) -> dict[Key, float]:
        held = attacked(nets[0])
        v = as_tensor(vector, nets[0]).double()
        v /= v.norm()
        product = held.H @ v
        terms = curvature_by_example(held.frozen, held.frozen.w0, v.unsqueeze(0))
        return {
            ("eigenvalues", which): float(v @ product),
            ("residuals", which): float((product - value * v).norm()),
            ("eigenvalue_se", which): float(standard_error(terms.curvature)[0]),
            ("gauss_newton", which): float(terms.gauss_newton.mean()),
            ("gradient_projection", which): float(v @ held.gradient),
        }

    return Unit(f"eigenpair {which}", stored, measure)


def _left_out(case: Case, attacked: Callable[[nn.Module], _Attacked]) -> Unit:
    """Return the unit that looks for a pair that the list should hold: a random start, orthogonal to all of it."""
    values, which = case.arrays["eigenvalues"], str(case.attrs["which"])
    vectors, last = case.arrays["eigenvectors"], float(case.arrays["eigenvalues"][-1])
    sign = {"la": 1.0, "sa": -1.0}.get(which)
    key = "what the list leaves out", "its outermost eigenvalue"
    bound = abs(last) if sign is None else last

    def measure(nets: Nets) -> dict[Key, float]:
        held = attacked(nets[0])
        rows, _ = torch.linalg.qr(as_tensor(vectors, nets[0]).double().T)
        m, steps = len(values), guard_steps(held.H.shape[0])
        generator = torch.Generator().manual_seed(stream_key(case.seed, "recheck/left out") >> 1)
        space = KrylovSpace(held.H, m + steps + 2, generator)
        space.deflate(values, rows.T)
        space.inject()
        for _ in range(steps):
            if not space.pending:
                break
            space.expand()
        block = space.coupling[m : space.processed, m : space.processed]
        found = np.linalg.eigvalsh((block + block.T) / 2)
        return {key: float(np.abs(found).max() if sign is None else sign * (sign * found).max())}

    # Of two eigenvalues that differ by less than was asked for, either may be the last one of the list.
    room = 2 * case.attrs["tol"] * abs(last) + float(case.arrays["residuals"][-1])
    if sign == -1.0:  # the list holds the smallest: what is left out is no smaller
        return Unit(
            "what was left out",
            {(key[0], "minus " + key[1]): Stored(-bound, room, most=True)},
            lambda nets: {(key[0], "minus " + key[1]): -measure(nets)[key]},
        )
    return Unit("what was left out", {key: Stored(bound, room, most=True)}, measure)
