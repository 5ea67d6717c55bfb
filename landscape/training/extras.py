"""What a run records now and then if asked: norms by layer, the clean gradient beside the attacked, lambda_1."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..curvature import HessianOperator, top_eigenpairs
from ..data import ImageData, select
from ..distributed import ALONE, Group
from ..errors import LandscapeError
from ..losses import Loss, cross_entropy
from ..objective import Objective
from ..streams import stream_key
from .forward import Forward, restored
from .recipe import Recipe
from .recorder import mean_share

logger = logging.getLogger(__name__)

EXTRAS = ("layers", "cosine", "lambda1")
LAMBDA_EXAMPLES = 256
LAMBDA_PRODUCTS = 16  # a residual of some per cent of lambda_1, which stands beside it
_COLUMNS = {
    "layers": ("layer_gradient_norm",),
    "cosine": ("clean_loss", "clean_gradient_norm", "gradient_cosine"),
    "lambda1": ("lambda_1", "lambda_1_residual"),
}


class Extras:
    """Records what `which` names, at the weights before an update, at every `every`-th row of the traces.

    layers: the norm of the mini-batch's gradient in each layer, a module with parameters of its own.
    cosine: loss and gradient of the same mini-batch not attacked, in train mode too, and the cosine of both gradients.
    lambda1: the largest Hessian eigenvalue on fixed training examples, in eval mode, under the attack of training at
    the present eps, the adversary frozen, by 16 Lanczos products, and its residual.

    None of them moves the run: the net's buffers and the generators are put back.
    """

    def __init__(
        self,
        model: nn.Module,
        data: ImageData,
        recipe: Recipe,
        which: Sequence[str],
        *,
        every: int,
        group: Group = ALONE,
        loss: Loss = cross_entropy,
    ) -> None:
        self.loss = loss
        self.which, self.every = tuple(which), every
        self._model, self._recipe, self._group = model, recipe, group
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        layers: dict[str, list[nn.Parameter]] = {}
        seen: set[int] = set()
        for name, module in model.named_modules():
            for parameter in module.parameters(recurse=False):
                if parameter.requires_grad and id(parameter) not in seen:
                    seen.add(id(parameter))
                    layers.setdefault(name or "net", []).append(parameter)
        self.layers = list(layers) if "layers" in self.which else []
        self._layers = list(layers.values())
        self._examples = select(data, min(LAMBDA_EXAMPLES, len(data)), seed=recipe.seed)
        self._rows: dict[int, dict[str, Any]] = {}
        self._failed = False

    @property
    def attributes(self) -> dict[str, Any]:
        """What the file says about these columns."""
        told: dict[str, Any] = {"extras_every": self.every}
        if self.layers:
            told["layers"] = self.layers
        if "lambda1" in self.which:
            told["lambda_1_examples"] = len(self._examples)
        return told

    def wants(self, row: int) -> bool:
        """Say whether a row, by its number, gets these."""
        return row % self.every == 0

    def record(self, step: int, forward: Forward, clean: Tensor, labels: Tensor, *, count: int, eps: float) -> None:
        """Take the values of a step, once its gradients are there; `clean` (n, ...) is this process's share."""
        found: dict[str, Any] = {}
        if "layers" in self.which:
            norms = [_norm([_gradient(parameter) for parameter in layer]) for layer in self._layers]
            found["layer_gradient_norm"] = torch.stack(norms).double().tolist()
        if "cosine" in self.which:
            found |= self._cosine(forward, clean, labels, count)
        if "lambda1" in self.which and self._group.leads:
            found |= self._lambda(step, eps)
        self._rows[step] = found

    def arrays(self, steps: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns (T,), and (T, layer), for the rows of these steps (T,); NaN where nothing was measured."""
        places = {int(step): place for place, step in enumerate(steps)}
        arrays = {}
        for name in (name for which in self.which for name in _COLUMNS[which]):
            shape = (len(steps), len(self.layers)) if name == "layer_gradient_norm" else (len(steps),)
            arrays[name] = np.full(shape, np.nan)
            for step, found in self._rows.items():
                if step in places:
                    arrays[name][places[step]] = found.get(name, math.nan)
        return arrays

    def state(self) -> list[Any]:
        """Return all that resumed rows go on from."""
        return [[step, dict(found)] for step, found in self._rows.items()]

    def load_state(self, state: Sequence[Any]) -> None:
        """Go on from a state."""
        self._rows = {int(step): dict(found) for step, found in state}

    def _cosine(self, forward: Forward, clean: Tensor, labels: Tensor, count: int) -> Mapping[str, float]:
        with restored(self._model, forward.device):
            loss = mean_share(forward(clean), labels, count, self.loss)
            found = torch.autograd.grad(loss, self._parameters, materialize_grads=True)
        gradients = [gradient.clone() for gradient in found]
        loss = loss.detach()
        self._group.sum([loss, *gradients])
        norms = [_norm(gradients), _norm([_gradient(parameter) for parameter in self._parameters])]
        pairs = zip(gradients, self._parameters, strict=True)
        product = torch.stack([(mine * _gradient(parameter)).sum().double() for mine, parameter in pairs]).sum()
        mine, theirs, product = torch.stack([*(norm.double() for norm in norms), product]).tolist()
        cosine = product / (mine * theirs) if mine * theirs > 0 else math.nan
        return dict(zip(_COLUMNS["cosine"], (float(loss), mine, cosine), strict=True))

    def _lambda(self, step: int, eps: float) -> Mapping[str, float]:
        examples, recipe = self._examples, self._recipe
        objective = Objective(
            self._model,
            examples.images,
            examples.labels,
            attack=recipe.attack_at(eps) if eps > 0 else None,
            loss=self.loss,
            seed=recipe.seed,
            indices=examples.indices,
        )
        generator = torch.Generator().manual_seed(stream_key(recipe.seed, f"lambda1/step{step}") % 2**63)
        most = min(LAMBDA_PRODUCTS, objective.n_parameters)
        try:
            frozen = objective.freeze()
            pairs = top_eigenpairs(
                HessianOperator(frozen, frozen.w0), 1, tol=1e-2, guard=False, max_products=most, generator=generator,
                strict=False,
            )  # fmt: skip
        except (LandscapeError, RuntimeError, np.linalg.LinAlgError) as error:  # no second derivative; not finite
            if not self._failed:
                said = str(error).partition("\n")[0]
                logger.warning(
                    "caution: lambda_1 could not be measured at step %d (%s); its rows stay empty", step, said
                )
            self._failed = True
            return {}
        return {"lambda_1": float(pairs.values[0]), "lambda_1_residual": float(pairs.residuals[0])}


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(torch._foreach_norm([tensor.detach() for tensor in tensors])).norm()
