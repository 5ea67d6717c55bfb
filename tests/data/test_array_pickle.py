import contextlib
import os
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape.data.array_pickle import read_array_pickle
from landscape.errors import DataError
from tests.data.layouts import python2_batch

DATA = np.arange(24, dtype=np.uint8).reshape(4, 6)


class Calls:
    """Pickles into a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def reads_as(content: bytes) -> Any:
    return read_array_pickle(content, "batch")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_an_array_comes_back_as_numpy_wrote_it(protocol: int) -> None:
    batch = reads_as(pickle.dumps({"data": DATA, "labels": [1, 2], "name": "ü"}, protocol=protocol))
    np.testing.assert_array_equal(batch["data"], DATA)
    assert batch["data"].dtype == np.uint8
    assert batch["labels"] == [1, 2]


def test_the_order_of_fortran_arrays_is_kept() -> None:
    np.testing.assert_array_equal(reads_as(pickle.dumps(np.asfortranarray(DATA), protocol=4)), DATA)


def test_the_opcodes_of_python_2_are_read_and_its_strings_are_bytes() -> None:
    content = python2_batch(DATA, [3, 1, 0, 9])
    official = pickle.loads(content, encoding="bytes")  # what everybody runs on the official files
    batch = reads_as(content)
    assert batch.keys() == official.keys() == {b"data", b"labels", b"batch_label"}
    np.testing.assert_array_equal(batch[b"data"], official[b"data"])
    assert batch[b"labels"] == official[b"labels"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch pwned",)),
        (eval, ("open('pwned', 'w')",)),
        (exec, ("open('pwned', 'w')",)),
        (open, ("pwned", "w")),
        (getattr, (os, "system")),
        (__import__, ("os",)),
        (np.load, ("pwned",)),
        (np.fromfile, ("/etc/passwd",)),
        (np.memmap, ("pwned", "uint8", "w+", 0, (1,))),
    ],
)
def test_a_pickle_that_names_anything_else_runs_nothing(
    function: Any, arguments: Any, protocol: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # A module cannot be pickled; its name does as well for getattr.
    arguments = tuple("os" if argument is os else argument for argument in arguments)
    content = pickle.dumps({"data": DATA, "labels": Calls(function, *arguments)}, protocol=protocol)
    with pytest.raises(DataError, match=r"batch names \S+\.\S+, and is not read"):
        reads_as(content)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8c\x05numpy\x8c\x0ef2py.os.system\x93\x8c\x02id\x85R.",  # a dotted name, through a module
        b"cnumpy.core.multiarray\nos\n.",  # another name of an admitted module
        b"(Vid\nios\nsystem\n.",  # INST
        b"\x80\x02cbuiltins\nobject\n)\x81.",  # NEWOBJ
        b"Ppersistent\n.",
        b"\x82\x01.",  # an extension code
    ],
)
def test_no_other_road_leads_to_a_name(content: bytes) -> None:
    with pytest.raises(DataError, match="^batch "):
        reads_as(content)


def test_the_admitted_names_are_not_numpys_own() -> None:
    # Calling the real dtype or ndarray with arguments of the file's choice would be its choice of code to run.
    stand_in = reads_as(b"cnumpy\nndarray\n(I1000000000000\ntR.")
    assert stand_in is None
    assert type(reads_as(b"cnumpy\ndtype\n(S'O'\ntR.")).__module__ == "landscape.data.array_pickle"


@pytest.mark.parametrize(
    "array",
    [np.arange(3.0), np.array([{}], dtype=object), np.array(["a"]), np.zeros(2, [("a", "u1"), ("b", "u1")])],
)
def test_arrays_of_other_types_are_refused(array: np.ndarray) -> None:
    with pytest.raises(DataError, match="another type than uint8"):
        reads_as(pickle.dumps(array, protocol=2))


def test_a_damaged_index_reserves_no_memory() -> None:
    # 0xfffffff0 as the place of a memo: Python's unpickler in C would make room for 4 billion entries before it.
    assert reads_as(b"\x80\x02K\x07r\xf0\xff\xff\xff.") == 7


@given(st.data())
def test_damage_is_a_data_error_and_nothing_else(data: st.DataObject) -> None:
    content = bytearray(python2_batch(DATA, [3, 1, 0, 9]))
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    for damaged in (bytes(content), bytes(content[:cut])):
        with contextlib.suppress(DataError):
            reads_as(damaged)
