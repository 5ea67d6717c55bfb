"""`landscape recheck`: honest files of every kind pass; what is forged, swapped or missing is named."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import landscape as package
from landscape import rechecks
from landscape.errors import ResultError
from landscape.rechecks import CHECKS
from landscape.results import KINDS
from tests.commands.runner import landscape

MADE: dict[str, tuple[str, ...]] = {
    "surface": ("--dirs", "random", "--grid", "3x2", "--range", "0.2", "--n-examples", "24", "--audit", "0"),
    "connect": ("--eps", "0.02", "--epochs", "0", "--points", "3", "--n-examples", "16"),
    "evaluate": ("--attacks", "clean,pgd5,apgd-ce:steps=3", "--n-examples", "20", "--no-adequacy"),
    "traces": ("--eps", "0,0.02", "--n-examples", "20"),
    "scattering": ("--eps", "0.02", "--n-examples", "16", "--radii", "0.5,1", "--per-example", "2"),
    "sharpness": ("--eps", "0.02", "--n-examples", "16", "--measures", "random_rise", "--random-radii", "0.1"),
}


@pytest.fixture(scope="module")
def honest(trained: Path, measured: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A result of every kind, beside the net that each was made from; read them, and leave them as they are."""
    folder = tmp_path_factory.mktemp("honest")
    for path in trained.parent.glob("tiny*"):
        shutil.copy(path, folder)
    net, first = folder / "tiny.pt", folder / "tiny-epoch0.pt"
    paths = {kind: folder / f"{kind}.h5" for kind in ("hessian", *MADE, "theory")}
    for kind, words in MADE.items():
        nets = [net, first] if kind in ("connect", "traces") else [net]
        way = ("--to", first) if kind == "scattering" else ()
        done = landscape(kind, *nets, *words, *way, "--out", paths[kind])
        assert done.code == 0, done.err
    done = landscape("theory", "--data", "digits", "--classes", "3,8", "--eps", "0.01,0.3", "--out", paths["theory"])
    assert done.code == 0, done.err
    shutil.copy(measured, paths["hessian"])
    return {**paths, "training": folder / "tiny.traces.h5"}


@pytest.fixture
def forge(honest: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Change a copy of an honest file of a kind by a function of it; return the copy, beside the net."""
    monkeypatch.setattr(rechecks, "NUDGES", 1)  # on the machine that made a file, there is nothing for six to find

    def change(kind: str, edit: Callable[[h5py.File], Any]) -> Path:
        path = Path(shutil.copy(honest[kind], "forged.h5"))
        for net in honest[kind].parent.glob("tiny*.pt"):
            shutil.copy(net, net.name)
        with h5py.File(path, "r+") as file:
            edit(file)
        return path

    return change


def test_every_kind_has_its_recheck() -> None:
    assert set(KINDS) == set(CHECKS)


@pytest.mark.parametrize("kind", ["hessian", *MADE, "theory", "training"])
def test_an_honest_file_passes(kind: str, honest: dict[str, Path]) -> None:
    done = landscape("recheck", honest[kind])
    assert done.code == 0, done.out
    assert f"PASS: {honest[kind]}" in done.out and "differ:" not in done.out
    assert done.out.rstrip().endswith(f"next: landscape plot {honest[kind]}")


@contextlib.contextmanager
def other_kernels() -> Iterator[None]:
    """Take convolutions and products from other code than usual: sums in another order, as on another device."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch speaks of Intel's GPUs when the switch is turned
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def test_other_kernels_and_batches_pass(honest: dict[str, Path]) -> None:
    files = [honest[kind] for kind in ("hessian", "surface", "connect", "evaluate")]
    with other_kernels():
        done = landscape("recheck", *files, "--batch-size", "7", "--seed", "3")
    assert done.code == 0, done.out
    assert done.out.count("PASS: ") == 4
    assert done.out.count("next: landscape plot ") == 4  # a picture is of one kind


def scale(name: str, factor: float, place: Any = ...) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file[name][place] = factor * file[name][place]

    return edit


def said(name: str, value: Any) -> Callable[[h5py.File], None]:
    return lambda file: file.attrs.__setitem__(name, value)


@pytest.mark.parametrize(
    ("kind", "edit", "words"),
    [
        ("hessian", scale("eigenvalues", 1.05, 1), "differs: eigenvalues (2): the file says"),
        ("hessian", scale("eigenvalue_se", 0.5, 2), "differs: eigenvalue_se (3)"),
        ("hessian", scale("eigenvectors", -0.5, 0), "differs: length of the eigenvector (1)"),
        ("surface", scale("loss", 1.01, (0, 1, 2)), "differs: loss beside its examples' (x 0.2, y 0.2, eps 0.02)"),
        ("surface", scale("centre_loss", 0.9), "differs: centre_loss (eps 0.02)"),
        ("connect", scale("barrier", 0.5), "differs: barrier of the losses (eps 0)"),
        ("connect", scale("test/loss", 0.9, (1, 0)), "differs: test/loss (t 0, eps 0.02)"),
        ("evaluate", scale("error_rate", 0.5, (0, 1)), "differs: error_rate from its verdicts (tiny, pgd5)"),
        ("traces", scale("gradient_norm", 0.5), "differs: gradient_norm (row 1: step 0, eps 0)"),
        ("training", scale("loss", 0.5), "differs: loss (row 1: step 0)"),
        ("sharpness", scale("random_rises", 0.5), "differs: random_rise, the mean of its directions (eps 0.02, radius"),
        (
            "hessian",
            said("train_eps", 0.1),
            "differs: training, as the checkpoint has it (train_eps): the file",
        ),
        ("sharpness", scale("lambda_1", 2.0), "differs: lambda_1 (eps 0.02)"),
        ("scattering", scale("gradient_difference", 0.5), "differs: gradient_difference (radius "),
        ("theory", scale("loss", 1.01, 1), "differs: loss (eps 0.3)"),
    ],
)
def test_a_forged_number_is_named(
    kind: str, edit: Callable[[h5py.File], None], words: str, forge: Callable[..., Path]
) -> None:
    done = landscape("recheck", forge(kind, edit), "--sample", "all")
    assert done.code == 1
    assert words in done.out and "FAIL: forged.h5" in done.out


def test_a_cell_forged_with_its_examples_is_found_where_it_is_recomputed(forge: Callable[..., Path]) -> None:
    def edit(file: h5py.File) -> None:
        for name in ("loss", "example_loss"):
            file[name][0, 1, 2] = 1.3 * file[name][0, 1, 2]

    done = landscape("recheck", forge("surface", edit), "--sample", "all")
    assert done.code == 1 and "differs: loss (x 0.2, y 0.2, eps 0.02): the file says" in done.out


def test_accuracy_forged_with_its_verdicts_is_found(forge: Callable[..., Path]) -> None:
    def edit(file: h5py.File) -> None:
        file["correct"][0, 1:] = True
        for name, value in (("error_rate", 0.0), ("error_low", 0.0), ("error_high", 0.1611253)):
            file[name][0, 1:] = value
        file["worst_case"][0] = 1 - file["correct"][0].all(0).mean()

    done = landscape("recheck", forge("evaluate", edit), "--sample", "all")
    assert done.code == 1 and "differs: verdicts of tiny (pgd5, example " in done.out


def test_a_list_without_its_first_pair_is_named(forge: Callable[..., Path]) -> None:
    def edit(file: h5py.File) -> None:
        for name in ("eigenvalues", "residuals", "eigenvalue_se", "gauss_newton", "gradient_projection"):
            file[name][:2] = file[name][1:]
        file["eigenvectors"][:2] = file["eigenvectors"][1:]
        # The last pair stands twice; it is told from its twin by nothing but the angle.

    done = landscape("recheck", forge("hessian", edit), "--sample", "all")
    assert done.code == 1 and "largest |v_i'v_j|" in done.out


def test_a_pair_left_out_at_the_end_of_the_list_is_seen_by_a_random_start(forge: Callable[..., Path]) -> None:
    def edit(file: h5py.File) -> None:
        # The pair of the largest eigenvalue goes, and the file is one of two pairs.
        arrays = {name: file[name][1:] for name in file if name not in ("P", "k", "m")}
        for name in [*file]:
            del file[name]
        for name, array in arrays.items():
            file[name] = array

    done = landscape("recheck", forge("hessian", edit))
    assert done.code == 1 and "differs: what the list leaves out" in done.out


def test_another_checkpoint_is_named(forge: Callable[..., Path]) -> None:
    path = forge("hessian", lambda file: file.attrs.__setitem__("checkpoint_file", "tiny.pt"))
    shutil.copy("tiny-epoch0.pt", "tiny.pt")
    done = landscape("recheck", path)
    assert done.code == 1 and done.out == ""
    assert "tiny.pt is another checkpoint than the one that forged.h5 was made from: its sha256 is" in done.err
    given = landscape("recheck", path, "--checkpoint", "tiny-epoch0.pt")
    assert given.code == 1 and "tiny-epoch0.pt is another checkpoint" in given.err


def test_a_missing_checkpoint_is_asked_for_and_taken(forge: Callable[..., Path]) -> None:
    path = forge("hessian", lambda file: file.attrs.__setitem__("checkpoint_file", "gone/tiny.pt"))
    shutil.move("tiny.pt", "moved.pt")
    done = landscape("recheck", path)
    assert done.code == 1 and "which is not here; name it with --checkpoint PATH" in done.err
    assert landscape("recheck", path, "--checkpoint", "moved.pt", "--sample", "1").code == 0


def test_sources_that_are_not_those_of_the_file(forge: Callable[..., Path]) -> None:
    images = np.zeros((64, 1, 8, 8), dtype=np.uint8)
    np.savez("other.npz", images=images, labels=np.arange(64) % 10)
    path = forge("hessian", lambda file: None)
    other = landscape("recheck", path, "--data", "other.npz")
    assert other.code == 1 and "was made on other data than other.npz" in other.err
    for name, value, said in (
        ("schema_version", np.int64(99), "has schema 99; wanted 1"),
        ("data", "data.py:make", "a file's word runs no code; type --data data.py:make"),
        ("attack", "pgd:steps=0", "holds settings that no run can have had"),
        ("attack", "pgd:steps=1000000000", "holds settings that no run can have had"),
        ("n_examples", np.int64(10**9), "holds settings that no run can have had"),
    ):
        done = landscape("recheck", forge("hessian", lambda file, n=name, v=value: file.attrs.__setitem__(n, v)))
        assert done.code == 1 and said in done.err, name
    fewer = landscape("recheck", forge("evaluate", lambda file: file.attrs.__setitem__("n_examples", np.int64(9))))
    assert fewer.code == 1 and "is over other examples than its seed and its count choose" in fewer.err
    bogus = landscape("recheck", forge("surface", lambda file: file.attrs.__setitem__("batchnorm", "bogus-recal")))
    assert (bogus.code == 1 and "forged.h5 does not hold together" in bogus.err) or "no run can have had" in bogus.err
    partial = landscape("recheck", forge("training", lambda file: file.attrs.__setitem__("status", "partial")))
    assert partial.code == 1 and "is a partial result; repeat the command that began it" in partial.err


def test_one_file_that_cannot_be_rechecked_does_not_stop_the_others(honest: dict[str, Path]) -> None:
    Path("broken.h5").write_bytes(b"not HDF5")
    done = landscape("recheck", "broken.h5", honest["theory"], "-q")
    assert done.code == 1 and done.out == "" and "broken.h5 is no HDF5 file" in done.err
    assert "Traceback" not in done.err


def test_in_python_a_net_in_memory_is_named_by_hand(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Softplus(), nn.Linear(5, 3))
    with torch.no_grad():
        for value in net.parameters():
            value.copy_(0.5 * torch.randn(value.shape, generator=generator))
    data = (torch.rand(30, 1, 2, 2, generator=generator), torch.arange(30) % 3)
    result = package.hessian(net, data, eps=0.05, top=4)
    path = result.save(tmp_path / "h.h5")
    found = package.recheck(path, model=net, data=data, sample="all")
    assert found.passed and found.kind == "hessian" and "PASS" in repr(found)
    with pytest.raises(ResultError, match="does not say which data"):
        package.recheck(path)
    with pytest.raises(ResultError, match="made from a net in memory"):
        package.recheck(path, data=data)
    result.arrays["eigenvalues"][3] *= 0.99
    forged = package.recheck(result.save(tmp_path / "f.h5"), model=net, data=data, sample="all")
    assert [check.which for check in forged.differing if check.group == "eigenvalues"] == ["4"]
    assert "1 of" in repr(forged) or "numbers differ" in repr(forged)
    # Another net of the same shape is not the net of the file.
    with torch.no_grad():
        net[1].weight.mul_(1.1)
    assert not package.recheck(path, model=net, data=data).passed
