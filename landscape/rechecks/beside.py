"""Recheck what a Hessian result holds beside its eigenpairs: the density, fewer examples, the adversary that moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from landscape.analyses.reattack import CHUNK
from landscape.analyses.sizes import of_size

from ..curvature import Density, Interval, spectral_density
from ..objective import Objective
from ..streams import stream_key
from ..surfaces.kinks import Line
from .case import Case, as_tensor
from .numbers import Key, Nets, Stored, Unit, near, same

PROBES = 2  # of the density, developed anew
_DIFFERENCES = ("curvature", "frozen", "raw")
_SLOPES = ("jump", "own_jump")

Frozen = Callable[[nn.Module], Objective]


def not_rechecked(case: Case) -> Iterator[str]:
    """Say what of a Hessian result is taken on trust."""
    if "density/nodes" in case.arrays:
        if _whole(case):
            yield f"the density's probes beyond the first {PROBES}, and the ends of its intervals"
        else:
            yield "the density, for not all eigenvectors are in the file"
    if len(case.arrays["eigenvectors"]) < len(case.arrays["eigenvalues"]):
        yield "eigenvalues whose eigenvectors are not in the file, and whether the list is complete"


def density(case: Case, frozen: Frozen) -> Iterator[Unit]:
    """Yield the units of a spectral density: its moments from its nodes, and its first probes developed anew."""
    arrays, attrs = case.arrays, case.attrs
    if "density/nodes" not in arrays:
        return
    nodes, weights = arrays["density/nodes"], arrays["density/weights"]
    size, width = int(attrs["n_parameters"]), float(attrs["density_kernel_width"])

    def moments(nets: Nets) -> dict[Key, float]:
        unknown = Interval(np.nan, np.nan, np.nan)
        held = Density(nodes, weights, unknown, unknown, width, 0, 0, 0, 0)
        grid, values = held.on_grid(len(arrays["density/grid"]))
        return {
            ("density, sum of its weights", ""): float(weights.sum()),
            ("trace of the density", ""): size * float(nodes @ weights),
            ("density, largest change of its grid", ""): float(np.abs(grid - arrays["density/grid"]).max()),
            ("density, largest change of its values", ""): float(np.abs(values - arrays["density/values"]).max()),
        }

    spread = float(np.ptp(nodes))
    yield Unit(
        "density, from its nodes",
        {
            ("density, sum of its weights", ""): same(1.0),
            ("trace of the density", ""): Stored(float(attrs["trace"]), 1e-9 * size * spread + 1e-9),
            ("density, largest change of its grid", ""): Stored(0.0, 1e-9 * spread + 1e-12),
            ("density, largest change of its values", ""): Stored(0.0, 1e-9 / max(width, 1e-30)),
        },
        moments,
        moves=False,
    )
    if not _whole(case):
        return
    probes, steps, known = (int(attrs[f"density_{name}"]) for name in ("probes", "steps", "deflated"))
    few = min(PROBES, probes)
    rows = list(range(known, min(known + few * steps, len(nodes))))
    top = float(np.abs(arrays["eigenvalues"]).max())
    stored: dict[Key, Stored] = {("density_deflated", ""): same(known)}
    for row in range(len(arrays["eigenvalues"]), known):
        stored["density/nodes", f"found on the way, {row + 1}"] = near(nodes[row], scale=top, rounding=1e-3)
    for row in rows:
        stored["density/nodes", str(row + 1)] = near(nodes[row], scale=top, rounding=1e-3)
        stored["density/weights", str(row + 1)] = near(weights[row], scale=1 / probes, rounding=1e-2)

    def developed(nets: Nets) -> dict[Key, float]:
        H = frozen(nets[0]).hessian()
        try:
            vectors, _ = torch.linalg.qr(as_tensor(arrays["eigenvectors"], nets[0]).double().T)
            found = spectral_density(
                H,
                arrays["eigenvalues"],
                vectors.T * _signs(vectors.T, arrays["eigenvectors"]),
                arrays["residuals"],
                probes=max(few, 2),
                steps=steps,
                generator=torch.Generator().manual_seed(stream_key(int(attrs["seed"]), "density") >> 1),
            )
        finally:
            H.release()
        numbers: dict[Key, float] = dict.fromkeys(stored, np.nan)
        numbers["density_deflated", ""] = float(found.deflated)
        if found.deflated == known:
            for row in range(len(arrays["eigenvalues"]), known):
                numbers["density/nodes", f"found on the way, {row + 1}"] = float(found.nodes[row])
            for row in rows:
                numbers["density/nodes", str(row + 1)] = float(found.nodes[row])
                numbers["density/weights", str(row + 1)] = float(found.weights[row]) * found.probes / probes
        return numbers

    yield Unit("density, its first probes", stored, developed)


def sizes(case: Case, frozen: Frozen) -> Iterator[Unit]:
    """Yield the units of the eigenvalues over fewer examples: those of all, and of one smaller size solved anew."""
    arrays, attrs = case.arrays, case.attrs
    if "by_size/n" not in arrays:
        return
    few = arrays["by_size/eigenvalues"].shape[1]
    names = ("eigenvalues", "residuals", "eigenvalue_se")

    def last(nets: Nets) -> dict[Key, float]:
        return {(f"by_size/{name} of all", str(k + 1)): float(arrays[name][k]) for name in names for k in range(few)}

    told = {
        (f"by_size/{name} of all", str(k + 1)): same(arrays[f"by_size/{name}"][-1, k])
        for name in names
        for k in range(few)
    }
    yield Unit("by_size, all examples", told, last, moves=False)
    for place in case.picked("sizes", len(arrays["by_size/n"]) - 1, 1):
        n = int(arrays["by_size/n"][place])
        stored: dict[Key, Stored] = {}
        for k in range(few):
            value, residual = (float(arrays[f"by_size/{name}"][place, k]) for name in names[:2])
            where = f"{n:,} examples, {k + 1}"
            room = 2 * max(residual, float(attrs["tol"]) * abs(value))
            stored["by_size/eigenvalues", where] = Stored(value, room + 1e-5 * abs(value))
            error = float(arrays["by_size/eigenvalue_se"][place, k])
            # A vector is known to its residual over the gap to its neighbours, and its error to that.
            stored["by_size/eigenvalue_se", where] = near(error, rounding=5e-2)

        def solved(nets: Nets, n: int = n) -> dict[Key, float]:
            values, _, errors = of_size(
                frozen(nets[0]),
                case.data,
                case.examples,
                n,
                few,
                seed=int(attrs["seed"]),
                which=str(attrs["which"]),
                tol=float(attrs["tol"]),
                guard=attrs["guard_passed"] is not None,
            )
            held = {"by_size/eigenvalues": values, "by_size/eigenvalue_se": errors}
            return {
                (name, f"{n:,} examples, {k + 1}"): float(found[k]) for name, found in held.items() for k in range(few)
            }

        yield Unit(f"by_size, {n:,} examples", stored, solved)


def reattack(case: Case, objective: Callable[[nn.Module], Objective]) -> Iterator[Unit]:
    """Yield the unit of the adversary that moves: one chunk of the examples, attacked anew at every place."""
    arrays = case.arrays
    if "reattack/h" not in arrays:
        return
    h, n = arrays["reattack/h"], len(arrays["reattack/index"])
    chunk = case.picked("chunks", -(-n // CHUNK), 1)[0]
    part = slice(chunk * CHUNK, min((chunk + 1) * CHUNK, n))
    for d, pair in enumerate(arrays["reattack/direction"].tolist()):
        if not 1 <= pair <= len(arrays["eigenvectors"]):
            continue
        stored: dict[Key, Stored] = {}
        for step, size in enumerate(h.tolist()):
            for name in (*_DIFFERENCES, *_SLOPES):
                values = arrays[f"reattack/{name}"][d, step, part]
                scale = float(np.abs(values).mean())
                # A loss is known to some float epsilons, and a difference divides by the step, or its square.
                noise = 1e-6 * abs(float(case.attrs["loss"])) / size ** (2 if name in _DIFFERENCES else 1)
                stored[f"reattack/{name}, mean of {part.stop - part.start} examples", f"v_{pair}, h = {size:g}"] = (
                    Stored(float(values.mean()), 1e-3 * scale + noise + 1e-9)
                )

        def measured(nets: Nets, d: int = d, pair: int = pair) -> dict[Key, float]:
            whole = objective(nets[0])
            v = as_tensor(arrays["eigenvectors"][pair - 1], nets[0])
            found = Line(whole, h.tolist()).measure(v / v.norm(), part)
            numbers: dict[Key, float] = {}
            for name in (*_DIFFERENCES, *_SLOPES):
                values = np.asarray(found[name], dtype=np.float64)
                values = values + (whole.weight_decay if name in _DIFFERENCES else 0.0)
                for step, size in enumerate(h.tolist()):
                    key = f"reattack/{name}, mean of {part.stop - part.start} examples", f"v_{pair}, h = {size:g}"
                    numbers[key] = float(values[step].mean())
            return numbers

        yield Unit(f"reattack along v_{pair}", stored, measured)


def _whole(case: Case) -> bool:
    return len(case.arrays["eigenvectors"]) == len(case.arrays["eigenvalues"])


def _signs(vectors: torch.Tensor, stored: np.ndarray) -> torch.Tensor:
    """Return the signs (k, 1) that turn orthonormal rows (k, P) the way of those in the file."""
    held = torch.from_numpy(stored).to(vectors)
    return torch.sign((vectors * held).sum(1, keepdim=True))
