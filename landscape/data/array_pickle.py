"""Pickles of uint8 arrays and plain containers, read without running anything that they name."""

from __future__ import annotations

import io
import math
import pickle
import struct
from typing import Any

import numpy as np

from ..errors import DataError

# What comes out of the standard unpickler when bytes were lost or changed.
_DAMAGE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


def read_array_pickle(content: bytes, where: str) -> Any:
    """Return what a pickle holds: plain Python and uint8 arrays, Python 2's strings as bytes.

    No class or function named in the pickle is imported: the few names that NumPy writes for an array are answered
    by stand-ins of our own, every other name is refused. Raises DataError, naming `where`.
    """
    try:
        value = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        return _arrays(value)
    except DataError as error:
        raise DataError(f"{where} {error}") from error
    except _DAMAGE as error:
        raise DataError(f"{where} is a damaged pickle; delete it and fetch it again") from error


class _Array:
    """Stands in for numpy.ndarray and its _reconstruct: takes the state of an array, checks it, builds it."""

    array: np.ndarray | None = None

    def __init__(self, *ignored: Any) -> None:
        """Take the arguments of _reconstruct: the class, a shape and a type that its state will say again."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _DType) or dtype.code not in ("u1", "B"):
            raise DataError("holds an array of another type than uint8; only such are read")
        if not isinstance(content, bytes | bytearray) or math.prod(shape) != len(content):
            raise ValueError("the array's bytes do not fit its shape")
        flat = np.frombuffer(content, np.uint8)
        self.array = flat.reshape(shape, order="F" if fortran else "C")


class _DType:
    """Stands in for numpy.dtype: remembers the code of the type."""

    def __init__(self, code: Any, *ignored: Any) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, state: Any) -> None:
        """Drop byte order and fields: a single byte has none."""


class _Bytes(bytes):
    """Stands in for _codecs.encode: Python 3 writes bytes so in the protocols of Python 2."""

    def __new__(cls, text: str = "", encoding: str = "latin1") -> _Bytes:
        return super().__new__(cls, text.encode("latin1"))

    def __setstate__(self, state: Any) -> None:
        raise ValueError("bytes have no state")


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _Bytes,
}


# The unpickler in Python rather than the one in C, which reserves memory for any index that a damaged file asks for
# (up to 64 GiB); a batch of CIFAR-10 takes a few hundredths of a second in either.
class _ArraysOnly(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise DataError(
                f"names {module}.{name}, and is not read: a pickle can run code, and this one asks for more than "
                "arrays; use the binary version (cifar-10-binary.tar.gz)"
            ) from None


def _arrays(value: Any) -> Any:
    """Replace the stand-ins in a value and, one level down, in a dict by their arrays."""
    if isinstance(value, dict):
        return {key: item.array if isinstance(item, _Array) else item for key, item in value.items()}
    return value.array if isinstance(value, _Array) else value
