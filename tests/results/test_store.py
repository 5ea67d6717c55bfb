from __future__ import annotations

import contextlib
import errno
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray

from landscape.errors import LandscapeError, ResultError
from landscape.results import Result, read_kind, read_result, store
from landscape.results.store import array_shapes
from tests.results.made import hessian, with_density

ROOT = Path(__file__).resolve().parents[2]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and one == other


def assert_equal(one: Result, other: Result) -> None:
    assert one.kind == other.kind
    assert list(one.arrays) == list(other.arrays)
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], strict=True)
    assert one.attrs.keys() == other.attrs.keys()
    assert [name for name in one.attrs if not same(one.attrs[name], other.attrs[name])] == []


ODD: list[dict[str, Any]] = [
    {},
    {"eps": float("nan"), "loss": None, "eigenvalue_se": np.full(20, np.nan)},
    {"checkpoint": ["a.pt", "bé.pt"], "checkpoint_sha256": ["ab" * 32, "cd" * 32], "training": [{"eps": 0.1}, None]},
    {"checkpoint": None, "model": None, "training": None, "seed": None, "guard_passed": None, "torch_version": None},
    {"guard_passed": False, "compiled": True, "count": 1, "weight": 1.0, "none": None, "text": "", "line": "a\nβ"},
    {"tolerances": [0.1, float("inf")], "indices": [3, 1, 2], "empty": [], "long": "x" * 200_000},
    {
        "training": {
            "history": [{"loss": float("nan"), "epoch": 1}] * 3,
            "eps": 4 / 255,
            "name": "ü",
            "nested": {"a": []},
        }
    },
    {"k": 1, "m": 1, "n_parameters": 1},
    {"k": 0, "m": 0, "status": "partial"},
    with_density(),
]


@pytest.mark.parametrize("attrs", ODD)
def test_what_is_read_is_what_was_written(tmp_path: Path, attrs: dict[str, Any]) -> None:
    written = hessian(**attrs)
    read = read_result(written.save(tmp_path / "h.h5"))
    assert_equal(written, read)
    assert_equal(read, read_result(read.save(tmp_path / "again.h5")))


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = hessian().save(tmp_path / "a.h5"), hessian().save(tmp_path / "b.h5")
    assert one.read_bytes() == other.read_bytes()


def test_xarray_opens_the_file_with_named_dimensions(tmp_path: Path) -> None:
    result = hessian(k=5, m=2, n_parameters=300)
    with xarray.open_dataset(result.save(tmp_path / "h.h5"), engine="h5netcdf") as found:
        assert dict(found.sizes) == {"k": 5, "m": 2, "P": 300}
        assert found["eigenvectors"].dims == ("m", "P")
        np.testing.assert_array_equal(found["k"], [1, 2, 3, 4, 5])
        assert "P" not in found.coords
        assert found["eigenvalues"].attrs["units"] == "nats"
        assert found.attrs["guard_passed"] == 1
        # In memory it is the same data set, without the way through a file.
        xarray.testing.assert_identical(found.load(), result.to_xarray())


def test_a_group_s_arrays_have_scales_of_their_own(tmp_path: Path) -> None:
    result = hessian(**with_density())
    path = result.save(tmp_path / "h.h5")
    with xarray.open_dataset(path, group="density", engine="h5netcdf") as found:
        assert found["values"].dims == ("grid",) and found["weights"].dims == ("nodes",)
        np.testing.assert_array_equal(found["grid"], result.arrays["density/grid"])
    assert result.to_xarray()["density_values"].dims == ("density_grid",)
    with h5py.File(path) as file:
        assert file["density/values"].dims[0][0].name == "/density/grid"
    assert list(read_result(path, only=["density/values"]).arrays) == ["density/values"]


def test_h5py_finds_a_scale_on_every_dimension(tmp_path: Path) -> None:
    with h5py.File(hessian(k=5, n_parameters=300).save(tmp_path / "h.h5")) as file:
        for dataset in file.values():
            if not dataset.is_scale:
                assert [dim[0].shape[0] for dim in dataset.dims] == list(dataset.shape)
        assert [dim[0].name for dim in file["eigenvectors"].dims] == ["/m", "/P"]
        assert next(iter(file.attrs)) == "kind"
        assert file.attrs["checkpoint"] == "runs/net.pt"
        assert file["pair_status"].attrs["code_2"] == "at precision limit"


def test_the_scale_of_the_parameters_takes_no_room(tmp_path: Path) -> None:
    sizes = [
        hessian(m=1, n_parameters=count).save(tmp_path / f"{count}.h5").stat().st_size for count in (1_000, 3_000_000)
    ]
    assert sizes[1] - sizes[0] <= 4 * 2_999_000 + 4_096  # the float32 vector alone, and HDF5's rounding


def test_reading_some_arrays_leaves_the_large_one_alone(tmp_path: Path) -> None:
    path = hessian().save(tmp_path / "h.h5")
    assert list(read_result(path, only=["eigenvalues"]).arrays) == ["eigenvalues"]
    assert array_shapes(path)["eigenvectors"] == (2, 1_000)
    assert read_kind(path) == "hessian"
    with pytest.raises(ResultError, match="'eigenvalue' is no array"):
        read_result(path, only=["eigenvalue"])


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = hessian(top=1.0).save(tmp_path / "h.h5")
    before = path.read_bytes()
    with pytest.raises(LandscapeError, match=r"exists and is kept; give --overwrite"):
        hessian(top=2.0).save(path)
    assert path.read_bytes() == before
    hessian(top=2.0).save(path, overwrite=True)
    assert read_result(path).eigenvalues[0] == 2.0


def test_an_incomplete_result_is_not_written(tmp_path: Path) -> None:
    result = hessian()
    del result.attrs["eps"], result.attrs["seed"]
    with pytest.raises(ResultError, match="lacks the attributes seed, eps; a file has to explain itself"):
        result.save(tmp_path / "h.h5")
    with pytest.raises(ResultError, match="eigenvectors spans P = 1000 parameters; n_parameters says 7"):
        Result("hessian", hessian().arrays, {**hessian().attrs, "n_parameters": 7}).save(tmp_path / "h.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("megabytes", [0, 8])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, megabytes: int) -> None:
    """The kernel refuses at 16 KiB (small files fail when they are closed, large ones while they are written)."""
    code = (
        "import resource, sys\n"
        "from landscape.errors import LandscapeError\n"
        "from tests.results.made import hessian\n"
        f"result = hessian(m=1, n_parameters={10_000 + megabytes * 250_000})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))\n"
        "try:\n    result.save(sys.argv[1], overwrite=True)\n"
        "except LandscapeError as error:\n    print(error)\n"
    )
    path = tmp_path / "h.h5"
    path.write_bytes(b"before")
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{path} cannot be written: File too large")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("good", [0, 1, 2, 5])
def test_no_space_left_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int) -> None:
    class FullDisk:
        """A disk that takes `good` writes."""

        def __init__(self, disk: Any) -> None:
            self.disk, self.left = disk, good

        def __getattr__(self, name: str) -> Any:
            return getattr(self.disk, name)

        def write(self, data: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.disk.write(data)

    start = store._Sink.__init__
    monkeypatch.setattr(store._Sink, "__init__", lambda sink, disk: start(sink, FullDisk(disk)))
    with pytest.raises(LandscapeError, match="the disk is full; free some space"):
        hessian().save(tmp_path / "h.h5")
    assert list(tmp_path.iterdir()) == []


def changed(change: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return apply


def replaced(file: h5py.File, name: str, **new: Any) -> None:
    del file[name]
    file.create_dataset(name, **new)


def linked(file: h5py.File, link: Any) -> None:
    del file["residuals"]
    file["residuals"] = link


def external(file: h5py.File) -> None:
    replaced(file, "residuals", shape=(20,), dtype="f8", external=[("/etc/passwd", 0, 160)])


def virtual(file: h5py.File) -> None:
    del file["residuals"]
    layout = h5py.VirtualLayout(shape=(20,), dtype="f8")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", shape=(20,))
    file.create_virtual_dataset("residuals", layout)


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (Path.unlink, "is not there; name a result file"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder; name a result file"),
    "empty": (lambda path: path.write_bytes(b""), "is empty; run the command"),
    "web page": (lambda path: path.write_text("<!DOCTYPE html>"), "is no HDF5 file .it begins with b'<!DOCTYPE html>'"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:9_000]), "is truncated .9000 bytes are left"),
    "head only": (lambda path: path.write_bytes(path.read_bytes()[:40]), "is (damaged|truncated)"),
    "no kind": (changed(lambda file: file.attrs.__delitem__("kind")), "is HDF5, but no result of ours"),
    "new kind": (changed(lambda file: file.attrs.__setitem__("kind", "spectrum")), "'spectrum' is no kind of result"),
    "new schema": (changed(lambda file: file.attrs.__setitem__("schema_version", 2)), "has schema 2; wanted 1"),
    "no eps": (changed(lambda file: file.attrs.__delitem__("eps")), "lacks the attributes eps"),
    "reference": (
        changed(lambda file: file.attrs.__setitem__("seed", file["k"].ref)),
        r"attribute 'seed' is of dtype Reference; wanted numbers or texts",
    ),
    "matrix": (changed(lambda file: file.attrs.__setitem__("note", np.eye(2))), "'note' has 2 dimensions"),
    "no JSON": (changed(lambda file: file.attrs.__setitem__("training", "{")), "'training' is no JSON"),
    "deep JSON": (changed(lambda file: file.attrs.__setitem__("training", "[" * 20_000)), "'training' is no JSON"),
    "no array": (changed(lambda file: file.__delitem__("residuals")), "lacks the array 'residuals'"),
    "extra array": (changed(lambda file: file.__setitem__("residual", [1])), "'residual' is no array of this kind"),
    "dtype": (
        changed(lambda file: replaced(file, "residuals", data=["a"] * 20)),
        "residuals is of dtype object; wanted float64",
    ),
    "shape": (changed(lambda file: replaced(file, "residuals", data=np.ones(3))), "residuals has k = 3; wanted k = 20"),
    "huge": (
        changed(lambda file: replaced(file, "residuals", shape=(2**40,), dtype="f8", chunks=(2**10,))),
        "residuals claims 8796093022208 bytes with 0 stored|residuals has k = 1099511627776",
    ),
    "soft link": (changed(lambda file: linked(file, h5py.SoftLink("/eigenvalues"))), "residuals is a link or a group"),
    "outside": (changed(lambda file: linked(file, h5py.ExternalLink("o.h5", "/x"))), "residuals is a link or a group"),
    "external": (changed(external), "residuals lies in another file"),
    "virtual": (changed(virtual), "residuals lies in another file"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_sentence_that_names_it(tmp_path: Path, case: str) -> None:
    path = hessian().save(tmp_path / "h.h5")
    spoil, message = BAD[case]
    spoil(path)
    with pytest.raises(ResultError, match=message) as caught:
        read_result(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def grouped(name: str, value: Any) -> Callable[[Path], Any]:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = value

    return changed(change)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (grouped("density/grid", h5py.SoftLink("/eigenvalues")), "density/grid is a link or a group"),
        (grouped("density", h5py.SoftLink("/elsewhere")), "density is a link or an array"),
        (grouped("density", h5py.ExternalLink("o.h5", "/x")), "density is a link or an array|unable to"),
        (grouped("density", np.ones(3)), "density is a link or an array"),
        (grouped("density/more", np.ones(3)), "'density/more' is no array"),
        (grouped("density/grid", np.ones(3)), "density/values has density/grid = 64; wanted density/grid = 3"),
    ],
)
def test_a_spoiled_group_is_one_sentence(tmp_path: Path, spoil: Callable[[Path], Any], message: str) -> None:
    path = hessian(**with_density()).save(tmp_path / "h.h5")
    spoil(path)
    with pytest.raises(ResultError, match=message):
        read_result(path)


def test_a_flipped_byte_never_escapes_as_anything_but_a_result_error(tmp_path: Path) -> None:
    path = hessian(k=3, n_parameters=20).save(tmp_path / "h.h5")
    good = path.read_bytes()
    places = np.random.default_rng(0).integers(0, len(good), 60)
    for place in places:
        path.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        with contextlib.suppress(ResultError):
            read_result(path)
