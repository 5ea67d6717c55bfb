"""Hostile results, through every command that reads them: one sentence each, nothing run, no wait, little memory."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from landscape.checkpoint import save_checkpoint
from landscape.models import build_model
from landscape.results import write_snapshot
from tests.commands.runner import landscape
from tests.hostile.spoiling import Spoil, attribute, linked, refused, replaced
from tests.results.made import hessian, with_density


def looped(file: h5py.File) -> None:
    del file["density"]
    file["density"], file["other"] = h5py.SoftLink("/other"), h5py.SoftLink("/density")


def within_itself(file: h5py.File) -> None:
    file["density/density"] = file["density"]


def virtual(file: h5py.File) -> None:
    """Let a source be a pipe, which an open would wait at for ever, and its size unlimited, which opens it at once."""
    del file["residuals"]
    layout = h5py.VirtualLayout(shape=(20,), dtype="f8", maxshape=(None,))
    source = h5py.VirtualSource("pipe", "x", shape=(20,), maxshape=(None,))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    file.create_virtual_dataset("residuals", layout)


def filtered(file: h5py.File) -> None:
    del file["residuals"]
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((20,))
    plan.set_filter(32_015, h5py.h5z.FLAG_OPTIONAL, (1,))  # a plugin's: HDF5 would look for a library to load
    h5py.h5d.create(file.id, b"residuals", h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((20,)), plan).write(
        h5py.h5s.ALL, h5py.h5s.ALL, np.ones(20)
    )


PACKED = {"compression": "gzip", "compression_opts": 1}
HOSTILE: dict[str, tuple[Spoil, str]] = {
    "a bomb": (replaced("residuals", data=np.zeros(2**21 + 8), chunks=(2**21 + 8,), **PACKED), "claims 16777280 bytes"),
    "a bomb of a chunk": (
        replaced("residuals", data=np.zeros(20), maxshape=(None,), chunks=(2**21 + 8,), **PACKED),
        "claims 16777280 bytes with",
    ),
    "nothing stored": (
        replaced("residuals", shape=(2**40,), dtype="f8", chunks=(2**20,)),
        "claims 8796093022208 bytes",
    ),
    "a plugin": (filtered, "packed in a way that is not read"),
    "external": (replaced("residuals", shape=(20,), dtype="f8", external=[("pipe", 0, 160)]), "lies in another file"),
    "virtual": (virtual, "lies in another file"),
    "link out": (linked("residuals", h5py.ExternalLink("pipe", "/x")), "residuals is a link or a group"),
    "group out": (linked("density", h5py.ExternalLink("pipe", "/x")), "density is a link or an array"),
    "link loop": (looped, "density is a link or an array"),
    "group in itself": (within_itself, "'density/density' is no array"),
    "references": (
        replaced("residuals", shape=(20,), dtype=h5py.ref_dtype),
        "residuals is of dtype object; wanted numbers or texts",
    ),
    "records": (replaced("residuals", shape=(20,), dtype=[("a", "f8"), ("b", "i4")]), "wanted numbers or texts"),
    "complex": (replaced("residuals", data=np.ones(20, complex)), "is of dtype complex128"),
    "sequences": (replaced("residuals", shape=(20,), dtype=h5py.vlen_dtype("f8")), "wanted numbers or texts"),
    "texts for numbers": (replaced("residuals", data=["1"] * 20), "residuals is of dtype object; wanted float64"),
    "half precision": (replaced("residuals", data=np.ones(20, "f2")), "residuals is of dtype float16; wanted float64"),
    "a reference": (lambda file: file.attrs.create("seed", file["k"].ref), "'seed' is of dtype Reference"),
    "a record": (attribute("seed", np.zeros((), [("a", "f8")])), "'seed' is of dtype [('a', '<f8')]"),
    "bits": (attribute("seed", np.void(b"abc")), "'seed' is of dtype |V3"),
    "text for a number": (attribute("n_examples", "many"), "'n_examples' is 'many'"),
    "Latin-1": (attribute("model", b"r\xe9seau", h5py.string_dtype()), "text that is not UTF-8"),
    "bytes": (attribute("model", np.bytes_(b"r\xe9seau")), "attribute 'model' is b'r\\xe9seau'"),
    "NUL": (attribute("model", np.array(b"a\0b", "S3")), "attribute 'model'"),
    "JSON without end": (attribute("training", "[" * 50_000), "'training' is no JSON"),
    "an empty name": (attribute("checkpoint", h5py.Empty("f8")), ""),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_result_is_refused_by_every_reader(case: str) -> None:
    spoil, told = HOSTILE[case]
    os.mkfifo("pipe")
    hessian(**with_density()).save("h.h5")
    with h5py.File("h.h5", "r+") as file:
        spoil(file)
    if not told:
        assert landscape("info", "h.h5").code == 0
        return
    assert told in refused("info", "h.h5")
    if case in ("a bomb", "virtual", "group out", "Latin-1"):  # the others take the same door
        net, spec = build_model("linear", seed=0)
        save_checkpoint("n.pt", net, model_spec=spec, data_spec="digits", training={"eps": 0.1})
        for words in (("plot", "h.h5"), ("compare", "h.h5"), ("surface", "n.pt", "--dirs", "h.h5")):
            assert told in refused(*words)


def test_many_small_bombs_are_one_bomb() -> None:
    write_snapshot("h.h5.partial", {"values": np.ones(3)}, {}, identity={"eps": 0.1})
    with h5py.File("h.h5.partial", "r+") as file:
        for number in range(5):  # each of a size that is read
            file.create_dataset(f"a{number}", data=np.zeros(2**21 - 8), chunks=(2**21 - 8,), **PACKED)
    assert "its arrays claim 83885" in refused("info", "h.h5.partial")


@pytest.mark.parametrize("name", ["eps", "checkpoint_sha256", "kind", "schema_version", "n_parameters", "status"])
def test_a_result_without_an_attribute_says_which(name: str) -> None:
    hessian().save("h.h5")
    with h5py.File("h.h5", "r+") as file:
        del file.attrs[name]
    assert name in refused("info", "h.h5")


def test_one_text_under_many_names_cannot_multiply() -> None:
    """Every element of an array of texts is a reference, and all of them can be to one long text."""
    from tests.results.made_evaluate import evaluation

    evaluation().save("e.h5")
    with h5py.File("e.h5", "r+") as file:
        del file["attacks"]
        many = file.create_dataset("attacks", data=["a" * 2**20, *["b"] * 20_000], dtype=h5py.string_dtype())
        offset, count = many.id.get_offset(), many.size
    content = bytearray(Path("e.h5").read_bytes())
    content[offset : offset + 16 * count] = content[offset : offset + 16] * count
    Path("e.h5").write_bytes(content)  # 20 GB of text in 1.4 MB
    assert "attacks holds 20001 texts that the file could not" in refused("info", "e.h5")


def test_what_a_file_says_moves_no_cursor_and_is_no_markup() -> None:
    said = "\x1b[2J\u202enet [/bold] $\\frac{$"
    hessian(checkpoint=said, model=said, training={"eps": 0.1, "seed": 0, "note": said}).save("h.h5")
    done = landscape("info", "h.h5")
    assert done.code == 0
    assert "\\x1b[2J\\u202enet [/bold]" in done.out
    assert "\x1b" not in done.out
    assert landscape("plot", "h.h5").code == 0


@pytest.mark.parametrize("size", [0, 2**64 - 16, 2**64 - 64], ids=["0", "nothing", "back"])
def test_a_text_whose_size_leads_nowhere_is_no_loop(size: int) -> None:
    """HDF5 steps from text to text by their sizes, and a step of 0, or back, is its last."""
    hessian().save("h.h5")
    content = bytearray(Path("h.h5").read_bytes())
    place = content.find(b"GCOL\x01") + 16  # the first text, free from now on
    content[place : place + 16] = b"\0" * 8 + size.to_bytes(8, "little")
    Path("h.h5").write_bytes(content)
    assert "texts whose sizes lead nowhere" in refused("info", "h.h5")
