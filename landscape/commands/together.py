"""A command in several processes: all of them run it, the first one alone speaks and writes."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..launch import launched

if TYPE_CHECKING:
    from torch import nn

    from ..results import Result

Command = TypeVar("Command", bound=Callable[..., Any])


def in_all_processes(command: Command) -> Command:
    """Let a command that torchrun has started join the others first; it finds them by `distributed.current`."""

    @functools.wraps(command)
    def run(*args: Any, quiet: bool, **settings: Any) -> Any:
        if launched():  # before torch is loaded: where a process dies, it would print its own C++ stack for each other
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        from ..distributed import found_group, joined, one_voice

        group = found_group()
        if not group.leads:
            logging.getLogger("landscape").setLevel(logging.CRITICAL)  # what the first process logs, all would
            quiet = True
        with one_voice(group), joined(group):
            return command(*args, quiet=quiet, **settings)

    return run  # type: ignore[return-value]  # a wrapper of the same signature


def found_alike(
    path: Path,
    identity: Mapping[str, Any],
    model: nn.Module,
    *,
    shares: int,
    overwrite: bool,
    only: Iterable[str] | None = None,
) -> Result | None:
    """Return the result of these settings at `path`, as the first process finds it, or None to make it.

    `shares` is into how many parts its work can be cut: further processes have nothing to do, which is said. Raises
    LandscapeError where the processes do not measure the same thing on the same kind of device, or where no file can be
    written.
    """
    from ..distributed import current
    from ..files import check_writable
    from ..terminal import warn
    from .finished import finished

    group = current()
    group.agree({"the device": next(model.parameters()).device.type, **identity})

    def look() -> Result | None:
        found = None if overwrite else finished(path, dict(identity), only=only)
        if found is None:
            check_writable(path)  # before the hours, not after them
            if shares < group.world:
                idle = group.world - shares
                warn(f"caution: {group.world} processes for work of {shares} parts; {idle} of them have nothing to do")
        return found

    return group.from_first(look)
