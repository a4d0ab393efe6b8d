"""A person fitted to several photos, as files: a folder a photo, the person's own face, a page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from morphkit.export.blender import METRE
from morphkit.export.facts import model_origin
from morphkit.export.fit_pictures import turned_view
from morphkit.export.morphs import morph_targets
from morphkit.export.person_page import PersonPhoto, write_person_page
from morphkit.export.turntable import Skin, Turntable
from morphkit.fitting.batch.outcome import head_angles
from morphkit.fitting.consensus import DOUBTED
from morphkit.fitting.evidence import face_painter, model_openings
from morphkit.fitting.output import FIT_FILES, write_fit
from morphkit.fitting.result import FitResult
from morphkit.fitting.subject import SubjectFit
from morphkit.io.atomic import atomic_path, write_json
from morphkit.io.atomic_folder import files_below, renewed_folder
from morphkit.io.glb import write_glb
from morphkit.io.images import png_bytes, read_image
from morphkit.io.meshes import write_mesh
from morphkit.mesh import Mesh

PERSON_FILES = {
    "neutral.obj": "the person's face without expression, millimetres, head frame; texture from all photos",
    "neutral.ply": "the same with vertex colours",
    "neutral.glb": "the same for three.js and Blender: metres, y up, expression units as morph targets",
    "texture.png": "from all photos that count",
    "person.json": "identity, albedo, how far each photo counted",
    "report.html": "this page",
}
"""The person's own files, and what they are."""

_RECORD = "person.json"
_TURNS = (0.7, 0.0, -0.7)
_SIDE = 384


def write_subject(
    result: SubjectFit,
    folder: Path | str,
    *,
    names: Sequence[str] | None = None,
    files: Collection[str] = tuple(FIT_FILES),
    texture_size: int = 1024,
) -> None:
    """Write a person into a folder: `PERSON_FILES`, and below it a folder a photo as `write_fit` makes them.

    All of them or none: they are made ready in a hidden folder and moved at the end, ``person.json`` last.
    What an earlier run wrote there and this one does not, such as folders of more photos, is removed; other
    files are left alone.

    Parameters
    ----------
    result : the person.
    folder : is made if it is missing.
    names : for each photo of the result, its folder below `folder`; after its file, or its number, if None.
    files : groups to write for each photo, of `morphkit.fitting.output.FIT_FILES`.
    texture_size : pixels.

    Raises
    ------
    ValueError
        When `names` are not as many as the photos or not distinct, one leads out of the folder, or a group is
        unknown.
    MorphkitError
        When the folder cannot be written to, or the disk is full.
    """
    folder = Path(folder)
    names = photo_names(result) if names is None else tuple(names)
    if len(names) != len(result.photos) or len(set(names)) != len(names):
        raise ValueError(f"names: expected {len(result.photos)} different ones, got {len(set(names))}")
    outside = [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise ValueError(f"names: expected folders below {folder}, got {outside[0]}")
    with renewed_folder(folder, record=_RECORD) as new:
        for name, photo in zip(names, result.photos, strict=True):
            write_fit(photo, new / name, files=files, texture_size=texture_size)
        mesh = _write_meshes(result, new, texture_size)
        _write_page(result, new, names, mesh)
        written = sorted([*files_below(new), _RECORD])
        write_json(new / _RECORD, {**person_values(result, names), "files": written})


def photo_names(result: SubjectFit) -> tuple[str, ...]:
    """Return a folder's name for each photo: its file's stem if these differ, else its number."""
    stems = [f"photo_{i + 1}" if p.source is None else p.source.stem for i, p in _numbered(result)]
    if len(set(stems)) == len(stems):
        return tuple(stems)
    return tuple(f"photo_{i + 1}" for i, _ in _numbered(result))


def person_values(result: SubjectFit, names: Sequence[str]) -> dict[str, Any]:
    """Return what ``person.json`` says, but the names of the files."""
    return {
        "identity": result.identity,
        "albedo": result.albedo,
        "converged": result.converged,
        "notes": result.notes,
        "photos": [
            {
                "photo": None if photo.source is None else photo.source.name,
                "number": index + 1,
                "folder": name,
                "weight": weight,
                "disagreement": off,
                "landmark_error": photo.landmark_error,
            }
            for name, (index, photo), weight, off in zip(
                names, _numbered(result), result.weights, result.disagreements, strict=True
            )
        ],
        "failures": [
            {"number": failure.index + 1, "name": failure.name, "error": str(failure.error)}
            for failure in result.failures
        ],
    }


def _numbered(result: SubjectFit) -> list[tuple[int, FitResult]]:
    return list(zip(result.indices, result.photos, strict=True))


def _write_meshes(result: SubjectFit, folder: Path, texture_size: int) -> Mesh:
    """Write the neutral face in the colours of all photos that count, under the light of the most frontal.

    Returns it for eyes, its openings closed.
    """
    counted = [
        photo for photo, weight in zip(result.photos, result.weights, strict=True) if weight >= DOUBTED
    ]
    first = min(counted or result.photos, key=_turned)
    painter = face_painter(first, [photo for photo in counted if photo is not first])
    texture = painter.texture(first.model.uv, texture_size)
    colors = painter.vertex_colors.astype(np.float32)
    plain = Mesh(result.neutral, first.model.faces, colors=colors)
    mesh = Mesh(result.neutral, first.model.faces, colors=colors, uv=texture.uv, texture=texture.texture)
    picture = png_bytes(texture.texture)
    with atomic_path(folder / "texture.png") as temporary:
        temporary.write_bytes(picture)
    write_mesh(folder / "neutral.obj", mesh, picture=folder / "texture.png")
    write_mesh(folder / "neutral.ply", plain)
    targets = morph_targets(first.model, np.zeros_like(first.expression), np.zeros_like(result.neutral))
    with atomic_path(folder / "neutral.glb") as temporary:
        write_glb(temporary, mesh, targets=targets, scale=METRE, picture=picture, unlit=True)
    closed = model_openings(first.model).closed(plain)
    return replace(closed, uv=texture.closed_uv, texture=texture.texture)


def _turned(photo: FitResult) -> float:
    """Return how far a head is turned away from its camera, as a cosine from -1 (not at all)."""
    return float(photo.camera.R[2, 2])


def _write_page(result: SubjectFit, folder: Path, names: Sequence[str], mesh: Mesh) -> None:
    shown = result.photos[0].model.face_mask
    still = np.hstack([turned_view(mesh, yaw, shown=shown, size=_SIDE) for yaw in _TURNS])
    framed = np.pad(shown, (0, len(mesh.vertices) - len(shown)))
    skins = [Skin("photos", mesh.colors, mesh.texture, lit=False), Skin("shape")]
    face = Turntable("The person's face", mesh.vertices, mesh.faces, skins, still, uv=mesh.uv, framed=framed)
    photos = [
        _photo(folder, name, photo, float(weight), float(off))
        for name, photo, weight, off in zip(
            names, result.photos, result.weights, result.disagreements, strict=True
        )
    ]
    write_person_page(
        folder / "report.html",
        face=face,
        photos=photos,
        failures=[(one.name, str(one.error)) for one in result.failures],
        notes=result.notes,
        deviation=float(np.median(result.neutral_deviations[shown])),
        files=[(name, text) for name, text in PERSON_FILES.items() if name != "report.html"],
        predicted_by=result.photos[0].predicted_by,
        origin=model_origin(result.photos[0].model),
    )


def _photo(folder: Path, name: str, photo: FitResult, weight: float, off: float) -> PersonPhoto:
    strip, page = folder / name / "side_by_side.png", folder / name / "report.html"
    yaw, pitch, _ = head_angles(photo.camera.R)
    return PersonPhoto(
        name=name,
        picture=read_image(strip) if strip.is_file() else photo.photo,
        page=quote(f"{name}/report.html") if page.is_file() else None,
        weight=weight,
        doubted=weight < DOUBTED,
        disagreement=off,
        landmark_error=photo.landmark_error,
        yaw=yaw,
        pitch=pitch,
        notes=photo.notes,
    )
