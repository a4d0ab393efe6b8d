"""Colours of one model file on the shapes of another."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from morphkit.archive.files import load_model
from morphkit.archive.layouts import albedo_mm
from morphkit.archive.source import ModelSource
from morphkit.morphable import MorphableModel


def with_albedo(model: MorphableModel, path: str | os.PathLike[str]) -> MorphableModel:
    """Return the model with the albedo of a file, on the same vertices.

    For AlbedoMM's files of albedo alone (``albedoModel2020_*_albedoPart.h5``) with the Basel Face Model that
    they belong to, and for whole models of one topology.

    Parameters
    ----------
    model : the shapes; an albedo group that it has is replaced.
    path : AlbedoMM's part, or any model file with colours.

    Returns
    -------
    MorphableModel
        Its provenance says where the albedo is from (``albedo_source``) and in which colours it is
        (``albedo_color_space``).

    Raises
    ------
    BadInputError
        If the file cannot be read, has no albedo, or is on other vertices or triangles.
    """
    source = ModelSource(path)
    part, color_space = _albedo_of(source)
    if len(part.albedo.mean) != model.n_vertices:
        raise source.bad(
            f"its albedo is for {len(part.albedo.mean)} vertices, the model has {model.n_vertices}: "
            "they must be of one topology"
        )
    if part.faces is not None and not _same_triangles(part.faces, model.faces):
        raise source.bad("its triangles are others than the model's, hence its vertices, too")
    notes = [*model.provenance.get("read_notes", []), *(f"albedo: {note}" for note in part.notes)]
    facts = {"albedo_source": source.path.name, "albedo_color_space": color_space}
    provenance = {**model.provenance, **facts, **({"read_notes": notes} if notes else {})}
    return replace(model, albedo=part.albedo, provenance=provenance)


def _albedo_of(source: ModelSource) -> tuple[albedo_mm.AlbedoPart, str]:
    if not albedo_mm.has_no_shape(source):
        whole = load_model(source.path)
        if whole.albedo is None:
            raise source.bad("this model has no colours")
        color_space = str(whole.provenance.get("albedo_color_space", "linear"))
        return albedo_mm.AlbedoPart(whole.albedo, whole.faces, ()), color_space
    with source.reading():
        return albedo_mm.read_part(source), albedo_mm.COLOR_SPACE


def _same_triangles(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two lists of faces are the same triangles, in any order and winding."""
    if a.shape != b.shape:
        return False
    first, second = np.sort(a, axis=1), np.sort(b, axis=1)
    return np.array_equal(first[np.lexsort(first.T)], second[np.lexsort(second.T)])
