"""A SPEC names a net or a data set: `lenet:width=16`, `pkg.module:callable`, `path/to/file.py:callable`, `x.npz`."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import UsageError

_LISTED = 24  # names that an error message lists, at most


@dataclass(frozen=True)
class Spec:
    """A parsed SPEC: `head` is a name, a module, a .py path or an .npz path; the tail is settings or a callable."""

    head: str
    settings: dict[str, str] = field(default_factory=dict)
    callable: str | None = None

    def __str__(self) -> str:
        if self.callable is not None:
            return f"{self.head}:{self.callable}"
        tail = ",".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{self.head}:{tail}" if tail else self.head


def parse_spec(text: str) -> Spec:
    """Parse a SPEC; a tail after ':' that holds '=' is settings, otherwise a callable."""
    head, colon, tail = text.strip().rpartition(":") if ":" in text else (text.strip(), "", "")
    if not head or (colon and not tail):
        raise UsageError(f"{text!r} is no spec; write NAME, NAME:key=value,key=value, or file.py:callable")
    if not colon:
        return Spec(head)
    if "=" not in tail:
        return Spec(head, callable=tail)
    settings: dict[str, str] = {}
    for part in tail.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not value:
            raise UsageError(f"{part!r} in {text!r} is no setting; write key=value, separated by commas")
        if key in settings:
            raise UsageError(f"{key!r} is set twice in {text!r}; give it once")
        settings[key] = value
    return Spec(head, settings)


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known names come nearest to a mistyped one, or list them all: the tail of an error message."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"there are {', '.join(known[:_LISTED])}{more}"


def load_callable(spec: Spec) -> Callable[..., Any]:
    """Import the callable that a SPEC names, from a module or a .py file; this runs the code that the user named."""
    if spec.callable is None:
        raise UsageError(f"{spec} names no callable; write {spec}:callable")
    if spec.head.endswith(".py"):
        path = Path(spec.head)
        if not path.is_file():
            raise UsageError(f"{path} is not there; name an existing .py file as path/to/file.py:callable")
        name = f"landscape_user_{path.stem}"
        found = importlib.util.spec_from_file_location(name, path)
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module  # dataclasses and pickling look their module up by name
        try:
            found.loader.exec_module(module)
        except Exception as error:
            raise UsageError(f"{path} failed when it was run: {type(error).__name__}: {error}") from error
    else:
        try:
            module = importlib.import_module(spec.head)
        except ImportError as error:
            raise UsageError(f"module {spec.head!r} cannot be imported ({error}); is it on PYTHONPATH?") from error
    target = getattr(module, spec.callable, None)
    if not callable(target):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UsageError(f"{spec.head} has no callable {spec.callable!r}; {nearest(spec.callable, names)}")
    function: Callable[..., Any] = target
    return function
