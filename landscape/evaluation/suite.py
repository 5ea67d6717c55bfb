"""Which attacks an evaluation runs: their names, their settings, and the presets of the paper and of AutoAttack."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..attacks import APGD, FAB, PGD, Ball, ReferenceAttack, Square, parse_attack
from ..errors import UsageError
from ..spec import nearest
from ..units import parse_number

Attack = PGD | ReferenceAttack
CLEAN = "clean"
DEFAULT_ATTACKS = "clean,pgd100,apgd-ce,apgd-dlr,square"
PRESETS = {
    "default": DEFAULT_ATTACKS,
    "paper": DEFAULT_ATTACKS,  # Liu et al. 2020, table 1
    "standard": "clean,apgd-ce,apgd-t,fab-t,square",  # AutoAttack's
}
NAMES = ("clean", "pgd100", "apgd-ce", "apgd-dlr", "apgd-t", "fab-t", "square")
PAPER_RESTARTS = 5  # of APGD; the paper's Square takes one, and 5,000 queries

_MADE: dict[str, Callable[[Ball], ReferenceAttack]] = {
    "apgd-ce": APGD,
    "apgd-dlr": lambda ball: APGD(ball, loss="dlr"),
    "apgd-t": lambda ball: APGD(ball, loss="dlr-targeted"),
    "fab-t": FAB,
    "square": Square,
}
_WHOLE = {"steps", "restarts", "queries", "targets"}
_SETTINGS = {
    "apgd-ce": {"steps", "restarts", "rho"},
    "apgd-dlr": {"steps", "restarts", "rho"},
    "apgd-t": {"steps", "restarts", "rho", "targets"},
    "fab-t": {"steps", "targets"},
    "square": {"queries", "restarts", "p", "rescale"},
}


@dataclass(frozen=True)
class Suite:
    """The attacks of an evaluation: names as asked for, attacks (None: clean), whether each meets survivors only.

    In a cascade, as in AutoAttack, an attack meets what those before it left standing, and its error counts theirs.
    """

    names: tuple[str, ...]
    attacks: tuple[Attack | None, ...]
    cascade: bool = False

    def __str__(self) -> str:
        return "; ".join(str(attack) for attack in self.attacks if attack is not None) or "none"


def parse_suite(
    text: str | Sequence[str] | None, ball: Ball, *, preset: str = "default", channels: int = 3, cascade: bool = False
) -> Suite:
    """Read the attacks as commands write them: `clean,pgd100,apgd-ce:restarts=5,square:queries=1000`.

    What `preset` sets, holds unless the text says otherwise. `channels` chooses the paper's step: 0.01 on images of one
    (MNIST), else 1/255. Raises UsageError for an unknown name or setting, with the nearest, and for a radius of 0.
    """
    if preset not in PRESETS:
        raise UsageError(f"preset {preset!r} is unknown; {nearest(preset, PRESETS)}")
    words = _words(PRESETS[preset] if text is None else text if isinstance(text, str) else ",".join(text))
    if repeated := [word for i, word in enumerate(words) if word in words[:i]]:
        raise UsageError(f"attack {repeated[0]} is asked for twice; name each once")
    attacks = [None if word == CLEAN else _attack(word, ball, preset, channels) for word in words]
    if ball.eps == 0 and any(attacks):
        raise UsageError("eps = 0 leaves nothing to attack; give --eps, such as --eps 8/255, or --attacks clean")
    return Suite(tuple(words), tuple(attacks), cascade or preset == "standard")


def _words(text: str) -> list[str]:
    """Return the attacks of a list: a word such as steps=5 goes on with the settings of the attack before it."""
    words: list[str] = []
    for word in (part.strip() for part in text.split(",")):
        if re.match(r"\w+=", word) and words:
            words[-1] += ("," if ":" in words[-1] else ":") + word
        elif word:
            words.append(word)
    if not words:
        raise UsageError(f"no attack is named; write some of {', '.join(NAMES)}")
    return words


def _attack(word: str, ball: Ball, preset: str, channels: int) -> Attack:
    name, _, tail = word.partition(":")
    if numbered := re.fullmatch(r"pgd(\d*)", name):
        return _pgd(int(numbered[1] or 0), tail, ball, preset, channels)
    if name not in _MADE:
        raise UsageError(f"attack {name!r} is unknown; {nearest(name, NAMES)} (there are {', '.join(NAMES)})")
    attack = _MADE[name](ball)
    values: dict[str, float | int | bool] = {}
    if preset == "paper" and isinstance(attack, APGD):
        values["restarts"] = PAPER_RESTARTS
    for setting in filter(None, tail.split(",")):
        key, _, value = setting.partition("=")
        if key not in _SETTINGS[name]:
            raise UsageError(f"{name} has no setting {key!r}; {nearest(key, sorted(_SETTINGS[name]))}")
        values[key] = _value(name, key, value)
    return replace(attack, **values)  # type: ignore[arg-type]  # the keys were matched to the attack's own above


def _pgd(steps: int, tail: str, ball: Ball, preset: str, channels: int) -> PGD:
    own = {key: value for key, _, value in (setting.partition("=") for setting in filter(None, tail.split(",")))}
    if steps:
        own = {"steps": str(steps), **own}
    if preset == "paper":
        own = {"start": "step", "keep": "last", **own}
        if "rel_step" not in own:
            own = {"step": "0.01" if channels == 1 else "1/255", **own}
    elif not {"step", "rel_step"} & own.keys() and int(own.get("steps", "10")) >= 50:
        own["rel_step"] = "0.1"  # enough steps to cross the ball several times, each fine enough to settle
    return parse_attack("pgd:" + ",".join(f"{key}={value}" for key, value in own.items()) if own else "pgd", ball)


def _value(name: str, key: str, value: str) -> float | int | bool:
    if key in _WHOLE:
        if not value.isdecimal():
            raise UsageError(f"{key} = {value!r} in {name}; wanted a whole number")
        return int(value)
    if key == "rescale":
        if value not in ("True", "False", "true", "false"):
            raise UsageError(f"rescale = {value!r} in {name}; wanted true or false")
        return value.lower() == "true"
    return parse_number(value, name=f"{key} of {name}")
