"""A SPEC names a net or a data set, and what it cannot mean is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape.errors import UsageError
from landscape.spec import Spec, load_callable, nearest, parse_spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("digits", Spec("digits")),
        (" digits ", Spec("digits")),
        ("lenet:width=16", Spec("lenet", {"width": "16"})),
        ("lenet:width=4,input=1x8x8,classes=10", Spec("lenet", {"width": "4", "input": "1x8x8", "classes": "10"})),
        ("lenet: width = 4 , classes = 10", Spec("lenet", {"width": "4", "classes": "10"})),
        ("nets.wide:build", Spec("nets.wide", callable="build")),
        ("path/to/nets.py:build", Spec("path/to/nets.py", callable="build")),
        ("C:/nets.py:build", Spec("C:/nets.py", callable="build")),
        ("my/images.npz", Spec("my/images.npz")),
    ],
)
def test_a_spec_is_a_name_settings_or_a_callable(text: str, spec: Spec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize("text", ["", "  ", ":", ":build", "lenet:"])
def test_a_spec_without_a_name_or_a_tail_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="is no spec; write NAME"):
        parse_spec(text)


@pytest.mark.parametrize("text", ["lenet:width=", "lenet:=4", "lenet:width=4,", "lenet:width=4,deep"])
def test_half_a_setting_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="is no setting; write key=value"):
        parse_spec(text)


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="'width' is set twice"):
        parse_spec("lenet:width=4,width=8")


words = st.text("abcdefghijklmnopqrstuvwxyz0123456789_.", min_size=1)


@given(words, st.dictionaries(words, words, min_size=1))
def test_settings_survive_a_round_trip(head: str, settings: dict[str, str]) -> None:
    assert parse_spec(str(Spec(head, settings))) == Spec(head, settings)


@given(words, words)
def test_callables_survive_a_round_trip(head: str, name: str) -> None:
    assert parse_spec(str(Spec(head, callable=name))) == Spec(head, callable=name)


def test_the_nearest_names_are_offered_or_all() -> None:
    assert nearest("resnet81", ["lenet", "resnet18", "vgg16"]).startswith("did you mean resnet18")
    assert nearest("transformer", ["vgg16", "lenet"]) == "there are lenet, vgg16"


def test_a_callable_is_imported_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "nets.py"
    file.write_text(
        "import dataclasses\n@dataclasses.dataclass\nclass Net:\n    width: int = 3\ndef build():\n    return Net()\n"
    )
    assert load_callable(parse_spec(f"{file}:build"))().width == 3


def test_a_callable_is_imported_from_a_module() -> None:
    assert load_callable(Spec("math", callable="sqrt"))(4) == 2


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("def build(): ...\n", "biuld", "has no callable 'biuld'; did you mean build?"),
        ("build = 3\n", "build", "has no callable 'build'"),
        ("raise ValueError('broken')\n", "build", "failed when it was run: ValueError: broken"),
        ("def build(:\n", "build", "failed when it was run: SyntaxError"),
        ("import no_such_package\n", "build", "failed when it was run: ModuleNotFoundError"),
    ],
)
def test_a_file_that_does_not_serve_says_why(tmp_path: Path, source: str, name: str, message: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(UsageError, match=re.escape(message)):
        load_callable(Spec(str(file), callable=name))


def test_a_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there; name an existing .py file"):
        load_callable(Spec(str(tmp_path / "gone.py"), callable="build"))


def test_a_module_that_is_absent_is_named() -> None:
    with pytest.raises(UsageError, match="module 'no_such_package.nets' cannot be imported"):
        load_callable(Spec("no_such_package.nets", callable="build"))


def test_a_spec_without_a_callable_is_refused() -> None:
    with pytest.raises(UsageError, match="names no callable; write nets.py:callable"):
        load_callable(Spec("nets.py"))
