"""AlbedoMM (Smith et al. 2020): a Basel model whose colours are diffuse albedo, in linear sRGB.

W. Smith, A. Seck, H. Dee, B. Tiddeman, J. Tenenbaum, B. Egger, *A Morphable Face Albedo Model*, CVPR 2020.
The authors give out the albedo alone (``albedoModel2020_*_albedoPart.h5``), to be joined with the Basel Face
Model of the same vertices: `morphkit.archive.with_albedo` does it. Specular albedo is left out; a morphkit
model has no place for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import h5py
import numpy as np

from morphkit.archive._hdf5 import Reader
from morphkit.archive.layouts import _representer, basel
from morphkit.archive.source import ModelSource
from morphkit.morphable import LinearModel, MorphableModel

KEY = "albedo-mm"
COLOR_SPACE = "linear sRGB"
_DIFFUSE = "diffuseAlbedo"
_NO_SPECULAR = "the specular albedo was left out"


@dataclass(frozen=True, eq=False)
class AlbedoPart:
    """A file of albedo alone: the group, its (f, 3) faces if it has any, and what was mended or left out."""

    albedo: LinearModel
    faces: np.ndarray | None
    notes: tuple[str, ...]


def recognises(source: ModelSource) -> bool:
    """Whether it is an HDF5 file with a group of diffuse albedo, with shapes or without."""
    return _DIFFUSE in source.hdf5_names


def has_no_shape(source: ModelSource) -> bool:
    """Whether it is one of the authors' files of albedo alone."""
    return recognises(source) and "shape" not in source.hdf5_names


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    if has_no_shape(source):
        raise source.bad(
            "it holds AlbedoMM's albedo alone, no shapes; join it with the Basel Face Model that it belongs "
            f"to by: morphkit convert bfm.h5 whole.h5 --albedo {source.path.name}"
        )
    with h5py.File(source.path, "r") as file:
        model = basel.read_groups(Reader(file, source.path), _DIFFUSE, KEY)
    notes = [*model.provenance.get("read_notes", []), *_left_out(source)]
    facts = {**model.provenance, "albedo_color_space": COLOR_SPACE}
    return replace(model, provenance={**facts, "read_notes": notes} if notes else facts)


def read_part(source: ModelSource) -> AlbedoPart:
    """Return the albedo of a file without shapes."""
    with h5py.File(source.path, "r") as file:
        reader = Reader(file, source.path)
        group = basel.read_group(reader, _DIFFUSE)
        has_mesh = reader.has(f"{_DIFFUSE}/representer")
        faces = _representer.read_faces(reader, _DIFFUSE, len(group.model.mean)) if has_mesh else None
    return AlbedoPart(group.model, faces, (*group.notes, *_left_out(source)))


def _left_out(source: ModelSource) -> tuple[str, ...]:
    return (_NO_SPECULAR,) if "specularAlbedo" in source.hdf5_names else ()
