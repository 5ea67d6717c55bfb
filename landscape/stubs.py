"""Inert stand-ins for a fixed list of harmless names that training scripts leave in their checkpoints.

A configuration, a NumPy score or a whole module beside the weights is no reason to refuse them. Nothing of the real
classes is imported or run: what a file says of them becomes plain data.
"""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

_MOST_MODULES, _MOST_TENSORS, _DEEPEST = 20_000, 100_000, 32


class Inert:
    """What a file made of arguments and a state, neither of which is looked at."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        """Take the state that a file gives."""
        self.state = state


class Record:
    """Makes an empty OrderedDict of any arguments: the one type that torch fills with items and with attributes."""

    def __new__(cls, *arguments: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        """Return what torch can fill, and not one of these."""
        return OrderedDict()


_INERT = {
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"{package}.multiarray.{name}"
        for package in ("numpy.core", "numpy._core")
        for name in ("scalar", "_reconstruct")
    ),
    *(f"pathlib.{local}{kind}Path" for local in ("", "_local.") for kind in ("", "Posix", "Windows", "Pure")),
    *(f"pathlib.{local}Pure{kind}Path" for local in ("", "_local.") for kind in ("Posix", "Windows")),
    "datetime.datetime",
    "datetime.timedelta",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    "omegaconf.nodes.BooleanNode",
    "omegaconf.nodes.FloatNode",
    "omegaconf.nodes.IntegerNode",
    "omegaconf.nodes.StringNode",
    "typing.Any",
}
_RECORDS = {
    "argparse.Namespace",
    "types.SimpleNamespace",
    "collections.defaultdict",
    "builtins.dict",
    "builtins.list",
    "builtins.int",
    "builtins.float",
    "easydict.EasyDict",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
}
_MODULE = re.compile(r"torch\.nn\.(modules\.\w+|parallel\.data_parallel|parallel\.distributed)\.[A-Z]\w*")


def stub_for(name: str) -> type | None:
    """Return what stands for a global of a pickle, None where the list has nothing for it."""
    if name in _INERT:
        return Inert
    return Record if name in _RECORDS or _MODULE.fullmatch(name) else None


def stubs_for(names: Iterable[str]) -> list[tuple[type, str]]:
    """Return the stand-ins for those of the names that are on the list, as torch's safe_globals takes them."""
    return [(stub, name) for name in sorted(names) if (stub := stub_for(name)) is not None]


def state_of(module: Any) -> dict[str, Tensor] | None:
    """Return the state dict of a whole module that was saved, from its stand-in; None where it is no module's."""
    if "_parameters" not in vars_of(module):
        return None
    return dict(itertools.islice(_walk(module, "", [_MOST_MODULES]), _MOST_TENSORS))


def vars_of(item: Any) -> dict[str, Any]:
    """Return the attributes that a file gave to a stand-in."""
    held = getattr(item, "__dict__", None)
    return held if isinstance(held, dict) else {}


def _walk(module: Any, prefix: str, left: list[int]) -> Iterator[tuple[str, Tensor]]:
    left[0] -= 1
    if left[0] < 0 or prefix.count(".") > _DEEPEST:  # a small file can hold a module in itself, or one many times
        return
    held = vars_of(module)
    passing = held.get("_non_persistent_buffers_set")
    for kind in ("_parameters", "_buffers"):
        values = held.get(kind)
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, Tensor) and not (kind == "_buffers" and isinstance(passing, set) and name in passing):
                yield f"{prefix}{name}", value
    inner = held.get("_modules")
    for name, value in inner.items() if isinstance(inner, dict) else ():
        yield from _walk(value, f"{prefix}{name}.", left)
