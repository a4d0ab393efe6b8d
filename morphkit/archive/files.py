"""Morphable models to files and back, in any layout of the registry."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from morphkit.archive._rounding import round_model
from morphkit.archive.formats import find_format, recognise, writable
from morphkit.archive.source import ModelSource
from morphkit.io.atomic import atomic_path
from morphkit.io.meshes import MESH_SUFFIXES
from morphkit.morphable import MorphableModel


def load_model(path: str | os.PathLike[str]) -> MorphableModel:
    """Read a morphable model from a file or folder of any layout that morphkit knows.

    The content decides, not the name: `morphkit.archive.formats.FORMATS` lists the layouts. What had to be
    mended or left out on the way (an unsorted basis, FLAME's joints) is listed under
    ``provenance["read_notes"]``.

    Parameters
    ----------
    path : a file or a folder.

    Returns
    -------
    MorphableModel
        Millimetres, faces counter-clockwise from outside, coefficients those of the layout. Colours are in
        0..1 and otherwise as they are in the file: linear RGB in morphkit's files, whatever the authors used
        in others' (usually sRGB; ``provenance["albedo_color_space"]`` tells). A basis cannot be carried over
        from one to the other exactly, hence it is not tried.

    Raises
    ------
    BadInputError
        If the file is missing, truncated, or of another layout; the message says what was seen.
    """
    source = ModelSource(path)
    layout = recognise(source)
    with source.reading():
        return layout.read(source).read_from(source.path)


def holds_model(path: str | os.PathLike[str]) -> bool:
    """Whether a path is to be read as a model and not as a mesh.

    A mesh's file is read as a mesh, unless a layout recognises a model in it, such as a ``.glb`` with morph
    targets; all others are read as models, whose reader says what is wrong with them.
    """
    source = ModelSource(path)
    return find_format(source) is not None or source.path.suffix.lower() not in MESH_SUFFIXES


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
    layout: str | None = None,
    precision_mm: float | None = None,
    precision_albedo: float | None = None,
) -> None:
    """Write a model, by default in the layout that the file's suffix stands for.

    ``.h5`` is morphkit's own and the only one that holds everything: Basel/statismo, version 0.9, with
    morphkit's additions under ``/morphkit``. The file is written atomically and holds no time stamp: the same
    model gives the same bytes.

    Parameters
    ----------
    path : the target.
    model : with orthonormal bases where the layout needs them (see `MorphableModel.orthonormalized`).
    layout : the key of a writable layout of `morphkit.archive.formats.FORMATS`; None goes by the suffix.
    precision_mm : None keeps every float32 bit. Otherwise shapes are rounded so that the file shrinks: the
        error of a vertex, all coefficients at three standard deviations, is about this many millimetres
        (root mean square). Still plain float32 on file.
    precision_albedo : likewise for the albedo group, in linear RGB (0..1).

    Raises
    ------
    ValueError
        If a basis is not orthonormal, and the layout needs it.
    BadInputError
        If there is no such layout to write.
    MorphkitError
        If the file cannot be written.
    """
    target = writable(layout, Path(path))
    if target.orthonormal:
        _ensure_orthonormal(model)
    rounded = round_model(model, precision_mm, precision_albedo)
    with atomic_path(path) as temporary:
        assert target.write is not None  # noqa: S101 - `writable` returns no others
        target.write(temporary, rounded)


def _ensure_orthonormal(model: MorphableModel) -> None:
    for name in ("identity", "expression", "albedo"):
        group = getattr(model, name)
        if group is not None and not group.is_orthonormal:
            raise ValueError(f"the {name} basis is not orthonormal; save model.orthonormalized() instead")


def load_default_model() -> MorphableModel:
    """Read the default head, which comes with the package.

    Raises
    ------
    BadInputError
        If the package was installed without it.
    """
    resource = resources.files("morphkit") / "data" / "default_head.h5"
    with resources.as_file(resource) as path:
        return load_model(path).read_from(None)  # the place of an installation says nothing
