"""The code that a user's SPEC names, as a part of what decides a result's numbers."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from ..files import sha256_of
from ..spec import load_callable, parse_spec


def code_sha256(spec: str | None) -> str | None:
    """Return the hash of the file whose code a spec names: edited code is another net, or loss, under the same spec.

    What that file imports is not looked at: where a net is built of other files, --overwrite measures it anew.
    """
    parsed = None if spec is None else parse_spec(spec)
    if parsed is None or parsed.callable is None:
        return None
    if parsed.head.endswith(".py"):
        path: str | None = parsed.head
    else:
        target = inspect.unwrap(load_callable(parsed))
        try:
            path = inspect.getsourcefile(target)
        except TypeError:  # an instance, a partial: what holds its code is the module that names it
            path = inspect.getsourcefile(sys.modules[parsed.head])
    return sha256_of(path) if path is not None and Path(path).is_file() else None
