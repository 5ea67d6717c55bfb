"""A Krylov space of a symmetric operator, from one start or several, kept orthonormal in float64."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import LandscapeError
from .basis import combine, dot, replace, subtract

_PASSES = 4  # reorthogonalisation stops earlier, as soon as a pass takes away less than half of the vector
_BREAKDOWN = 1e-13  # relative length below which a new direction is rounding error


class SymmetricOperator(Protocol):
    """What the solvers need of a matrix: its shape, where it lives, and its product with a vector (P,)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(P, P)."""

    @property
    def device(self) -> torch.device:
        """Where vectors live."""

    def __matmul__(self, v: Tensor) -> Tensor: ...


class KrylovSpace:
    """Orthonormal rows v_1..v_p whose products with H are known, and pending rows that those products opened up.

    Holds H V_p' = V' S with V (p + pending, P) and S (p + pending, p): the top square of S is H compressed to the
    space, its rows below are the couplings to the pending vectors, and so the residuals. One start gives Lanczos'
    recurrence; more starts (`inject`) give a band; Ritz vectors in place of the rows (`restart`) give the thick restart
    of Wu and Simon (2000). What is reckoned is float64 whatever the precision of H: in float32 the residuals would lie.
    The rows lie where H does unless `home` is elsewhere, and may be stored in less (`stored`), rounded as they come in.
    """

    def __init__(
        self,
        H: SymmetricOperator,
        capacity: int,
        generator: torch.Generator,
        *,
        home: torch.device | None = None,
        stored: torch.dtype = torch.float64,
    ) -> None:
        self.H = H
        self.home = H.device if home is None else home
        self.generator = generator
        self.dimension = H.shape[0]
        self.processed = 0
        self.size = 0
        self.scale = 0.0
        self.asymmetry = 0.0  # largest |v_i'Hv_j - v_j'Hv_i| met so far
        self.rows = torch.empty(0, self.dimension, dtype=stored, device=self.home)
        self.coupling = np.zeros((0, 0))
        self.widen(capacity)

    @property
    def capacity(self) -> int:
        """Number of rows that there is memory for."""
        return len(self.rows)

    @property
    def pending(self) -> int:
        """Number of orthonormal vectors whose products are not known yet."""
        return self.size - self.processed

    @property
    def exhausted(self) -> bool:
        """Whether the space is all of R^P, so that its Ritz pairs are exact."""
        return self.processed == self.dimension

    @property
    def room(self) -> int:
        """Number of rows that can still be added."""
        return self.capacity - self.size

    def widen(self, capacity: int) -> None:
        """Make room for `capacity` rows, or for as many as there are dimensions."""
        rows, coupling = self.rows, self.coupling
        capacity = min(capacity, self.dimension)
        self.rows = rows.new_empty(capacity, self.dimension)
        self.coupling = np.zeros((capacity, capacity))
        self.rows[: self.size] = rows[: self.size]
        self.coupling[: self.size, : self.size] = coupling[: self.size, : self.size]

    def deflate(self, values: np.ndarray, vectors: Tensor) -> None:
        """Add orthonormal eigenvectors (m, P) with their values (m,) to the processed rows, and drop what is pending.

        Every later direction is orthogonal to them: the space grows in the complement of what is known.
        """
        m = len(values)
        self.truncate(self.processed)
        self.rows[self.size : self.size + m] = vectors
        self.coupling[self.size : self.size + m, :] = 0
        self.coupling[:, self.size : self.size + m] = 0
        self.coupling[range(self.size, self.size + m), range(self.size, self.size + m)] = values
        self.processed = self.size = self.size + m
        self.scale = float(np.abs(values).max(initial=self.scale))

    def truncate(self, rows: int) -> None:
        """Forget all but the first `rows` processed rows."""
        self.processed = self.size = rows

    def inject(self) -> bool:
        """Add a random direction, orthogonal to all the rows, as the last pending one; False where none is left."""
        if self.size >= self.dimension:
            return False
        start = torch.randn(self.dimension, dtype=torch.float64, generator=self.generator).to(self.home)
        start /= start.norm()
        _, length = self._orthogonalise(start, scale=1.0)
        self._append(start / length)
        return True

    def expand(self, pending: int = 0) -> None:
        """Multiply one pending vector by H, and append the new direction that this opens, if it opens one.

        Raises LandscapeError where the product is not finite.
        """
        p = self.processed
        # The operator may be of another precision: a float32 matrix multiplies float32 vectors.
        sent = self.rows[p + pending].to(self.H.device, getattr(self.H, "dtype", torch.float64))
        product = (self.H @ sent).to(self.home, torch.float64)
        norm = float(product.norm())
        if not math.isfinite(norm):
            raise LandscapeError(
                "a Hessian product is not finite, so no eigenvalue can be found; check the net's weights and its loss"
            )
        self._swap(p, p + pending)  # after the product: one that is interrupted leaves the space as it was
        row = self.rows[p].to(torch.float64)
        self.scale = max(self.scale, norm)
        # By symmetry the components along the processed rows are known; what the full passes then find is rounding.
        known = np.flatnonzero(self.coupling[p, :p])
        coefficients = torch.zeros(self.size, dtype=torch.float64)
        coefficients[known] = torch.from_numpy(self.coupling[p, known])
        for i in known:
            product -= self.coupling[p, i] * self.rows[i].to(torch.float64)
        diagonal = float(row @ product)
        product -= diagonal * row
        coefficients[p] = diagonal
        corrections, length = self._orthogonalise(product, scale=self.scale)
        self.asymmetry = max(self.asymmetry, float(corrections[:p].abs().max()) if p else 0.0)
        coefficients += corrections
        self.coupling[: self.size, p] = coefficients.numpy()
        self.processed += 1
        if length > _BREAKDOWN * self.scale and self.size < self.capacity:
            self._append(product / length)
            self.coupling[self.size - 1, p] = length

    def ritz(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the Ritz values (p,), ascending, their coordinates in the rows (p, p) as columns, and residuals."""
        p = self.processed
        square = self.coupling[:p, :p]
        values, coordinates = np.linalg.eigh((square + square.T) / 2)
        residuals = np.linalg.norm(self.coupling[p : self.size, :p] @ coordinates, axis=0)
        return values, coordinates, residuals

    def vectors(self, coordinates: np.ndarray) -> Tensor:
        """Return the vectors (m, P) that coordinates (p, m) in the first p rows stand for."""
        return combine(torch.from_numpy(coordinates.T.copy()).to(self.home), self.rows[: len(coordinates)])

    def restart(self, values: np.ndarray, coordinates: np.ndarray) -> None:
        """Put m Ritz vectors, values (m,) and coordinates (p, m), in place of the processed rows; keep the pending."""
        p, m, pending = self.processed, len(values), self.pending
        border = self.coupling[p : self.size, :p] @ coordinates
        replace(torch.from_numpy(coordinates.T.copy()).to(self.home), self.rows[: self.size], pending)
        self.coupling[:] = 0
        self.coupling[:m, :m] = np.diag(values)
        self.coupling[m : m + pending, :m] = border
        self.processed, self.size = m, m + pending

    def state(self) -> dict[str, np.ndarray]:
        """Return all that `load` needs to go on bit for bit: views of arrays that the next step changes."""
        return {
            "rows": _in_numpy(self.rows[: self.size].cpu()),
            "coupling": self.coupling[: self.size, : self.size],
            "counts": np.array([self.processed, self.size, self.capacity]),
            "scale": np.array([self.scale, self.asymmetry]),
            "generator": self.generator.get_state().numpy(),
        }

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `state` returned."""
        self.size = 0
        processed, size, capacity = (int(count) for count in state["counts"])
        if capacity != self.capacity:
            self.widen(capacity)
        self.processed, self.size = processed, size
        self.rows[: self.size] = torch.from_numpy(state["rows"]).to(self.rows.device)
        self.coupling[:] = 0
        self.coupling[: self.size, : self.size] = state["coupling"]
        self.scale, self.asymmetry = (float(size) for size in state["scale"])
        self.generator.set_state(torch.from_numpy(state["generator"]))

    def _append(self, row: Tensor) -> None:
        self.rows[self.size] = row
        self.coupling[self.size, :] = 0
        self.size += 1

    def _swap(self, i: int, j: int) -> None:
        if i != j:
            self.rows[[i, j]] = self.rows[[j, i]]
            self.coupling[[i, j], :] = self.coupling[[j, i], :]

    def _orthogonalise(self, vector: Tensor, *, scale: float) -> tuple[Tensor, float]:
        """Take the rows' components out of `vector` (P,), in place; return them (size,) and the length that is left."""
        rows = self.rows[: self.size]
        total = torch.zeros(self.size, dtype=torch.float64)
        before = float(vector.norm())
        for _ in range(_PASSES):
            components = dot(rows, vector)
            subtract(vector, components, rows)
            total += components.cpu()
            after = float(vector.norm())
            if after > before / 2 or after <= _BREAKDOWN * scale:
                break
            before = after
        return total, after


def _in_numpy(rows: Tensor) -> np.ndarray:
    # NumPy has no bfloat16; float32 holds it exactly.
    found: np.ndarray = (rows.float() if rows.dtype == torch.bfloat16 else rows).numpy()
    return found
