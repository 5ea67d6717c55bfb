"""Adversarial training: attack each batch in eval mode, learn from it in train mode (Madry et al. 2018)."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..borrow import full_precision, in_mode
from ..data import ImageData, as_data, random_crop_flip, to_unit
from ..errors import LandscapeError, UsageError
from ..streams import example_streams, stream, stream_key
from ..units import format_eps
from .batches import batch_bounds, epoch_order
from .recipe import Recipe, as_recipe

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
OnEpoch = Callable[[dict[str, Any]], None]

# A device is asked for its losses this often (in batches): rarely enough to cost nothing, often enough to stop a
# diverged run early.
_CHECK_EVERY = 50


def train(
    model: nn.Module,
    data: Any,
    recipe: Recipe | None = None,
    *,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Train a net in place and return its history: per epoch its number (from 1), eps, lr, adversarial loss and error.

    `data` is (images, labels), a Dataset, a DataLoader (its examples: the batches are the recipe's) or ImageData. The
    settings are a Recipe, or its fields by name: `train(net, data, eps=0.1, epochs=2)`.

    Loss (nats) and error (fraction) are means over the epoch's examples as they were met, attacked and in train mode;
    eps and lr are those of the epoch's last batch. `on_epoch` gets each record as it is made, with the net as it then
    is. The net moves to `device` (left out: it stays where it is), and is left there in the mode it came in. Every
    random choice follows from the recipe's seed; the global generators are left as they were. Raises LandscapeError
    when the loss is no longer finite, UsageError for what `check_trainable` refuses, DataError for data that are no
    images.
    """
    recipe = as_recipe(recipe, settings)
    data = as_data(data)
    check_trainable(model, data, recipe)
    recipe = recipe.resolved(data.spec)
    bounds = batch_bounds(len(data), recipe.batch_size)
    device = next(model.parameters()).device if device is None else torch.device(device)
    model.to(device)
    optimizer = _make_optimizer(model, recipe)
    images, labels = data.images.to(device), data.labels.to(device)
    history = []
    with full_precision(), in_mode(model, training=True):
        for epoch in range(recipe.epochs):
            with _seeded(recipe.seed, f"net/epoch{epoch}", device):
                record = _run_epoch(model, optimizer, images, labels, bounds, recipe, epoch, progress)
            history.append(record)
            _log(record, recipe.epochs)
            if on_epoch is not None:
                on_epoch(record)
    optimizer.zero_grad()
    return history


def check_trainable(model: nn.Module, data: ImageData, recipe: Recipe) -> None:
    """Raise UsageError for a batch that the data or BatchNorm cannot fill, and for a net with nothing to train."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError("the net has no parameter to train; leave requires_grad on for at least one")
    smallest = min(end - start for start, end in batch_bounds(len(data), recipe.batch_size))
    if smallest == 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise UsageError("a batch of one example has no variance for BatchNorm; give --batch-size 2 or more")


def _run_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    bounds: list[tuple[int, int]],
    recipe: Recipe,
    epoch: int,
    progress: Progress | None,
) -> dict[str, Any]:
    device, n = labels.device, len(labels)
    dtype = next(model.parameters()).dtype
    order = epoch_order(n, seed=recipe.seed, epoch=epoch)
    flips = stream(recipe.seed, f"augment/epoch{epoch}")
    losses = torch.zeros(len(bounds), dtype=torch.float64, device=device)  # summed over each batch's examples
    wrong = torch.zeros(len(bounds), dtype=torch.int64, device=device)
    checked = 0
    for batch, (start, end) in enumerate(bounds):
        eps, lr = recipe.at(epoch + batch / len(bounds))
        rows = order[start:end]
        index = torch.from_numpy(rows).to(device)
        x, y = images[index], labels[index]
        if recipe.augment:
            x = random_crop_flip(x, flips)
        x = to_unit(x, device=device, dtype=dtype)
        if eps > 0:
            noise = partial(_starts, recipe.seed, epoch, rows)
            x = recipe.attack_at(eps)(model, x, y, noise=noise)
        logits, loss = _step(model, optimizer, x, y, lr)
        losses[batch] = loss * len(rows)
        wrong[batch] = (logits.argmax(1) != y).sum()
        if batch + 1 == len(bounds) or (batch + 1) % _CHECK_EVERY == 0:
            _check_losses(losses[checked : batch + 1], epoch, checked, eps, lr)
            checked = batch + 1
        if progress is not None:
            progress("training", epoch * len(bounds) + batch + 1, recipe.epochs * len(bounds))
    return {"epoch": epoch + 1, "eps": eps, "lr": lr, "loss": losses.sum().item() / n, "error": wrong.sum().item() / n}


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad()
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    optimizer.step()
    return logits.detach(), loss.detach()


def _starts(seed: int, epoch: int, rows: np.ndarray, restart: int) -> list[np.random.Generator]:
    return example_streams(seed, f"attack/epoch{epoch}/restart{restart}", rows)


def _make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    lr = recipe.lr_at(0)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    return torch.optim.Adam(parameters, lr=lr, betas=(recipe.momentum, 0.999), weight_decay=recipe.weight_decay)


def _check_losses(losses: Tensor, epoch: int, first: int, eps: float, lr: float) -> None:
    values = losses.tolist()
    for batch, value in enumerate(values, start=first + 1):
        if not math.isfinite(value):
            raise LandscapeError(
                f"the loss became {value:g} in epoch {epoch + 1}, batch {batch} (eps = {format_eps(eps)}, "
                f"lr = {lr:g}); try a smaller learning rate (--lr {lr / 10:g}) or a warm-up (--eps-schedule linear)"
            )


def _log(record: dict[str, Any], epochs: int) -> None:
    eps, error = format_eps(record["eps"]), 100 * record["error"]
    logger.info("epoch %d/%d: eps %s, loss %.4g, error %.2f %%", record["epoch"], epochs, eps, record["loss"], error)


@contextlib.contextmanager
def _seeded(seed: int, name: str, device: torch.device) -> Iterator[None]:
    # Dropout and its like draw from the global generators: they get this run's stream, and the caller's state back.
    on_cuda = device.type == "cuda"
    key = stream_key(seed, name)
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.default_generator.manual_seed(key)  # torch.manual_seed would reach devices that this run does not use
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(key)
        yield
