"""LSFM, the Large Scale Facial Model (Booth et al. 2016), in MATLAB's format.

``mean`` xyz interleaved, ``components`` (3v, k) of unit length, ``eigenvalues`` variances, ``trilist``
counted from zero, counter-clockwise from outside. Millimetres; a file of another size is scaled, and says so.
The crops' ``map_cropped_to_full`` and ``map_full_to_cropped`` are left out: a morphkit model knows one
topology.
"""

from __future__ import annotations

from morphkit.archive.layouts import _mat
from morphkit.archive.layouts._mat_groups import outward, read_faces, read_group, read_mean, unit_of
from morphkit.archive.source import ModelSource
from morphkit.morphable import MorphableModel

KEY = "lsfm"
_LICENCE = "LSFM: for research, non-commercial, no redistribution; ask Imperial College London"
_MAPS = ("map_cropped_to_full", "map_full_to_cropped")


def recognises(source: ModelSource) -> bool:
    """Whether it is a .mat file with the model's variables."""
    return {"mean", "components", "eigenvalues", "trilist"} <= _mat.names(source)


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    with _mat.opened(source) as mat:
        mean = read_mean(mat, "mean")
        unit, scale, notes = unit_of(mean, "millimetres")
        group = read_group(mat, mean, "components", "eigenvalues", variances=True, scale=scale)
        faces = read_faces(mat, "trilist", len(mean) // 3, first=0, swap=False)
        faces, turned = outward(faces, mean)
        samples = mat.vector("n_training_samples") if mat.has("n_training_samples") else None
        if any(mat.has(name) for name in _MAPS):
            notes.append("the maps between the cropped and the full model were left out")
    notes += [*turned, *(f"identity: {note}" for note in group.notes)]
    training = {"training_scans": int(samples[0])} if samples is not None and len(samples) == 1 else {}
    return MorphableModel(
        faces,
        group.model,
        provenance={
            "source": source.path.name,
            "layout": KEY,
            "unit": unit,
            "licence": _LICENCE,
            **training,
            **({"read_notes": notes} if notes else {}),
        },
    )
