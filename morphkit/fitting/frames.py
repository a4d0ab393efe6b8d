"""The frames of a video, one after the other: of a folder of pictures, or of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from morphkit.errors import BadInputError, MissingDependencyError, OutputError
from morphkit.io.atomic import atomic_path
from morphkit.io.files import natural_order
from morphkit.io.images import read_image

Frame = UInt8[np.ndarray, "_ _ 3"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_USUAL_RATE = 25.0  # frames per second where nothing says


@dataclass(frozen=True)
class Video:
    """A video on disk; iterating over it reads the frames anew, one at a time.

    Attributes
    ----------
    path : a file, or a folder of pictures in the natural order of their names.
    rate : frames per second.
    """

    path: Path
    rate: float

    def __iter__(self) -> Iterator[Frame]:
        """Yield sRGB frames, row 0 at the top."""
        if self.path.is_dir():
            yield from (read_image(path) for path in _pictures(self.path))
        else:
            yield from _decoded(self.path)


def open_video(source: str | os.PathLike[str], rate: float | None = None) -> Video:
    """Return a video.

    Parameters
    ----------
    source : a file, or a folder of frames.
    rate : frames per second; what the file says if None, and 25 for a folder.

    Raises
    ------
    BadInputError
        When it is not there, not a video, or an empty folder, or the rate is not positive.
    MissingDependencyError
        For a file, when imageio and PyAV are not installed.
    """
    path = Path(source)
    if rate is not None and not 0.0 < rate < np.inf:
        raise BadInputError(f"A video's rate is positive, in frames per second; got {rate}.")
    if path.is_dir():
        if not _pictures(path):
            raise BadInputError(f"{path} holds no frames ({', '.join(sorted(_SUFFIXES))}).")
        return Video(path, _USUAL_RATE if rate is None else rate)
    if not path.is_file():
        raise BadInputError(f"{path} is neither a video nor a folder of frames.")
    return Video(path, _rate(path) if rate is None else rate)


def can_encode() -> bool:
    """Return whether videos can be written."""
    with suppress(MissingDependencyError):
        _imageio()
        return True
    return False


def write_video(path: Path, frames: Iterator[Frame], rate: float) -> None:
    """Write frames of one size as an H.264 file that browsers show; odd sides lose a row or column.

    Raises
    ------
    MissingDependencyError
        When imageio and PyAV are not installed.
    OutputError
        When the file cannot be written.
    """
    imageio = _imageio()
    with atomic_path(path) as temporary:
        try:
            with imageio.imopen(temporary, "w", plugin="pyav", extension=".mp4") as file:
                file.init_video_stream("libx264", fps=round(rate, 3), pixel_format="yuv420p")
                for frame in frames:
                    even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
                    file.write_frame(np.ascontiguousarray(even))
        except (OSError, ValueError) as error:
            raise OutputError(f"{path} cannot be written: {error}.") from error


def _pictures(folder: Path) -> list[Path]:
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    return sorted(found, key=lambda path: natural_order(path.name))


def _decoded(path: Path) -> Iterator[Frame]:
    imageio = _imageio()
    try:
        yield from imageio.imiter(path, plugin="pyav", format="rgb24")
    except (OSError, ValueError, IndexError) as error:
        raise BadInputError(f"{path} is not a video that can be read: {error}.") from error


def _rate(path: Path) -> float:
    imageio = _imageio()
    try:
        rate = imageio.immeta(path, plugin="pyav", exclude_applied=False).get("fps")
    except (OSError, ValueError, IndexError) as error:
        raise BadInputError(f"{path} is not a video that can be read: {error}.") from error
    return float(rate) if rate else _USUAL_RATE


def _imageio() -> Any:
    try:
        import av  # noqa: F401
        import imageio.v3
    except ImportError as error:
        raise MissingDependencyError(
            "Video files need imageio and PyAV; install them with pip install 'morphkit-3dmm[video]', or "
            "give a folder of frames."
        ) from error
    return imageio.v3
