"""Files made to harm, through every command that reads them: one sentence each, nothing run, no wait, little memory."""

from __future__ import annotations

import io
import os
import resource
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from landscape.checkpoint import save_checkpoint
from landscape.errors import ResultError
from landscape.models import build_model
from landscape.results import GrowingResult, growing_progress, read_result, read_snapshot, write_snapshot
from landscape.training.resume import write_state
from tests.commands.runner import landscape
from tests.results.made import hessian, with_density

MEMORY, SECONDS = 200 * 2**20, 10.0  # bytes that a process may grow by over one file, and its CPU time


class Harm:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.mkdir, ("harmed",)


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Hold each test to the bounds on memory and time, and to leaving nothing behind that a file asked for."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert time.process_time() - began < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY
    assert not Path("harmed").exists()


def refused(*words: str | Path, code: int = 1) -> str:
    """Return the one sentence that a command refuses with."""
    done = landscape(*words)
    assert done.code == code, (done, words)
    lines = done.err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("Error: ")
    assert len(lines[0]) < 1000
    assert lines[0].isprintable()
    return lines[0]


Spoil = Callable[[h5py.File], Any]


def replaced(name: str, **new: Any) -> Spoil:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **new)

    return change


def attribute(name: str, value: Any, dtype: Any = None) -> Spoil:
    return lambda file: file.attrs.create(name, value, dtype=dtype)


def linked(name: str, link: Any) -> Spoil:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = link

    return change


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


def snapshot(change: Callable[[h5py.File], Any]) -> None:
    write_snapshot("h.h5.partial", {"values": np.ones(3), "residuals": np.ones(3)}, {}, identity={"eps": 0.1})
    with h5py.File("h.h5.partial", "r+") as file:
        change(file)


@pytest.mark.parametrize(
    "change",
    [
        attribute("identity", "[1]"),
        attribute("identity", np.ones(3)),
        attribute("identity", "{"),
        attribute("schema_version", np.ones(3)),
        attribute("kind", np.array(["snapshot"], h5py.string_dtype())),
        lambda file: file.attrs.__delitem__("identity"),
        lambda file: file["values"].attrs.__delitem__("crc32"),
        lambda file: file["values"].attrs.create("crc32", np.ones(3)),
        replaced("values", shape=(3,), dtype=h5py.vlen_dtype("f8")),
        replaced("values", shape=(2**40,), dtype="f8", chunks=(2**20,)),
        replaced("values", shape=(3,), dtype="f8", external=[("pipe", 0, 24)]),
        linked("values", h5py.ExternalLink("pipe", "/x")),
    ],
)
def test_a_hostile_snapshot_is_refused(change: Callable[[h5py.File], Any]) -> None:
    os.mkfifo("pipe")
    snapshot(change)
    with pytest.raises(ResultError, match=r"h\.h5\.partial"):
        read_snapshot("h.h5.partial", identity={"eps": 0.1})
    refused("info", "h.h5.partial")


ARRAYS = {"loss": np.full((1, 2, 2), np.nan), "status": np.zeros((1, 2, 2), np.uint8)}


@pytest.mark.parametrize(
    "change",
    [
        replaced("checksum", shape=(2**20, 2**20), dtype="u4", chunks=(2**9, 2**9)),
        replaced("checksum", data=np.ones((3, 2), np.uint32)),
        replaced("loss", data=np.ones((1, 2, 2), np.float32)),
        replaced("loss", shape=(1, 2, 2), dtype="f8", external=[("pipe", 0, 32)]),
        linked("loss", h5py.ExternalLink("pipe", "/x")),
        attribute("identity", "[]"),
        lambda file: file.__delitem__("loss"),
    ],
)
def test_a_hostile_scan_is_not_gone_on_with(change: Callable[[h5py.File], Any]) -> None:
    os.mkfifo("pipe")
    with GrowingResult("s.h5", {"eps": 0.1}) as growing:
        growing.open(ARRAYS, {"x": np.arange(2.0)})
        growing.put(0, 1, {"loss": np.ones(1), "status": np.ones(1, np.uint8)})
    assert growing_progress("s.h5.partial") == (1, 4)
    with h5py.File("s.h5.partial", "r+") as file:
        change(file)
    with pytest.raises(ResultError, match=r"s\.h5\.partial"), GrowingResult("s.h5", {"eps": 0.1}) as growing:
        growing.open(ARRAYS, {})


def test_a_state_that_is_not_a_run_s_is_told_when_it_is_taken_up() -> None:
    words = ("hessian", "digits/eps0.1", "--top", "1", "--n-examples", "20", "--out", "h.h5", "--tol", "0.1")
    assert landscape(*words).code == 0
    identity = {
        **read_result("h.h5", only=()).attrs["settings"],
        "landscape_version": __import__("landscape").__version__,
    }
    Path("h.h5").unlink()
    write_snapshot("h.h5.partial", {"junk": np.ones(3)}, {}, identity=identity)
    assert "does not hold what this run goes on from (KeyError" in refused(*words)
    write_state(Path("t.resume.pt"), {"trainer": {}}, settings={})
    trained = ("train", "--data", "digits", "--model", "linear", "--eps", "0", "--epochs", "1", "--out", "t.pt")
    done = landscape(*trained, "--resume")
    assert done.code == 1
    assert "t.resume.pt belongs to a run of other settings" in done.err


def npz(**arrays: Any) -> None:
    np.savez("d.npz", **arrays)


def bomb() -> None:
    np.savez_compressed("d.npz", images=np.zeros((2**17, 32, 32), np.uint8), labels=np.zeros(2**17, np.int64))


def claimed(shape: str, kind: str = "|u1") -> None:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    with zipfile.ZipFile("d.npz", "w") as archive:
        for name in ("images", "labels"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


def odd_packing() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 8, 8), np.uint8))
    with zipfile.ZipFile("d.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", buffer.getvalue())
        archive.writestr("labels.npy", buffer.getvalue())


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: npz(images=np.array([Harm(), Harm()], object), labels=np.zeros(2, int)), "cannot be read as .npz"),
        (lambda: npz(images=np.zeros((2, 8, 8), "u1"), labels=np.array([Harm(), None], object)), "cannot be read as"),
        (bomb, "claims 135,266,"),
        (lambda: claimed("(1000000000000,)"), "cannot be read as .npz"),
        (lambda: claimed("(-1,)"), "cannot be read as .npz"),
        (lambda: claimed("__import__('os').mkdir('harmed')"), "cannot be read as .npz"),
        (lambda: claimed("(0,)", "|O"), "cannot be read as .npz"),
        (odd_packing, "packed in a way that NumPy does not write"),
        (lambda: npz(images=np.array(["a", "b"]), labels=np.zeros(2, int)), "wanted numbers"),
        (lambda: npz(images=np.full((2, 8, 8), np.nan), labels=np.zeros(2, int)), "hold NaN"),
        (lambda: npz(images=np.zeros(2, [("a", "f8")]), labels=np.zeros(2, int)), "wanted numbers"),
        (lambda: Path("d.npz").write_bytes(b"PK\x03\x04" + bytes(100)), "cannot be read as .npz"),
    ],
)
def test_a_hostile_npz_is_refused(make: Callable[[], Any], told: str) -> None:
    make()
    assert told in refused("hessian", "digits/eps0", "--data", "d.npz", "--eps", "0")


def test_a_checkpoint_s_word_runs_no_code_by_any_command() -> None:
    """A spec that a file records is not the user's word, wherever it stands: as the net, as the data, as both."""
    Path("evil.py").write_text("import os\nos.mkdir('harmed')\ndef net(): pass\ndef data(train): pass\n")
    net, spec = build_model("linear", seed=0)
    save_checkpoint("model.pt", net, model_spec="evil.py:net", data_spec="digits", training={"eps": 0.1, "epoch": 1})
    save_checkpoint("data.pt", net, model_spec=spec, data_spec="evil.py:data", training={"eps": 0.1, "epoch": 1})
    told = {"epoch": 2, "eps": 0.1, "batch_size": 64, "holdout": 0}
    save_checkpoint("data2.pt", net, model_spec=spec, data_spec="evil.py:data", training=told)
    for name in ("model.pt", "data.pt"):
        for words in (
            ("hessian",),
            ("surface",),
            ("traces",),
            ("evaluate",),
            ("sharpness",),
            ("connect", "digits/eps0"),
        ):
            message = refused(*words, name, code=2)
            assert "evil.py" in message
        assert landscape("info", name).code == 0
    # The user's own data: the file's are of no interest, on neither split.
    measured = ("--data", "digits", "--eps", "0", "--n-examples", "10")
    for split in ("train", "test"):
        done = landscape("traces", "data2.pt", *measured, "--split", split, "--out", f"{split}.h5")
        assert done.code == 0, done.err
    refused("surface", "model.pt", "--dirs", "data.pt,model.pt", "--data", "digits", code=2)


def test_a_pipe_is_no_file() -> None:
    os.mkfifo("p.h5")
    os.mkfifo("p.pt")
    os.mkfifo("p.npz")
    assert "is a pipe or a device" in refused("info", "p.h5")
    assert "is a pipe or a device" in refused("info", "p.pt")
    assert "is not there" in refused("hessian", "digits/eps0", "--data", "p.npz", "--eps", "0")


def test_safetensors_with_settings_that_are_none_are_refused() -> None:
    import safetensors.torch

    for text in ("[1]", "{", "[" * 50_000, '{"format": "landscape-checkpoint/1", "model": 3}'):
        content = safetensors.torch.save({"a": torch.ones(2)}, metadata={"landscape": text})
        Path("n.safetensors").write_bytes(content)
        refused("info", "n.safetensors")
