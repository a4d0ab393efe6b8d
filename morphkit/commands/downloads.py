"""`morphkit get`: models with open licences, from where their authors publish them, each file by its hash."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import pooch
import requests

from morphkit.errors import BadInputError, MorphkitError
from morphkit.io.atomic import ensure_writable

_SECONDS = 60.0  # without an answer, after which a server is given up
_RETRIES = 2


class DownloadError(MorphkitError):
    """A file that could not be had, or is not the one that was asked for."""


@dataclass(frozen=True)
class Download:
    """Something that can be downloaded.

    Attributes
    ----------
    name : what to call it on the command line.
    title, licence, page : what it is, and on which terms; the page of its authors.
    url : where the files lie, ending in a slash; of one fixed version.
    megabytes : all files together.
    model : the path within it that `morphkit.load_model` reads.
    files : SHA-256 by relative path.
    """

    name: str
    title: str
    licence: str
    page: str
    url: str
    megabytes: int
    model: str
    files: Mapping[str, str]


@cache
def downloads() -> Mapping[str, Download]:
    """Return what can be downloaded, by name."""
    text = (resources.files("morphkit") / "data" / "downloads.json").read_text(encoding="utf-8")
    return {name: Download(name, **entry) for name, entry in json.loads(text).items()}


def get(
    name: str,
    output: str | Path | None = None,
    *,
    mirror: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Download a model, and return the path that `morphkit.load_model` reads.

    Files that are there already and have the right content are not fetched again, so that a download that
    was cut short goes on.

    Parameters
    ----------
    name : a key of `downloads`.
    output : the folder for it; None is a folder of that name in the working directory.
    mirror : the address of a copy to use in place of the authors'; the files must be the same.
    progress : called with a stage, how many files are done, and how many there are.

    Raises
    ------
    BadInputError
        If there is no such download, or other files bear the names of its files.
    DownloadError
        If a server cannot be reached, or a file's content is not the one expected; the message names it.
    OutputError
        If the folder cannot be written to.
    """
    wanted = downloads().get(name)
    if wanted is None:
        raise BadInputError(f"There is no download called {name!r}; there are: {', '.join(downloads())}.")
    folder = Path(name if output is None else output)
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        raise BadInputError(f"{mirror} is no address of a copy; it begins with https:// or http://.")
    _ensure_nothing_else(folder, wanted)
    stage = f"Downloading {wanted.megabytes} MB"
    with _no_empty_folders([folder / path for path in wanted.files]):
        ensure_writable(folder / "LICENSE")
        store = _store(folder, wanted, mirror)
        for done, path in enumerate(wanted.files):
            if progress is not None:
                progress(stage, done, len(wanted.files))
            _fetch(store, path)
    if progress is not None:
        progress(stage, len(wanted.files), len(wanted.files))
    return folder / wanted.model


def _store(folder: Path, wanted: Download, mirror: str | None) -> pooch.Pooch:
    pooch.get_logger().setLevel(logging.ERROR)
    return pooch.create(
        path=folder,
        base_url=wanted.url if mirror is None else mirror.rstrip("/") + "/",
        registry={path: f"sha256:{digest}" for path, digest in wanted.files.items()},
        retry_if_failed=_RETRIES,
    )


@contextmanager
def _no_empty_folders(files: Iterable[Path]) -> Iterator[None]:
    """Remove the folders that are made for files if nothing arrives in them; those that were there stay."""
    missing: set[Path] = set()
    with suppress(OSError, ValueError):  # a name that none can be: writing there will tell
        parents = {parent for path in files for parent in path.resolve().parents}
        missing = {parent for parent in parents if not parent.exists()}
    try:
        yield
    finally:
        for folder in sorted(missing, reverse=True):  # the deepest first
            with suppress(OSError):
                folder.rmdir()  # which it only does to an empty one


def _ensure_nothing_else(folder: Path, wanted: Download) -> None:
    """Refuse to write over files of other content: somebody's own, or damaged ones."""
    for path, digest in wanted.files.items():
        place = folder / path
        if place.exists() and pooch.file_hash(str(place)) != digest:
            raise BadInputError(
                f"{place} is there already, and is not the file of {wanted.name}; move it away, or choose "
                "another folder with -o."
            )


def _fetch(store: pooch.Pooch, path: str) -> None:
    address = store.get_url(path)
    try:
        store.fetch(path, downloader=pooch.HTTPDownloader(timeout=_SECONDS))
    except requests.exceptions.HTTPError as error:
        raise DownloadError(
            f"{address} could not be downloaded: the server answered {error.response.status_code}. Try again "
            "later, or give the address of a copy with --mirror."
        ) from error
    except requests.exceptions.RequestException as error:
        raise DownloadError(
            f"{address} could not be downloaded: the server cannot be reached ({type(error).__name__}). "
            "Check the network, or give the address of a copy with --mirror; what has arrived is kept."
        ) from error
    except ValueError as error:  # what pooch says of another hash
        raise DownloadError(
            f"{address} is not the file that was expected (another SHA-256), and was not kept. The copy "
            "there is damaged or has been changed."
        ) from error
