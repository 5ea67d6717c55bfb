import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from landscape.data import cifar10, load_data, mnist
from landscape.data import download as module
from landscape.data.download import download
from landscape.errors import DataError
from tests.data.layouts import PER_BATCH, write_archive, write_cifar_binary, write_mnist

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `answers`: path -> (status, body, the length that it claims)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, bytes, int]] = {}
        self.asked: list[str] = []

    def url(self, path: str = "/file.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def put(self, body: bytes, *, path: str = "/file.bin", status: int = 200, claim: int | None = None) -> str:
        self.answers[path] = (status, body, len(body) if claim is None else claim)
        return self.url(path)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, body, claim = self.server.answers.get(self.path, (404, b"<html>no such file</html>", 25))
        self.send_response(status)
        self.send_header("Content-Length", str(claim))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def fails(url: str, target: Path, said: str) -> None:
    """Assert that a download says so in one sentence and leaves nothing, not even an empty folder."""
    before = sorted(target.parent.parent.parent.rglob("*"))
    with pytest.raises(DataError, match=said) as caught:
        download([url], target, md5=MD5)
    message = str(caught.value)
    assert message.startswith("file.bin could not be downloaded from http://127.0.0.1")
    assert message.endswith(f"try again, or copy the file to {target}")
    assert "\n" not in message
    assert sorted(target.parent.parent.parent.rglob("*")) == before


def test_a_good_file_arrives_whole_with_its_progress(server: Server, tmp_path: Path) -> None:
    seen = []
    target = tmp_path / "a/b/file.bin"
    path = download([server.put(CONTENT)], target, md5=MD5, progress=lambda *step: seen.append(step))
    assert path == target
    assert target.read_bytes() == CONTENT
    assert [entry.name for entry in target.parent.iterdir()] == ["file.bin"]
    stages, done, totals = zip(*seen, strict=True)
    assert set(stages) == {f"downloading file.bin to {target.parent}"}
    assert set(totals) == {len(CONTENT)}
    assert list(done) == sorted(done)
    assert done[-1] == len(CONTENT)
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask  # others may share the folder of data


def test_a_truncated_file_is_refused(server: Server, tmp_path: Path) -> None:
    fails(server.put(CONTENT[:1000], claim=len(CONTENT)), tmp_path / "a/b/file.bin", "the connection broke off")


def test_a_file_of_another_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    fails(server.put(CONTENT[:-1] + b"x"), tmp_path / "a/b/file.bin", "what came has not the published checksum")


def test_a_web_page_in_place_of_the_file_is_refused(server: Server, tmp_path: Path) -> None:
    fails(
        server.put(b"\n<!DOCTYPE html><html>Sign in</html>"), tmp_path / "a/b/file.bin", "a web page came in its place"
    )


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_server_that_says_no_is_quoted(status: int, server: Server, tmp_path: Path) -> None:
    fails(server.put(b"<html></html>", status=status), tmp_path / "a/b/file.bin", f"the server answered {status}")


def test_a_server_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = Server()
    gone.server_close()
    fails(gone.url(), tmp_path / "a/b/file.bin", "no connection")


def test_a_server_that_falls_silent_is_left(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.2)
    awake = threading.Event()
    monkeypatch.setattr(Handler, "do_GET", lambda self: awake.wait(10))
    try:
        fails(server.url(), tmp_path / "a/b/file.bin", "no answer in 0.2 seconds")
    finally:
        awake.set()


def test_the_next_mirror_is_asked_when_one_fails(server: Server, tmp_path: Path) -> None:
    urls = [server.url("/gone"), server.put(b"<html>", path="/page"), server.put(CONTENT), server.url("/unasked")]
    assert download(urls, tmp_path / "file.bin", md5=MD5).read_bytes() == CONTENT
    assert server.asked == ["/gone", "/page", "/file.bin"]
    with pytest.raises(DataError, match=r"/gone \(the server answered 404\) or \S+/page \(a web page"):
        download(urls[:2], tmp_path / "other.bin", md5=MD5)


def test_a_file_that_is_there_is_kept(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(CONTENT)
    assert download([server.url()], target, md5=MD5) == target
    target.write_bytes(b"something of the user's")
    with pytest.raises(DataError, match=r"file.bin is damaged: .*; delete it"):
        download([server.url()], target, md5=MD5)
    assert target.read_bytes() == b"something of the user's"
    assert server.asked == []


@pytest.mark.parametrize(
    ("function", "code", "said"),
    [
        ("mkstemp", errno.EACCES, "Permission denied"),
        ("mkstemp", errno.EROFS, "Read-only file system"),
        ("fsync", errno.ENOSPC, "No space left on device"),
    ],
)
def test_a_folder_that_cannot_be_written_says_so(
    function: str, code: int, said: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(f"landscape.files.{'tempfile' if function == 'mkstemp' else 'os'}.{function}", fail)
    with pytest.raises(DataError, match=f"file.bin cannot be written: {said}; name a folder .* --data-dir"):
        download([server.put(CONTENT)], tmp_path / "a/file.bin", md5=MD5)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_while_bytes_come_says_so(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DataError, match="file.bin cannot be written: No space left on device"):
        download([server.put(CONTENT)], tmp_path / "file.bin", md5=MD5, progress=fill)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_nothing(server: Server, tmp_path: Path) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download([server.put(CONTENT)], tmp_path / "a/file.bin", md5=MD5, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_absent_mnist_is_downloaded_once_and_taken_up_where_it_failed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path / "mirror")
    files = {path.name: path.read_bytes() for path in (tmp_path / "mirror").iterdir()}
    sums = {
        split: {name: hashlib.md5(files[f"{name}.gz"]).hexdigest() for name in names}
        for split, names in mnist._FILES.items()
    }
    monkeypatch.setattr(mnist, "_FILES", sums)
    monkeypatch.setattr(mnist, "_MIRRORS", (server.url("/"),))
    home = tmp_path / "home"
    home.mkdir()

    images, labels = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
    server.put(files[images], path=f"/{images}")
    with pytest.raises(
        DataError, match=f"{labels} could not be downloaded .* copy the file to .*MNIST/raw/{labels}"
    ) as caught:
        load_data("mnist", data_dir=home)
    assert str(caught.value).startswith(f"{home} holds no complete MNIST (MNIST/raw/*-ubyte[.gz]), and train-labels")
    server.put(files[labels], path=f"/{labels}")
    first = load_data("mnist", data_dir=home)
    assert server.asked == [f"/{images}", f"/{labels}", f"/{labels}"]
    assert load_data("mnist", data_dir=home).sha256 == first.sha256
    assert len(server.asked) == 3
    assert sorted(path.name for path in (home / "MNIST/raw").iterdir()) == [images, labels]


def test_absent_cifar10_is_downloaded_into_the_cache(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar_binary(tmp_path / "cifar-10-batches-bin")
    write_archive(tmp_path / "archive", tmp_path / "cifar-10-batches-bin")
    content = (tmp_path / "archive").read_bytes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar10, "_PER_BATCH", PER_BATCH)
    monkeypatch.setattr(cifar10, "_URL", server.put(content))
    monkeypatch.setattr(cifar10, "_MD5", hashlib.md5(content).hexdigest())
    assert len(load_data("cifar10")) == 5 * PER_BATCH
    assert len(load_data("cifar10", split="test")) == PER_BATCH
    assert server.asked == ["/file.bin"]
    assert (tmp_path / "cache/landscape/cifar-10-binary.tar.gz").read_bytes() == content


def test_absent_cifar10_says_what_was_looked_for(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10, "_URL", server.url())
    with pytest.raises(DataError, match=r"holds no CIFAR-10 \(cifar-10-batches-bin/, cifar-10-binary.tar.gz, .*404"):
        load_data("cifar10", data_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_checksums_are_those_that_are_published() -> None:
    # From the page of each data set, as torchvision holds them too: a typing error here would refuse good files.
    assert cifar10._MD5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert [sum for split in mnist._FILES.values() for sum in split.values()] == [
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ]
