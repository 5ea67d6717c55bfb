"""How the settings of a net are read from its spec, and written back in one resolved form."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import UsageError
from ..units import parse_number

# Far above any net of the field; a spec may come from a stranger's checkpoint, and sizes must stay countable.
_MOST = 65_536

Value = int | float | bool | str | tuple[int, ...]


@dataclass(frozen=True)
class Setting:
    """One setting: its default, its reader (name, text) -> value, and whether a resolved spec always says it."""

    default: Value
    read: Callable[[str, str], Value]
    always: bool = True


def read_count(name: str, text: str) -> int:
    """Read a whole number from 1 to 65,536."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= _MOST:
        raise UsageError(f"{name} = {text!r} is no whole number from 1 to {_MOST}; write {name}=4, for example")
    return int(text)


def read_sizes(name: str, text: str) -> tuple[int, ...]:
    """Read sizes joined by x, such as 64x64."""
    return tuple(read_count(name, part) for part in text.split("x"))


def read_shape(name: str, text: str) -> tuple[int, int, int]:
    """Read the shape (C, H, W) of an image, written CxHxW."""
    sizes = text.split("x")
    if len(sizes) != 3:
        raise UsageError(f"{name} = {text!r} is no image shape; write CxHxW, such as {name}=3x32x32")
    channels, height, across = (read_count(name, part) for part in sizes)
    return channels, height, across


def read_flag(name: str, text: str) -> bool:
    """Read true or false."""
    if text.lower() not in ("true", "false"):
        raise UsageError(f"{name} = {text!r} is neither true nor false; write {name}=false")
    return text.lower() == "true"


def read_word(name: str, text: str) -> str:
    """Take a word as it is; whoever uses it checks it."""
    return text


def read_positive(name: str, text: str) -> float:
    """Read a positive number."""
    value = parse_number(text, name=name)
    if value <= 0:
        raise UsageError(f"{name} = {text} is not positive; write {name}=10, for example")
    return value


def write_value(value: Value) -> str:
    """Write a value as a spec says it, so that reading it gives the value again."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
