"""The examples behind the leading eigenvalues of a Hessian, as arrays of its result: what each adds, and what it is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape.curvature import ExampleTerms
from landscape.data import to_unit
from landscape.objective import Objective
from landscape.results.concentration import ranked

SHARPEST = 10  # examples whose images are kept


def examples_beside(
    frozen: Objective, terms: ExampleTerms, outputs: Tensor, losses: Tensor, clean_losses: Tensor
) -> dict[str, np.ndarray]:
    """Return the arrays `examples/...` of n examples: their `terms` along the leading vectors, and what each one is.

    outputs (n, ...) and losses (n,) are those of the attacked images. Predicted class, strongest other class ("rival")
    and margin are left out where the outputs are no scores of classes.
    """
    most = ranked(terms.curvature[0])[:SHARPEST]
    arrays: dict[str, Tensor | np.ndarray] = {
        "index": frozen.indices,
        "label": frozen.labels,
        "loss": losses,
        "clean_loss": clean_losses,
        **terms._asdict(),
        "sharpest": frozen.indices[most],
        "image": to_unit(frozen.images[most]),
    }
    if are_scores(outputs, frozen.labels):
        margin, rival = margins(outputs.double(), frozen.labels)
        arrays |= {"predicted": outputs.argmax(1), "margin": margin, "rival": rival}
    return {
        f"examples/{name}": value.cpu().numpy() if isinstance(value, Tensor) else value
        for name, value in arrays.items()
    }


def are_scores(outputs: Tensor, labels: Tensor) -> bool:
    """Return whether outputs (n, ...) are scores of two classes or more, the labels (n,) among them."""
    return outputs.dim() == 2 and labels.dim() == 1 and outputs.shape[1] > max(1, int(labels.max()))


def margins(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the score of each label less the largest other one (n,), negative where it is wrong; and whose that is."""
    own = labels.unsqueeze(1)
    largest, rival = scores.scatter(1, own, -torch.inf).max(1)
    return scores.gather(1, own).squeeze(1) - largest, rival
