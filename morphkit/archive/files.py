"""Morphable models by file name: the Basel/statismo HDF5 layout is morphkit's own."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import resources
from pathlib import Path

import h5py

from morphkit.archive import basel
from morphkit.archive._rounding import round_model
from morphkit.errors import BadInputError, MorphkitError
from morphkit.io.atomic import atomic_path
from morphkit.morphable import MorphableModel

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def load_model(path: str | os.PathLike[str]) -> MorphableModel:
    """Read a morphable model from a Basel/statismo HDF5 file (versions 0.8 and 0.9, and 1.x of scalismo).

    Reads the Basel Face Models 2017 and 2019 as distributed, plain statismo shape models (``/model`` at the
    root), and morphkit's own files with their uv, landmarks, masks, expression units and provenance. What
    had to be mended on the way (an unsorted or non-orthonormal basis, say) is listed under
    ``provenance["read_notes"]``.

    Parameters
    ----------
    path : an ``.h5`` file; the content decides, not the name.

    Returns
    -------
    MorphableModel
        Millimetres. Colours are returned as they are in the file: linear RGB in morphkit's files, whatever
        the authors used in others' (usually sRGB; ``provenance["albedo_color_space"]`` tells). A basis
        cannot be carried over from one to the other exactly, hence it is not tried.

    Raises
    ------
    BadInputError
        If the file is missing, truncated, or of another layout; the message says what was seen.
    """
    source = Path(path)
    _ensure_hdf5(source)
    try:
        with h5py.File(source, "r") as file:
            return basel.read(file, source)
    except MorphkitError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise BadInputError(
            f"{source} is damaged or truncated ({_one_line(error)}). Copy or download it again."
        ) from error


def resolve_model(model: MorphableModel | str | os.PathLike[str] | None) -> MorphableModel:
    """Return a model as it is, or read from its file; None is the default head.

    Raises
    ------
    BadInputError
        As `load_model` does.
    """
    if model is None:
        return load_default_model()
    return model if isinstance(model, MorphableModel) else load_model(model)


def save_model(
    path: str | os.PathLike[str],
    model: MorphableModel,
    *,
    precision_mm: float | None = None,
    precision_albedo: float | None = None,
) -> None:
    """Write a model in the Basel/statismo layout, version 0.9, with morphkit's additions under ``/morphkit``.

    The file is written atomically and holds no time stamp: the same model gives the same bytes.

    Parameters
    ----------
    path : the target, usually ``*.h5``.
    model : with orthonormal bases (see `MorphableModel.orthonormalized`).
    precision_mm : None keeps every float32 bit. Otherwise shapes are rounded so that the file shrinks: the
        error of a vertex, all coefficients at three standard deviations, is about this many millimetres
        (root mean square). Still plain float32 on file.
    precision_albedo : likewise for the albedo group, in linear RGB (0..1).

    Raises
    ------
    ValueError
        If a basis is not orthonormal, which the layout needs.
    MorphkitError
        If the file cannot be written.
    """
    for name in ("identity", "expression", "albedo"):
        group = getattr(model, name)
        if group is not None and not group.is_orthonormal:
            raise ValueError(f"the {name} basis is not orthonormal; save model.orthonormalized() instead")
    rounded = round_model(model, precision_mm, precision_albedo)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        basel.write(file, rounded)


def load_default_model() -> MorphableModel:
    """Read the default head, which comes with the package.

    Raises
    ------
    BadInputError
        If the package was installed without it.
    """
    resource = resources.files("morphkit") / "data" / "default_head.h5"
    with resources.as_file(resource) as path:
        return load_model(path)


def _ensure_hdf5(source: Path) -> None:
    """Give files that are no HDF5 at all a sentence of their own."""
    if not source.exists():
        raise BadInputError(f"{source} does not exist.")
    if source.is_dir():
        raise BadInputError(f"{source} is a folder; a model is one .h5 file.")
    try:
        with source.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise BadInputError(f"{source} cannot be read: {error.strerror}.") from error
    if not start:
        raise BadInputError(f"{source} is empty; a model is a Basel/statismo .h5 file.")
    if start != _HDF5_SIGNATURE and not _is_hdf5_with_user_block(source):
        raise BadInputError(
            f"{source} is not an HDF5 file; morphkit reads models in the Basel/statismo .h5 layout. "
            f"It begins with {start!r}."
        )


def _is_hdf5_with_user_block(source: Path) -> bool:
    with suppress(OSError, ValueError):
        return bool(h5py.is_hdf5(source))
    return False


def _one_line(error: BaseException) -> str:
    text = str(error.args[0]) if error.args else ""
    return " ".join(text.split())[:160] or type(error).__name__
