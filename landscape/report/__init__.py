"""A folder of results as one HTML page that needs no network: to look at, to read values from, to send around."""

from __future__ import annotations

from .gathering import Left, Source, gather
from .page import make_page

__all__ = ["Left", "Source", "gather", "make_page"]
