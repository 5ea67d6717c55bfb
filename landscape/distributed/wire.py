"""What goes from process to process, and what is said where one of them is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import LandscapeError


class Lost(LandscapeError):
    """Another process of the run is gone."""


class Elsewhere(LandscapeError):
    """A failure of another process, which the first process tells about."""


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Raise Lost where the other end of a conversation is gone."""
    try:
        yield
    except RuntimeError as error:
        raise Lost(f"another process of this run is gone ({reason(error)})") from error


def all_reduce(tensor: Tensor, op: str = "SUM") -> None:
    """Replace a tensor by its sum (or MAX) over all processes."""
    with heard():
        dist.all_reduce(tensor, getattr(dist.ReduceOp, op))


def broadcast(tensor: Tensor) -> None:
    """Replace a tensor by that of the first process."""
    with heard():
        dist.broadcast(tensor, src=0)


def broadcast_object(thing: Any) -> Any:
    """Return what the first process gave, in all."""
    found = [thing]
    with heard():
        dist.broadcast_object_list(found, src=0, device=torch.device("cpu"))
    return found[0]


def all_gather_objects(thing: Any, world: int) -> list[Any]:
    """Return what each of `world` processes gave, in their order, in all."""
    found: list[Any] = [None] * world
    with heard():
        dist.all_gather_object(found, thing)
    return found


def gather_objects(thing: Any, world: int, *, leads: bool) -> list[Any]:
    """Return what each of `world` processes gave, in their order, in the first; nothing in the others."""
    found: list[Any] | None = [None] * world if leads else None
    with heard():
        dist.gather_object(thing, found, dst=0)
    return found or []


def reason(error: BaseException) -> str:
    """Return what gloo says, without the place in its own source that it begins with, and its advice at the end."""
    words = str(error).partition("\n")[0]
    return (words.partition("] ")[2] or words).partition(". ")[0].strip(" .") or type(error).__name__
