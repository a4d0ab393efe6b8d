"""The registry of model file layouts: which one a file is of tells its content, never its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from morphkit.archive.layouts import (
    albedo_mm,
    basel,
    bfm2009,
    deep3d,
    eos,
    flame,
    gltf,
    gnm,
    ict,
    lsfm,
    lyhm,
    npz,
)
from morphkit.archive.source import ModelSource
from morphkit.errors import BadInputError
from morphkit.io.meshes import MESH_SUFFIXES
from morphkit.morphable import MorphableModel


@dataclass(frozen=True)
class ModelFormat:
    """A layout of model files.

    Attributes
    ----------
    key : its name in options and provenance, such as "basel".
    title : its name in sentences.
    recognises : tells by its content whether a source is of this layout; must be quick and never raise.
    read : returns the model: millimetres, faces counter-clockwise from outside, colours 0..1, coefficients
        those of the layout. Raises `BadInputError`, or what reading damaged data raises
        (`morphkit.archive.load_model` gives these a sentence).
    write : writes a model to an open path, or None where the layout is only read.
    suffixes : of files to write, the usual one first; none where it is only read.
    orthonormal : whether it can hold orthonormal bases only.
    """

    key: str
    title: str
    recognises: Callable[[ModelSource], bool]
    read: Callable[[ModelSource], MorphableModel]
    write: Callable[[Path, MorphableModel], None] | None = None
    suffixes: tuple[str, ...] = ()
    orthonormal: bool = False


FORMATS = (
    ModelFormat(albedo_mm.KEY, "AlbedoMM's HDF5", albedo_mm.recognises, albedo_mm.read),
    ModelFormat(
        "basel", "Basel/statismo HDF5", basel.recognises, basel.read, basel.write, (".h5", ".hdf5"), True
    ),
    ModelFormat(
        "basel-0.8",
        "Basel/statismo HDF5 of version 0.8",
        basel.recognises,  # the reader of all versions, above, comes first
        basel.read,
        basel.write_08,
        (".h5",),
        True,
    ),
    ModelFormat(bfm2009.KEY, "Basel Face Model 2009 .mat", bfm2009.recognises, bfm2009.read),
    ModelFormat(deep3d.KEY, "Deng et al.'s BFM_model_front.mat", deep3d.recognises, deep3d.read),
    ModelFormat(lsfm.KEY, "LSFM .mat", lsfm.recognises, lsfm.read),
    ModelFormat(lyhm.KEY, "LYHM .mat", lyhm.recognises, lyhm.read),
    ModelFormat("gnm", "GNM Head .npz", gnm.recognises, gnm.read),
    ModelFormat("flame", "FLAME .pkl or .npz", flame.recognises, flame.read),
    ModelFormat("npz", "PCA models in .npz", npz.recognises, npz.read, npz.write, (".npz",)),
    ModelFormat("eos", "eos .bin (Surrey Face Model)", eos.recognises, eos.read, eos.write, (".bin",), True),
    ModelFormat("gltf", "glTF with morph targets", gltf.recognises, gltf.read, gltf.write, (".glb",)),
    ModelFormat("ict", "ICT-FaceKit's folder FaceXModel", ict.recognises, ict.read),
)
"""All layouts, the more particular first: the first that recognises a source reads it."""


def find_format(source: ModelSource) -> ModelFormat | None:
    """Return the layout of a source, or None if it is none that morphkit knows."""
    return next((layout for layout in FORMATS if layout.recognises(source)), None)


def recognise(source: ModelSource) -> ModelFormat:
    """Return the layout of a source.

    Raises
    ------
    BadInputError
        If it is none that morphkit knows; the message says what was seen.
    """
    layout = find_format(source)
    if layout is not None:
        return layout
    if source.spoilt is not None:
        raise BadInputError(f"{source.path} is {source.spoilt}.")
    if source.path.suffix.lower() in MESH_SUFFIXES:
        raise BadInputError(f"{source.path} is a mesh, or should be one; a model of faces is needed here.")
    known = ", ".join(layout.key for layout in FORMATS)
    raise BadInputError(
        f"{source.path} is no model file that morphkit knows ({known}): it is {source.seen()}."
    )


def writable(key: str | None, path: Path) -> ModelFormat:
    """Return the layout to write: that of the key, or else that of the path's suffix.

    Raises
    ------
    BadInputError
        If there is none; the message names those there are.
    """
    writers = [layout for layout in FORMATS if layout.write is not None]
    for layout in writers:
        if layout.key == key or (key is None and path.suffix.lower() in layout.suffixes):
            return layout
    asked = f"the layout {key!r}" if key is not None else f"a model file called {path.name}"
    known = ", ".join(f"{layout.key} ({layout.suffixes[0]})" for layout in writers)
    raise BadInputError(f"morphkit cannot write {asked}; it writes {known}.")
