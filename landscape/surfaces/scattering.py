"""One net and its adversary as the weights move: how perturbations and gradients turn, beside what chance gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..attacks import PGD
from ..attacks.feasible import Likeness, likeness, random_vertices
from ..borrow import evaluating, full_precision
from ..curvature import standard_error
from ..errors import LandscapeError
from ..objective import Objective
from ..replica import Replica
from ..streams import example_streams
from .parts import STATISTICS, gram_of, statistics_of, with_errors

GROUPS = 20  # of examples, behind the errors of gradients; fewer for a large net
_FEWEST, _KEPT_GRADIENTS = 5, 256 * 2**20  # bytes of gradients that are kept by group
_AT_ONCE = 2  # batches: an attack keeps no graph beyond its step
SHARED, OTHER, VERTICES = "attack", "scattering/other", ("scattering/vertex0", "scattering/vertex1")
PAIRS = ("perturbation", "zero_start")
BASELINES = ("random", "restart", "zero")


class Origin:
    """The net at its own weights w0 under one attack (None: eps is 0), and what is compared with it elsewhere.

    Everywhere each example is attacked from the same random start, so that at w0 itself nothing has moved; the
    zero-start variant begins at the clean image. `single` examples have their gradients taken one by one as well.
    """

    def __init__(self, objective: Objective, attack: PGD | None, *, single: int) -> None:
        self.objective, self.attack = objective, attack
        self.w0 = objective.w0
        self.places = torch.arange(single) * objective.n // max(single, 1)
        room = _KEPT_GRADIENTS // (4 * self.w0.nbytes)
        self.groups = min(max(_FEWEST, min(GROUPS, room)), objective.n)
        self._replica: tuple[nn.Module, Replica] | None = None

    @cached_property
    def images(self) -> dict[str, Tensor]:
        """The adversarial images (n, ...) at w0, for the shared start and for the zero start."""
        return self.attacked(self.objective.model, self.w0)

    @cached_property
    def gradients(self) -> Tensor:
        """The gradients (K, P) at w0, sums over each group."""
        return self._by_group(self.objective.model, self.images["perturbation"], self.w0)

    @cached_property
    def losses(self) -> Tensor:
        """The losses (n,) at w0, float64."""
        return self.fixed(self.objective.model, self.images["perturbation"]).losses(self.w0).double()

    def baselines(self) -> dict[str, float]:
        """Return the means over examples, with their errors, of what needs no move of the weights.

        `random`: two random vertices of the feasible box. `restart`: two random starts of the attack. `zero`: a random
        start and the zero start.
        """
        found: dict[str, float] = {}
        if self.attack is None:
            pairs = dict.fromkeys(BASELINES, _nothing(self.objective.n))
        else:
            ball, clean, own = self.attack.ball, self._clean, self.images
            indices = self.objective.indices.tolist()
            vertices = [
                random_vertices(ball, clean, example_streams(self.objective.seed, name, indices)) for name in VERTICES
            ]
            other = self._attack(self.objective.model, self.w0, self.attack, OTHER)
            pairs = {
                "random": likeness(ball, clean, *vertices),
                "restart": likeness(ball, clean, own["perturbation"], other),
                "zero": likeness(ball, clean, own["perturbation"], own["zero_start"]),
            }
        for name, pair in pairs.items():
            for kind, values in pair._asdict().items():
                found |= _mean(f"{name}_{kind}", values)
        return found

    def point(self, model: nn.Module, w: Tensor) -> dict[str, Any]:
        """Return what `kinds.scattering` holds of one point: w (P,), the net's buffers being those of `model`."""
        start, there = self.images, self.attacked(model, w)
        own = self.fixed(model, there["perturbation"])
        losses = own.losses(w).double()
        bad = int((~torch.isfinite(losses)).sum())
        if bad:
            distance = float((w.double() - self.w0.double()).norm() / self.w0.double().norm())
            raise LandscapeError(
                f"at a distance of {distance:.3g} ||w|| the loss is not finite on {bad} of {len(losses)} examples; "
                "give smaller --radii"
            )
        held = self.fixed(model, start["perturbation"]).losses(w).double()
        found: dict[str, Any] = {
            "loss": float(losses.mean()),
            "loss_se": float(standard_error(losses.cpu().numpy())),
            "loss_frozen": float(held.mean()),
            **self._turned(start, there),
        }
        weights_first = self._by_group(model, start["perturbation"], w)
        adversary_first = self._by_group(self.objective.model, there["perturbation"], self.w0)
        end = self._by_group(model, there["perturbation"], w)
        found |= with_errors(gram_of(self.gradients, weights_first, adversary_first, end), self._sizes)
        if len(self.places):
            found |= self._one_by_one(model, w, start["perturbation"], there["perturbation"])
        return found

    def attacked(self, model: nn.Module, w: Tensor) -> dict[str, Tensor]:
        """Return the adversarial images (n, ...) at w (P,) for the shared start and for the zero start."""
        if self.attack is None:
            return dict.fromkeys(PAIRS, self._clean)
        return {
            "perturbation": self._attack(model, w, self.attack, SHARED),
            "zero_start": self._attack(model, w, replace(self.attack, start="zero", restarts=1), SHARED),
        }

    def loss_at(self, model: nn.Module, w: Tensor) -> float:
        """Return L_eps at w (P,), attacked there from the shared start."""
        images = self._clean if self.attack is None else self._attack(model, w, self.attack, SHARED)
        return float(self.fixed(model, images).losses(w).double().mean())

    def fixed(self, model: nn.Module, images: Tensor) -> Objective:
        """Return the objective of a net at fixed images (n, ...)."""
        source = self.objective
        return Objective(
            model,
            images,
            source.labels,
            loss=source.loss,
            batch_size=source.batch_size,
            seed=source.seed,
            indices=source.indices,
        )

    @cached_property
    def _clean(self) -> Tensor:
        return torch.cat([batch.images for batch in self.objective.batches()])

    @cached_property
    def _sizes(self) -> np.ndarray:
        return np.array([len(range(k, self.objective.n, self.groups)) for k in range(self.groups)])

    def _attack(self, model: nn.Module, w: Tensor, attack: PGD, name: str) -> Tensor:
        objective = self.objective
        if self._replica is None or self._replica[0] is not model:
            self._replica = model, Replica(self.fixed(model, self._clean))  # one at a time: a copy may be large
        network = self._replica[1].at(objective.space.named(w))

        def work(batch: Any) -> Tensor:
            def noise(restart: int) -> list[np.random.Generator]:
                return example_streams(objective.seed, f"{name}/restart{restart}", batch.indices.tolist())

            return attack(network, batch.images, batch.labels, noise=noise, loss=objective.loss)

        with evaluating(model), full_precision():
            return torch.cat(list(objective.over_batches(work, batches_at_once=_AT_ONCE)))

    def _by_group(self, model: nn.Module, images: Tensor, w: Tensor) -> Tensor:
        """Return the sums (K, P) of the gradients at fixed images over each group: every K-th example."""
        fixed = self.fixed(model, images)
        rows = torch.empty(self.groups, fixed.n_parameters, dtype=fixed.dtype, device=fixed.device)
        for k in range(self.groups):
            part = fixed.part(torch.arange(k, fixed.n, self.groups))
            rows[k] = part.n * part.gradient(w)
        return rows

    def _one_by_one(self, model: nn.Module, w: Tensor, start: Tensor, there: Tensor) -> dict[str, Any]:
        own = self.objective.model
        rows: dict[str, list[float]] = {name: [] for name in STATISTICS}
        corners = [(own, start, self.w0), (model, start, w), (own, there, self.w0), (model, there, w)]
        fixed = [(self.fixed(net, images), point) for net, images, point in corners]
        for place in self.places:
            gradients = [part.part(place[None]).gradient(point)[None] for part, point in fixed]
            for name, value in statistics_of(gram_of(*gradients)[:, 0, :, 0]).items():
                rows[name].append(float(value))
        return {f"single/{name}": np.array(values) for name, values in rows.items()}

    def _turned(self, start: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in PAIRS:
            pair = (
                likeness(self.attack.ball, self._clean, start[name], there[name])
                if self.attack is not None
                else _nothing(self.objective.n)
            )
            prefix = "" if name == "perturbation" else f"{name}_"
            found[f"{prefix}undefined"] = float(pair.cosine.isnan().double().mean())
            for kind, values in pair._asdict().items():
                key = f"{name}_cosine" if kind == "cosine" else f"{prefix}{kind}"
                found |= _mean(key, values)
                found[f"examples/{key}"] = values.cpu().numpy()
        order = torch.inf if self.attack is None or self.attack.ball.norm == "linf" else 2
        moved = (there["perturbation"].double() - start["perturbation"].double()).flatten(1).norm(p=order, dim=1)
        return found | _mean("perturbation_distance", moved)


def _nothing(n: int) -> Likeness:
    """Return what n examples have without an attack."""
    return Likeness(*(torch.full((n,), torch.nan, dtype=torch.float64) for _ in Likeness._fields))


def _mean(name: str, values: Tensor) -> dict[str, float]:
    """Return the mean over the examples that have a value, and its standard error."""
    known = values[~torch.isnan(values)].cpu().numpy()
    if not known.size:
        return {name: float("nan"), f"{name}_se": float("nan")}
    return {name: float(known.mean()), f"{name}_se": float(standard_error(known))}
