"""Arrays as one text inside a page: every bit of every number kept, NaN and infinities too, which JSON lacks."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Any

import numpy as np


class Blob:
    """Arrays gathered one by one, each once; `text` holds them all, and `index` says where.

    Bytes of one significance lie together (all first bytes, then all second ones, ...) and are deflated: numbers of a
    smooth curve share their first bytes. The page undoes both (page/arrays.js).
    """

    def __init__(self) -> None:
        self.index: list[list[Any]] = []  # [dtype, shape] of each array, in the order of their bytes
        self._parts: list[bytes] = []
        self._seen: dict[tuple[str, tuple[int, ...], bytes], int] = {}

    def add(self, array: np.ndarray) -> int:
        """Return the number by which the page finds this array; whole numbers come as float64, codes as uint8."""
        array = np.asarray(array)
        if array.dtype.kind in "iu" and array.dtype.itemsize > 1:
            array = array.astype(np.float64)
        if array.dtype.kind == "b":
            array = array.astype(np.uint8)
        code = array.dtype.newbyteorder("<").str[1:]
        assert code in ("f8", "f4", "u1"), code
        data = np.ascontiguousarray(array, dtype=f"<{code}").view(np.uint8).reshape(-1, array.dtype.itemsize)
        shuffled = np.ascontiguousarray(data.T).tobytes()
        key = (code, array.shape, hashlib.sha256(shuffled).digest())
        if key not in self._seen:
            self._seen[key] = len(self.index)
            self.index.append([code, list(array.shape)])
            self._parts.append(shuffled)
        return self._seen[key]

    @property
    def text(self) -> str:
        """All arrays in base64."""
        return base64.b64encode(zlib.compress(b"".join(self._parts), 9)).decode("ascii")
