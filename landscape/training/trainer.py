"""Adversarial training: attack each batch in eval mode, learn from it in train mode (Madry et al. 2018)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..attacks.captured import CapturedAttack, recorder_for
from ..attacks.twin import Twin
from ..borrow import full_precision, in_mode
from ..data import ImageData, as_data, random_crop_flip, to_unit
from ..distributed import ALONE, Group
from ..errors import LandscapeError, UsageError
from ..losses import Loss, are_scores, cross_entropy, read_loss
from ..streams import example_streams, stream
from ..units import format_eps
from .batches import batch_bounds, epoch_order
from .curve_net import CurveNet
from .ema import Average
from .forward import Forward
from .generators import begin_stream, generator_state, seeded, set_generator_state
from .recipe import Recipe, as_recipe
from .recorder import Recorder, mean_share

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
OnEpoch = Callable[[dict[str, Any]], None]

# A device is asked for its losses this often (in batches): rarely enough to cost nothing, often enough to stop a
# diverged run early.
_CHECK_EVERY = 50


class Diverged(LandscapeError):
    """A loss or weights that are not finite; `lr` is the learning rate that led there."""

    def __init__(self, lr: float, message: str) -> None:
        super().__init__(message)
        self.lr = lr


def train(
    model: nn.Module,
    data: Any,
    recipe: Recipe | None = None,
    *,
    device: str | torch.device | None = None,
    loss: Loss | str = cross_entropy,
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Train a net in place and return its history: per epoch its number (from 1), eps, lr, adversarial loss and error.

    `data` is (images, labels), a Dataset, a DataLoader (its examples: the batches are the recipe's) or ImageData. The
    settings are a Recipe, or its fields by name: `train(net, data, eps=0.1, epochs=2)`. `loss` is a SPEC, or takes
    outputs (N, ...) and labels, which may then be numbers, and returns a value for each example; the attack climbs it.

    Loss (nats) and error (fraction) are means over the epoch's examples as they were met, attacked and in train mode;
    eps and lr are those of the epoch's last batch. `on_epoch` gets each record as it is made, with the net as it then
    is. The net moves to `device` (left out: it stays where it is), and is left there in the mode it came in. Every
    random choice follows from the recipe's seed; the global generators are left as they were. Errors are NaN where the
    labels are numbers. Raises LandscapeError when the loss is no longer finite, UsageError for what `check_trainable`
    refuses, DataError for data that are no images.
    """
    recipe = as_recipe(recipe, settings)
    loss = read_loss(loss) if isinstance(loss, str) else loss
    data = as_data(data, targets=loss is not cross_entropy)
    check_trainable(model, data, recipe)
    recipe = recipe.resolved(data.spec)
    place = next(model.parameters()).device if device is None else device
    trainer = Trainer(model, data, recipe, device=place, loss=loss)
    trainer.run(progress=progress, on_epoch=on_epoch)
    return trainer.history


def check_trainable(model: nn.Module, data: ImageData, recipe: Recipe, *, processes: int = 1) -> None:
    """Raise UsageError for a batch that the data, BatchNorm or a process cannot fill, and for nothing to train."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError("the net has no parameter to train; leave requires_grad on for at least one")
    smallest = min(end - start for start, end in batch_bounds(len(data), recipe.batch_size))
    if smallest == 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise UsageError("a batch of one example has no variance for BatchNorm; give --batch-size 2 or more")
    if smallest < processes:
        which = "a batch" if smallest == recipe.batch_size else "the last batch"
        raise UsageError(
            f"{which} has {smallest} examples for {processes} processes; give another --batch-size, or start "
            f"{smallest} processes or fewer (torchrun --nproc-per-node {smallest})"
        )


class Trainer:
    """A run in progress: the net, its optimiser, and how far they have come.

    `epoch` epochs are done, and `batch` batches of the next. While `whole` is true, `state` holds all that the rest of
    the run depends on; it is false in the midst of an update. Of a `group`, each process has its own of everything and
    takes its share of every batch: after each update all of them hold the same.
    """

    def __init__(
        self,
        model: nn.Module,
        data: ImageData,
        recipe: Recipe,
        *,
        device: str | torch.device,
        recorder: Recorder | None = None,
        average: Average | None = None,
        group: Group = ALONE,
        loss: Loss = cross_entropy,
    ) -> None:
        self.group, self.loss = group, loss
        self.model, self.recipe, self.device = model.to(device), recipe, torch.device(device)
        self.bounds = batch_bounds(len(data), recipe.batch_size)
        self.optimizer = _make_optimizer(model, recipe)
        self._walk = model if isinstance(model, CurveNet) else None  # at each update elsewhere on its curve
        attacked = model if self._walk is None else self._walk.net
        self._twin = Twin(attacked, precision=recipe.attack_precision, compiler=recipe.compiler)
        share = group.share(recipe.batch_size)
        self._attack = CapturedAttack(share.stop - share.start, record=recorder_for(self.device))
        self._forward = Forward(
            model, device=self.device, precision=recipe.precision, compiler=recipe.compiler, group=group
        )
        self.recorder, self.average = recorder, average
        self.history: list[dict[str, Any]] = []
        self.epoch = self.batch = 0
        self.whole = True
        self._images, self._labels = data.images.to(self.device), data.labels.to(self.device)
        self._dtype = next(model.parameters()).dtype
        self._losses = torch.zeros(len(self.bounds), dtype=torch.float64, device=self.device)  # summed over each batch
        self._wrong = torch.zeros(len(self.bounds), dtype=torch.int64, device=self.device)
        self._counts = not self._labels.is_floating_point()  # until the outputs are no scores of classes
        self._checked = 0
        self._order = np.empty(0, dtype=np.int64)
        self._flips = stream(recipe.seed, "augment/epoch0")
        self._generators: Mapping[str, Any] | None = None  # where an epoch was left, until it goes on

    @property
    def step(self) -> int:
        """Updates of the weights so far."""
        return self.epoch * len(self.bounds) + self.batch

    @property
    def steps(self) -> int:
        """Updates of the whole run."""
        return self.recipe.epochs * len(self.bounds)

    @property
    def eps(self) -> float:
        """The budget of the next batch, or of the last one where the run is over, in pixel units."""
        return self.recipe.at(min(self.epoch + self.batch / len(self.bounds), self.recipe.epochs))[0]

    def run(
        self,
        *,
        progress: Progress | None = None,
        before_batch: Callable[[], None] | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        """Train to the end; `before_batch` and `on_epoch` are called with the net in train mode and the run whole.

        What one process of a group is called to do, and what it raises there, stops all of them at the same batch.
        """
        together = self.group.together
        with full_precision(), in_mode(self.model, training=True):
            while self.epoch < self.recipe.epochs:
                with seeded(self.recipe.seed, f"net/epoch{self.epoch}", self.device):
                    self._begin_epoch()
                    try:
                        while self.batch < len(self.bounds):
                            together(before_batch or _nothing)
                            self._advance()
                            if progress is not None:
                                together(partial(progress, "training", self.step, self.steps))
                    except BaseException:  # whoever saves what is left finds the generators as they are here
                        self._generators = generator_state(self._flips, self.device)
                        raise
                record = self._end_epoch()
                together(_nothing if on_epoch is None else partial(on_epoch, record))
                self.whole = False
                self.history.append(record)
                self.epoch, self.batch, self._checked = self.epoch + 1, 0, 0
                self.whole = True
        self.optimizer.zero_grad()

    def state(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on, as tensors and plain Python that share the run's memory."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "history": list(self.history),
            "net": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "losses": self._losses,
            "wrong": self._wrong,
            "checked": self._checked,
            "generators": self._generators or generator_state(self._flips, self.device),
            "recorder": None if self.recorder is None else self.recorder.state(),
            "average": None if self.average is None else self.average.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of a run of the same net, data and recipe."""
        self.epoch, self.batch, self._checked = state["epoch"], state["batch"], state["checked"]
        self.history = list(state["history"])
        self.model.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._losses.copy_(state["losses"])
        self._wrong.copy_(state["wrong"])
        self._generators = state["generators"] if self.batch else None  # an epoch that has not begun seeds its own
        if self.recorder is not None:
            self.recorder.load_state(state["recorder"])
        if self.average is not None:
            self.average.load_state(state["average"])

    def check(self) -> None:
        """Fetch what waits on the device; raise Diverged where a loss of this epoch is not finite."""
        if self.recorder is not None:
            self.recorder.fetch()
        values = self._losses[self._checked : self.batch].tolist()
        for batch, value in enumerate(values, start=self._checked):
            if not math.isfinite(value):
                eps, lr = self.recipe.at(self.epoch + batch / len(self.bounds))
                raise Diverged(
                    lr,
                    f"the loss became {value:g} in epoch {self.epoch + 1}, batch {batch + 1} "
                    f"(eps = {format_eps(eps)}, lr = {lr:g}); "
                    f"try a smaller learning rate (--lr {lr / 10:g}) or a warm-up (--eps-schedule linear)",
                )
        self._checked = self.batch
        if self.batch == len(self.bounds) and not self.finite():
            lr = self.recipe.at(self.epoch + 1 - 1 / self.batch)[1]
            raise Diverged(
                lr,
                f"the weights are not finite after epoch {self.epoch + 1}, batch {self.batch}; "
                f"try a smaller learning rate (--lr {lr / 10:g})",
            )

    def finite(self) -> bool:
        """Say whether every weight is finite; this waits for the device."""
        return all(bool(torch.isfinite(value).all()) for value in self.model.parameters())

    def _wrong_among(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self._counts = are_scores(outputs, labels)
        if not self._counts:
            return torch.zeros((), dtype=torch.int64, device=self.device)
        return (outputs.argmax(1) != labels).sum()

    def _begin_epoch(self) -> None:
        first = self._images[
            : self.recipe.batch_size
        ]  # a whole batch, whichever comes next: a resumed run compiles alike
        self._forward.compile(to_unit(first, device=self.device, dtype=self._dtype))
        self._order = epoch_order(len(self._labels), seed=self.recipe.seed, epoch=self.epoch)
        self._flips = stream(self.recipe.seed, f"augment/epoch{self.epoch}")
        if self._generators is not None:
            set_generator_state(self._generators, self._flips, self.device)
            self._generators = None

    def _advance(self) -> None:
        """Learn from the next batch."""
        recipe, step, group = self.recipe, self.step, self.group
        eps, lr = recipe.at(self.epoch + self.batch / len(self.bounds))
        start, end = self.bounds[self.batch]
        count, own = end - start, group.share(end - start)
        rows = self._order[start:end]
        index = torch.from_numpy(rows).to(self.device)
        self.whole = False
        if not group.leads:  # dropout's draws: its own, and the same after a resumption
            begin_stream(recipe.seed, f"net/epoch{self.epoch}/batch{self.batch}/process{group.rank}", self.device)
        x, y = self._images[index], self._labels[index]
        if recipe.augment:  # all of the batch in every process: the draws are one stream
            x = random_crop_flip(x, self._flips)
        x, y = to_unit(x[own], device=self.device, dtype=self._dtype), y[own]
        clean = x
        if self._walk is not None:
            with group.synchronised(self.model):
                self._walk.begin_step(step, recipe.seed, x)
        if eps > 0:
            noise = partial(_starts, recipe.seed, self.epoch, rows[own])
            attack, network = recipe.attack_at(eps), self._twin.network(x)
            if self.loss is cross_entropy:
                x = self._attack(attack, network, x, y, noise=noise)
            else:
                x = attack(network, x, y, noise=noise, loss=self.loss)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = lr
        self.optimizer.zero_grad()
        # In the layout that its attack has shown to pay: a function of the batch alone, for a run that goes on here.
        logits = self._forward(x, layout=self._twin.layout if eps > 0 else torch.contiguous_format)
        loss = mean_share(logits, y, count, self.loss)
        recorder = self.recorder if self.recorder is not None and self.recorder.wants(step) else None
        half = None if recorder is None else recorder.first_half(step, logits, y, start=own.start, count=count)
        loss.backward()
        loss, wrong = loss.detach(), self._wrong_among(logits.detach(), y)
        if group.world > 1:
            gradients = [value.grad for value in self.model.parameters() if value.grad is not None]
            sums = [loss, wrong.to(loss), *gradients, *(half or [])]
            group.sum(sums)
            wrong = sums[1]
        if recorder is not None:
            told = wrong if self._counts else torch.full_like(loss, math.nan)
            recorder.record(step, loss=loss, wrong=told, count=count, eps=eps, lr=lr, half=half)
            if (extras := recorder.extras_of(step)) is not None:
                extras.record(step, self._forward, clean, y, count=count, eps=eps)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        self._losses[self.batch] = loss * count
        self._wrong[self.batch] = wrong
        self.batch += 1
        self.whole = True
        if self.batch == len(self.bounds) or self.batch % _CHECK_EVERY == 0:
            group.together(self.check)

    def _end_epoch(self) -> dict[str, Any]:
        n = len(self._labels)
        eps, lr = self.recipe.at(self.epoch + (len(self.bounds) - 1) / len(self.bounds))
        loss, error = self._losses.sum().item() / n, self._wrong.sum().item() / n
        error = error if self._counts else math.nan
        told, done, epochs = format_eps(eps), self.epoch + 1, self.recipe.epochs
        known = f", error {100 * error:.2f} %" if self._counts else ""
        logger.info("epoch %d/%d: eps %s, loss %.4g%s", done, epochs, told, loss, known)
        return {"epoch": done, "eps": eps, "lr": lr, "loss": loss, "error": error}


def _nothing() -> None:
    """Do what a process does while another one works."""


def _starts(seed: int, epoch: int, rows: np.ndarray, restart: int) -> list[np.random.Generator]:
    return example_streams(seed, f"attack/epoch{epoch}/restart{restart}", rows)


def _make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    lr = recipe.lr_at(0)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    return torch.optim.Adam(parameters, lr=lr, betas=(recipe.momentum, 0.999), weight_decay=recipe.weight_decay)
