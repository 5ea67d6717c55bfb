"""Several nets as one classifier: the mean of their probabilities, as log-probabilities that an attack can climb."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..spec import nearest

JOINS = ("softmax", "logits")


class Ensemble(nn.Module):
    """Nets whose outputs are joined: `join` "softmax" is the log of the mean softmax, "logits" the mean of the logits.

    The log of the mean is taken by log-sum-exp of log-probabilities, so that it has a gradient also where every member
    is certain: there, the softmax itself rounds to 1 and its gradient to 0.
    """

    def __init__(self, members: Sequence[nn.Module], *, join: str = "softmax") -> None:
        super().__init__()
        if join not in JOINS:
            raise UsageError(f"join = {join!r} in an ensemble; {nearest(join, JOINS)}")
        if not members:
            raise UsageError("an ensemble of no nets came; wanted at least one")
        self.members = nn.ModuleList(members)
        self.join = join

    def forward(self, images: Tensor) -> Tensor:
        """Return the joined scores (N, K) of images (N, C, H, W); raise UsageError where members differ in K."""
        outputs = [member(images) for member in self.members]
        shapes = [tuple(output.shape[1:]) for output in outputs]
        if len(set(shapes)) > 1:
            counts = ", ".join("x".join(map(str, shape)) for shape in shapes)
            raise UsageError(f"the members of the ensemble give different numbers of scores ({counts}); wanted as many")
        stacked = torch.stack(outputs)
        if self.join == "logits":
            return stacked.mean(0)
        return stacked.log_softmax(2).logsumexp(0) - math.log(len(outputs))
