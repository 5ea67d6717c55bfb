"""What comes out of files as text of a page: nothing in it can end an element, begin a script or turn letters round."""

from __future__ import annotations

import html
import json
from typing import Any

from ..results.values import jsonable


def text(value: Any) -> str:
    """Return a value as HTML text, safe between tags and within quotes."""
    return html.escape(shown(str(value)), quote=True)


def shown(value: str) -> str:
    """Return a text with what cannot be seen written out: bidirectional marks, escapes, NUL."""
    if value.isprintable():
        return value
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in value)


def script_json(value: Any) -> str:
    """Return a value as JSON that may stand within a script element; a number that is not finite is null."""
    document = json.dumps(jsonable("page", value), allow_nan=False, separators=(",", ":"))
    for mark in "<>&":
        document = document.replace(mark, f"\\u{ord(mark):04x}")
    return document
