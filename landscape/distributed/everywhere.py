"""Calls that the first process makes and all of them carry out, each on its own share.

The first process alone runs an analysis. The others, come to the object that they have a share of, stay there: they
wait for the name of one of its methods, call it, and wait again, until they are dismissed.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, Protocol, TypeVar

import torch
from torch import Tensor

from .group import Group
from .wire import Lost, broadcast, broadcast_object

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])


class Dismissed(Exception):
    """The first process needs no more help: raised in the others, out of the analysis that they were helping with."""


class Shared(Protocol):
    """An object of which each process has its own: `number` is the same in all of them."""

    group: Group
    number: int


class _Sent:
    """In the place of a tensor, which is sent by itself: objects go through the CPU."""

    def __init__(self, tensor: Tensor) -> None:
        self.shape, self.dtype, self.on_cuda = tensor.shape, tensor.dtype, tensor.is_cuda


def enrol(group: Group, member: Shared) -> int:
    """Return the number of an object of which each process makes its own, all of them in the same order."""
    if not group.bond.members:
        group.together(lambda: None)  # whoever failed on the way here says so in `led`
    group.bond.members.append(member)
    return len(group.bond.members) - 1


def everywhere(method: Method) -> Method:
    """Let a method that the first process calls be called in all processes, each on its own object of that number.

    Tensors among the arguments are sent; what is given by name stays with the first.
    """

    @functools.wraps(method)
    def call(self: Shared, *args: Any, **kwargs: Any) -> Any:
        bond = self.group.bond
        if not self.group.leads or bond.inside:
            return method(self, *args, **kwargs)
        bond.inside = bond.broken = True
        try:
            broadcast_object((self.number, method.__name__, [_Sent(a) if isinstance(a, Tensor) else a for a in args]))
            for argument in args:
                if isinstance(argument, Tensor):
                    broadcast(argument.contiguous())
            found = method(self, *args, **kwargs)
        finally:
            bond.inside = False
        bond.broken = False
        return found

    return call  # type: ignore[return-value]  # a wrapper of the same signature


def serve(group: Group, device: torch.device) -> NoReturn:
    """Call what the first process calls until it is done; raise Dismissed then."""
    while (asked := broadcast_object(None)) is not None:
        number, name, args = asked
        received = []
        for argument in args:
            if isinstance(argument, _Sent):
                place = device if argument.on_cuda else torch.device("cpu")
                argument = torch.empty(argument.shape, dtype=argument.dtype, device=place)
                broadcast(argument)
            received.append(argument)
        getattr(group.bond.members[number], name)(*received)
    raise Dismissed


def led(group: Group, call: Callable[[], T]) -> T | None:
    """Return what `call` does in the first process; the others help with what it shares, and return None."""
    if group.world == 1:
        return call()
    bond = group.bond
    bond.members.clear()
    bond.broken = False
    try:
        found = call()
    except Dismissed:
        return None
    except BaseException as error:
        if not bond.members:
            group.together(partial(_raise, error))
        raise
    finally:
        if group.leads and bond.members and not bond.broken:  # else the others have left their places
            with contextlib.suppress(Lost):
                broadcast_object(None)
    return found


def _raise(error: BaseException) -> None:
    raise error
