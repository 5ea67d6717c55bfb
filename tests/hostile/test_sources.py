"""Hostile data and checkpoints: no object is unpickled, and a file's word runs no code."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from landscape.checkpoint import save_checkpoint
from landscape.models import build_model
from tests.commands.runner import landscape
from tests.hostile.spoiling import refused


class Harm:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.mkdir, ("harmed",)


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
    by = {"eps": 0.1, "epoch": 1, "loss": "evil.py:net"}
    save_checkpoint("loss.pt", net, model_spec=spec, data_spec="digits", training=by)
    save_checkpoint("data2.pt", net, model_spec=spec, data_spec="evil.py:data", training=told)
    for name in ("model.pt", "data.pt", "loss.pt"):
        for words in (
            ("hessian",),
            ("surface",),
            ("traces",),
            ("evaluate",),
            ("sharpness",),
            ("scattering",),
            ("doctor",),
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
