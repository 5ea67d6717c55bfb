"""Downloads that are whole and proven by their published checksum, or leave nothing behind."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..errors import DataError, LandscapeError
from ..files import atomic_path

Progress = Callable[[str, int, int], None]

_TIMEOUT = 30  # seconds without a byte


def download(urls: Iterable[str], target: Path, *, md5: str, progress: Progress | None = None) -> Path:
    """Fetch a file from the first of `urls` that serves it with this MD5, and put it at `target`, whole or not at all.

    A file already at `target` is kept: returned where its MD5 is right, else refused. `progress` is called with
    (stage, bytes done, bytes in all). Raises DataError where no URL serves it or the folder cannot be written.
    """
    if target.exists():
        if _md5(target) == md5:
            return target
        raise DataError(f"{target} is damaged: its MD5 is not the published one; delete it, and it is downloaded again")
    failures = []
    for url in urls:
        with _no_empty_folders(target.parent):
            try:
                _fetch(url, target, md5, progress)
                return target
            except _FetchError as error:
                failures.append(f"{url} ({error})")
            except DataError:
                raise
            except LandscapeError as error:  # from atomic_path, whose words are about results
                raise _unwritable(target, error.__cause__) from error
    raise DataError(
        f"{target.name} could not be downloaded from {' or '.join(failures)}; try again, or copy the file to {target}"
    )


class _FetchError(DataError):
    """One URL that did not serve the file; the next one may."""


class _Bar:
    """What pooch wants of a progress bar, in front of our callback."""

    def __init__(self, stage: str, progress: Progress) -> None:
        self.stage, self.progress = stage, progress
        self.total, self.done = 0, 0

    def update(self, size: int) -> None:
        self.done = min(self.done + size, self.total) if self.total else self.done + size
        self.progress(self.stage, self.done, self.total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass


def _fetch(url: str, target: Path, md5: str, progress: Progress | None) -> None:
    import pooch  # imported here: only a download needs it, and requests with it
    import requests

    bar = _Bar(f"downloading {target.name} to {target.parent}", progress) if progress is not None else False
    # The checksum is of the file as it is kept; a server must not compress it once more on the way.
    headers = {"Accept-Encoding": "identity"}
    fetch = pooch.HTTPDownloader(progressbar=bar, timeout=_TIMEOUT, headers=headers, chunk_size=1 << 16)
    with atomic_path(target) as temporary:
        try:
            fetch(url, str(temporary), None)
        except requests.exceptions.HTTPError as error:
            status = error.response.status_code if error.response is not None else "with an error"
            raise _FetchError(f"the server answered {status}") from error
        except requests.exceptions.Timeout as error:
            raise _FetchError(f"no answer in {_TIMEOUT} seconds") from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise _FetchError("the connection broke off") from error
        except requests.exceptions.ConnectionError as error:
            raise _FetchError("no connection") from error
        except requests.exceptions.RequestException as error:
            raise _FetchError(type(error).__name__) from error
        except OSError as error:
            raise _unwritable(target, error) from error
        if _md5(temporary) != md5:
            with open(temporary, "rb") as file:
                page = file.read(64).lstrip().startswith(b"<")
            raise _FetchError("a web page came in its place" if page else "what came has not the published checksum")


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _unwritable(target: Path, error: BaseException | None) -> DataError:
    reason = getattr(error, "strerror", None) or error
    return DataError(f"{target} cannot be written: {reason}; name a folder that can with --data-dir")


@contextlib.contextmanager
def _no_empty_folders(folder: Path) -> Iterator[None]:
    """Remove again, on failure, the folders on the way to `folder` that were not there before."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield
    finally:
        for place in made:
            with contextlib.suppress(OSError):  # it holds the download, or was never made
                place.rmdir()
