"""Landscape: the loss landscape of robust networks, measured with its evidence."""

from __future__ import annotations

from pathlib import Path as _Path

__version__ = "0.1.0"

# In a checkout, analyses/ and figures/ lie beside this folder (the brief's layout) and are imported as
# landscape.analyses and landscape.figures all the same. setup.py maps them for installed copies, but a working
# directory that is the checkout shadows any installed copy, so the package looks beside itself as well.
_checkout = _Path(__file__).resolve().parent.parent
if (_checkout / "setup.py").is_file() and (_checkout / "analyses" / "__init__.py").is_file():
    __path__.append(str(_checkout))
