"""The recipe of a training run: every setting that decides its outcome, checked before it starts."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from ..attacks import PGD, make_ball, parse_attack
from ..attacks.twin import PRECISIONS
from ..errors import UsageError
from ..spec import nearest, parse_spec
from ..units import check_eps
from .schedules import EPS_SCHEDULES, LR_SCHEDULES, eps_at, lr_at, position

OPTIMIZERS = ("adam", "sgd")
UPDATES = ("epoch", "batch")
DEFAULT_ATTACK = "pgd:steps=10,rel_step=0.25,restarts=1"
DEFAULT_EPOCHS = 20
DEFAULT_LR = {"adam": 1e-3, "sgd": 0.1}


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run; raises UsageError for a value that cannot be meant.

    `eps` is in pixel units of [0, 1]. A warm-up climbs from `eps_start` towards `eps_overshoot`, clipped to `eps`; an
    overshoot left out is twice `eps` (at most 1 for l-inf), so that a linear warm-up arrives half way and stays.
    `periods` are the epochs at which periods end, such as (100, 150, 200): there learning rate and eps start anew, both
    together (the paper's periodic adversarial scheduling); `epochs` left out is the last of them, or 20.
    `lr` left out is 1e-3 for Adam and 0.1 for SGD. `momentum` is Adam's beta_1 too, and `weight_decay` is the L2 term
    of either. The drops of the "step" schedule are fractions of a period. Schedules move by whole epochs, as in the
    paper, or by "batch"; a "cyclic" learning rate, and a warm-up from 0 over the first `lr_warmup` epochs of the run,
    always move by batch. The attack keeps its last iterate unless its text says keep=best; a relative step follows eps
    through a warm-up, an absolute one stays. `augment` left out crops and flips CIFAR-10 and nothing else. `ema` is the
    decay of a moving average of the weights; `holdout` training examples are kept out of training, for the guard and
    the choice of the best epoch.
    `precision` "bf16" runs training's forward and backward passes in bfloat16 where torch deems it safe, weights and
    optimiser in float32; `attack_precision` those of its attack. Evaluation is in float32 whatever they say.
    `compiler` names a backend of torch.compile, such as "inductor", for the updates and the attack.
    """

    eps: float
    norm: str = "linf"
    eps_schedule: str = "constant"
    eps_overshoot: float | None = None
    eps_start: float = 0.0
    periods: Sequence[int] = ()
    epochs: int = None  # type: ignore[assignment]  # left out; whole once the recipe is made
    optimizer: str = "adam"
    lr: float | None = None
    lr_schedule: str = "constant"
    lr_drops: Sequence[float] = (0.5, 0.75)
    lr_factor: float = 0.1
    lr_warmup: float = 0.0
    schedule_by: str = "epoch"
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 128
    attack: str | PGD = DEFAULT_ATTACK
    augment: bool | None = None
    ema: float | None = None
    holdout: int = 0
    precision: str = "float32"
    attack_precision: str = "float32"
    compiler: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            _one_of(name, getattr(self, name), known)
        self._set("periods", _period_ends(self.periods))
        self._set("epochs", _epochs(self.epochs, self.periods))
        for name, least in (("epochs", 1), ("batch_size", 1), ("holdout", 0), ("seed", 0)):
            self._set(name, _whole(name, getattr(self, name), least))
        for name in ("eps", "eps_start", "lr_factor", "lr_warmup", "momentum", "weight_decay"):
            self._set(name, _number(name, getattr(self, name)))
        self._set("lr", DEFAULT_LR[self.optimizer] if self.lr is None else _number("lr", self.lr, positive=True))
        if self.momentum >= 1:
            raise UsageError(f"momentum = {self.momentum:g} never forgets; wanted a number in [0, 1), such as 0.9")
        if self.ema is not None:
            self._set("ema", _number("ema", self.ema))
            if not 0 < self.ema < 1:
                raise UsageError(f"ema = {self.ema:g} is no decay; give a number in (0, 1), such as 0.999")
        self._set("lr_drops", tuple(_number("lr_drops", drop) for drop in self.lr_drops))
        if any(drop > 1 for drop in self.lr_drops):
            raise UsageError(
                f"lr_drops = {self.lr_drops} pass 1; give fractions of the run or its period, such as 0.5 and 0.75"
            )
        if self.augment not in (None, False, True):
            raise UsageError(f"augment = {self.augment!r} is no answer; give true, false, or leave it out")
        if self.periods and self.periods[-1] != self.epochs:
            raise UsageError(
                f"the periods end at epoch {self.periods[-1]} and the run at {self.epochs}; leave --epochs out, "
                f"or let the last period end at {self.epochs}"
            )
        if self.lr_warmup > self.epochs:
            raise UsageError(
                f"lr_warmup = {self.lr_warmup:g} is longer than the {self.epochs} epochs of the run; "
                f"give {self.epochs} or less"
            )
        self._check_budget()
        self._set("attack", _attack_text(self.attack, self.norm, self.eps))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # frozen for everyone else; here each value becomes plain Python

    def _check_budget(self) -> None:
        check_eps(self.eps, norm=self.norm)
        if self.eps_start > self.eps:
            raise UsageError(f"eps_start = {self.eps_start:g} is above eps = {self.eps:g}; a warm-up climbs")
        if self.eps_schedule == "constant":
            if self.eps_overshoot is not None:
                raise UsageError("eps_overshoot means nothing to a constant eps; give --eps-schedule linear or cosine")
            if self.eps_start > 0:
                raise UsageError("eps_start means nothing to a constant eps; give --eps-schedule linear or cosine")
            return
        if self.eps_overshoot is None:
            self._set("eps_overshoot", min(2 * self.eps, 1.0) if self.norm == "linf" else 2 * self.eps)
            return
        peak = check_eps(_number("eps_overshoot", self.eps_overshoot), norm=self.norm, name="eps_overshoot")
        if peak < self.eps:
            raise UsageError(f"eps_overshoot = {peak:g} never reaches eps = {self.eps:g}; give {self.eps:g} or more")
        self._set("eps_overshoot", peak)

    @property
    def boundaries(self) -> tuple[int, ...]:
        """Epochs at which the schedules start anew, the run's end included."""
        return (0, *self.periods) if self.periods else (0, self.epochs)

    def at(self, epoch: float) -> tuple[float, float]:
        """Return the budget (pixel units) and the learning rate of the batch that begins at an epoch and its fraction.

        The fraction moves what goes by batch; what goes by whole epochs stands still until the next.
        """
        reached = epoch if self.schedule_by == "batch" else float(math.floor(epoch))
        lr = self._scheduled_lr(epoch if self.lr_schedule == "cyclic" else reached)
        return self.eps_at(reached), lr * self._warmth(epoch)

    def eps_at(self, epoch: float) -> float:
        """Return the budget at an epoch, which may be a fraction, in pixel units."""
        peak = self.eps if self.eps_overshoot is None else self.eps_overshoot
        at = position(epoch, self.boundaries)
        return eps_at(at, kind=self.eps_schedule, target=self.eps, peak=peak, start=self.eps_start)

    def lr_at(self, epoch: float) -> float:
        """Return the learning rate at an epoch, which may be a fraction."""
        return self._scheduled_lr(epoch) * self._warmth(epoch)

    def _warmth(self, epoch: float) -> float:
        return min(epoch / self.lr_warmup, 1.0) if self.lr_warmup else 1.0

    def _scheduled_lr(self, epoch: float) -> float:
        assert self.lr is not None
        at = position(epoch, self.boundaries)
        return lr_at(at, kind=self.lr_schedule, lr=self.lr, drops=self.lr_drops, factor=self.lr_factor)

    @cached_property
    def _target_attack(self) -> PGD:
        return parse_attack(str(self.attack), make_ball(self.norm, self.eps))

    def attack_at(self, eps: float) -> PGD:
        """Return the training attack at a budget."""
        return self._target_attack.with_eps(eps)

    def resolved(self, data_spec: str) -> Recipe:
        """Return the recipe with nothing left open, for the data set that a spec names."""
        augment = parse_spec(data_spec).head == "cifar10" if self.augment is None else self.augment
        return replace(self, augment=augment)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain Python, for the `training` entry of a checkpoint.

        Settings that came later are told where they are not at their default: a run without them keeps its bytes.
        """
        told = {**asdict(self), "lr_drops": list(self.lr_drops), "periods": list(self.periods)}
        return {name: value for name, value in told.items() if name not in _LATER or value != _LATER[name]}

    @classmethod
    def from_dict(cls, training: Mapping[str, Any]) -> Recipe:
        """Return the recipe in the `training` entry of a checkpoint; entries that are no settings are left aside."""
        if "eps" not in training:
            raise UsageError("the checkpoint holds no recipe: it does not say its eps; give --eps")
        return cls(**{field.name: training[field.name] for field in fields(cls) if field.name in training})


def as_recipe(recipe: Recipe | None, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe given whole, or made of its fields by name; raise UsageError for both or neither."""
    if recipe is not None:
        if not isinstance(recipe, Recipe):
            raise UsageError(f"{recipe!r} came as the recipe; give a Recipe, or its fields by name, such as eps=0.1")
        if settings:
            raise UsageError(
                f"a recipe came, and {', '.join(settings)} beside it; give either, or dataclasses.replace(recipe, ...)"
            )
        return recipe
    names = [field.name for field in fields(Recipe)]
    for name in settings:
        if name not in names:
            raise UsageError(f"{name} is no setting of training; {nearest(name, names)}")
    if "eps" not in settings:
        raise UsageError("the radius is missing; give eps=0.1 (0 trains without an adversary), or a Recipe")
    return Recipe(**settings)


# Settings that came after the first checkpoints, at the values that those were trained with.
_LATER: dict[str, Any] = {
    "periods": [],
    "lr_warmup": 0.0,
    "ema": None,
    "holdout": 0,
    "precision": "float32",
    "attack_precision": "float32",
    "compiler": None,
}

_CHOICES: dict[str, Sequence[str]] = {
    "norm": ("linf", "l2"),
    "eps_schedule": EPS_SCHEDULES,
    "optimizer": OPTIMIZERS,
    "lr_schedule": LR_SCHEDULES,
    "schedule_by": UPDATES,
    "precision": tuple(PRECISIONS),
    "attack_precision": tuple(PRECISIONS),
}


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"{name} = {value!r} is unknown; {nearest(str(value), known)}")


def _whole(name: str, value: Any, least: int) -> int:
    try:
        whole = operator.index(value)
    except TypeError as error:
        raise UsageError(f"{name} = {value!r} is no whole number; give {least} or more") from error
    if whole < least:
        raise UsageError(f"{name} = {whole} is too small; give {least} or more")
    return whole


def _epochs(given: int | None, periods: Sequence[int]) -> int:
    return given if given is not None else periods[-1] if periods else DEFAULT_EPOCHS


def _period_ends(periods: Sequence[int]) -> tuple[int, ...]:
    """Return where the periods end; a 0 that says where the first begins is let pass."""
    ends = tuple(_whole("periods", end, 0) for end in periods)
    if ends in ((), (0,)):
        if periods:
            raise UsageError("periods = 0 ends before it begins; give their last epochs, such as 100,150,200")
        return ()
    ends = ends[1:] if ends[0] == 0 else ends
    if any(not a < b for a, b in pairwise((0, *ends))):
        shown = ",".join(map(str, ends))
        raise UsageError(f"the periods {shown} do not increase; give their last epochs, such as 100,150,200")
    return ends


def _number(name: str, value: Any, *, positive: bool = False) -> float:
    wanted = "a positive number" if positive else "0 or more"
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} = {value!r} is no number; give {wanted}") from error
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        raise UsageError(f"{name} = {number:g} is out of range; give {wanted}")
    return number


def _attack_text(attack: str | PGD, norm: str, eps: float) -> str:
    # A PGD object says what it keeps; a text that does not say so means training's last iterate.
    if isinstance(attack, PGD):
        keep, pgd = attack.keep, attack
        if (pgd.ball.norm, pgd.ball.eps) != (norm, eps):
            raise UsageError(
                f"the attack's ball is {pgd.ball.norm} of eps {pgd.ball.eps:g}, the recipe's {norm} of eps {eps:g}; "
                "make them the same"
            )
    else:
        pgd = parse_attack(attack, make_ball(norm, eps))
        keep = parse_spec(attack).settings.get("keep", "last")
    return f"{replace(pgd, keep='best')},keep={keep}"
