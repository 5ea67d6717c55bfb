"""The last judgement of a run: what the trained net makes of both splits, clean and attacked."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..attacks import PGD, make_ball
from ..data import ImageData
from ..losses import Loss, cross_entropy
from .accuracy import Progress, collapsed, judge
from .recipe import Recipe

# It takes at most this many examples of each split: all of every test set at hand, and of a larger training set as
# many, so that it costs a fraction of an epoch.
FINAL_EXAMPLES = 10_000


def final_errors(
    model: nn.Module,
    train_data: ImageData,
    test_data: ImageData | None,
    recipe: Recipe,
    *,
    device: str | torch.device = "cpu",
    loss: Loss = cross_entropy,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return a trained net's clean and robust loss (nats) and error (fraction) on both splits, as plain Python.

    Keys are `clean_train_loss`, `robust_test_error` and so on, NaN where there is no test split; `train_examples` and
    `test_examples` say on how many, `attack` under which attack (the best of its iterates), and `collapsed` whether the
    net has become a constant classifier. Errors are NaN where labels are numbers.
    """
    attack = PGD(make_ball(recipe.norm, recipe.eps))
    final: dict[str, Any] = {"attack": str(attack)}
    for split, data in (("train", train_data), ("test", test_data)):
        n = 0 if data is None else min(len(data), FINAL_EXAMPLES)
        final[f"{split}_examples"] = n
        for kind, adversary in (("clean", None), ("robust", attack)):
            mean = error = float("nan")
            if data is not None:
                outcome = judge(
                    model, data, adversary, n=n, seed=recipe.seed, device=device, loss=loss, progress=progress
                )
                mean, error = outcome.loss, outcome.error
                if (split, kind) == ("train", "clean"):
                    final["collapsed"] = collapsed(outcome, loss=loss)
            final[f"{kind}_{split}_loss"], final[f"{kind}_{split}_error"] = mean, error
    return final
