"""The state of an unfinished run, NAME.resume.pt: replaced whole, read as plain data, bound to the run's settings."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..errors import CheckpointError, LandscapeError
from ..files import atomic_path
from ..safe_load import load_untrusted, show

FORMAT = "landscape-resume/1"
_ANEW = "give --overwrite to begin anew"


def write_state(path: Path, state: Mapping[str, Any], *, settings: Mapping[str, Any]) -> None:
    """Replace the state at `path`; `settings` are all that decide the run, in plain Python.

    A crash at any moment leaves the state before, or this one. Raises LandscapeError where it cannot be written.
    """
    buffer = io.BytesIO()  # whole in memory first: a full disk is then told by whoever writes the file
    header = {"format": FORMAT, "version": __version__, "settings": _plain(settings)}
    torch.save({**header, "state": dict(state)}, buffer)
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings and the state of an unfinished run, tensors on the CPU; nothing in the file is run.

    Raises CheckpointError for a file that is damaged, or was written by another version.
    """
    try:
        with path.open("rb") as file:
            held, _ = load_untrusted(path, file)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error}); {_ANEW}") from error
    except CheckpointError as error:
        raise CheckpointError(f"{str(error).partition(';')[0]}; {_ANEW}") from error
    if not isinstance(held, dict) or held.get("format") != FORMAT:
        found = show(held.get("format")) if isinstance(held, dict) else show(type(held).__name__)
        raise CheckpointError(f"{path} is no state of a run (its format is {found}, wanted {FORMAT}); {_ANEW}")
    if held.get("version") != __version__:
        raise CheckpointError(
            f"{path} was written by landscape {show(held.get('version'))}, and this is {__version__}; "
            f"go on with that version, or {_ANEW}"
        )
    if not isinstance(held.get("settings"), dict) or not isinstance(held.get("state"), dict):
        raise CheckpointError(f"{path} is damaged: it lacks its settings or its state; {_ANEW}")
    return held["settings"], held["state"]


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a run takes up the state of `path` into one sentence: it is not a run's."""
    try:
        yield
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise CheckpointError(f"{path} does not hold the state of this run ({show(what)}); {_ANEW}") from error


def check_settings(path: Path, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise LandscapeError, naming what differs, unless a state is of a run with the settings that are asked for."""
    asked = _plain(asked)
    differing = [name for name in {**saved, **asked} if saved.get(name) != asked.get(name)]
    if not differing:
        return
    shown = "; ".join(f"{name} was {_shown(saved.get(name))}, now {_shown(asked.get(name))}" for name in differing[:3])
    more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
    way = "type the command that began it to go on"
    if differing == ["lr"]:
        way = f"give --lr {_shown(saved.get('lr'))} --force-lr {_shown(asked.get('lr'))} to go on with that"
    raise LandscapeError(f"{path} belongs to a run of other settings ({shown}{more}); {way}, or {_ANEW}")


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _shown(value: Any) -> str:
    return "not given" if value is None else show(value if isinstance(value, str) else json.dumps(value))
