"""The template and its landmarks, from whatever the user has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool

from morphkit.archive import holds_model, load_default_model, load_model
from morphkit.building.colors import has_colors
from morphkit.building.store import landmarks_hash, template_hash
from morphkit.errors import BadInputError
from morphkit.geometry.closest_point import closest_points
from morphkit.io.landmarks import read_landmark_indices, read_landmarks, vertex_embedding
from morphkit.io.meshes import read_mesh
from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh, Template
from morphkit.morphable import MorphableModel
from morphkit.scans.discover import ScanFile

Look = Literal["colored", "clay"]

_FARTHEST = 10.0  # millimetres from a landmark to the template; beyond that the file belongs to another mesh


@dataclass(frozen=True, eq=False)
class LandmarkedTemplate:
    """A template, and its landmarks as a detector sees them.

    A detector's points are biased against anatomy, and in much the same way on every face that looks alike.
    So scans whose landmarks were detected are compared with the template's *detected* points, both seen in
    colour or both as clay, and the bias cancels. A template without landmarks of its own has only these.

    Attributes
    ----------
    template : with its own landmarks, which points from files are compared with.
    detected : the detector's points on the template's surface, by look and set name; empty if no scan needs
        them.
    """

    template: Template
    detected: Mapping[Look, Mapping[str, LandmarkEmbedding]] = field(default_factory=dict)

    def shared_look(self, scan: Mesh) -> Look:
        """Return how a scan and the template can both be looked at.

        Raises
        ------
        ValueError
            If nothing was detected on the template; `morphkit.building.registering.landmarked` does that.
        """
        if not self.detected:
            raise ValueError("nothing was detected on the template; pass what `landmarked` returns")
        return "colored" if "colored" in self.detected and has_colors(scan) else "clay"

    def matching(self, look: Look | None) -> Template:
        """Return the template with the landmarks to compare a scan's with; None: those of files."""
        return self.template if look is None else replace(self.template, landmarks=self.detected[look])

    @property
    def eyes(self) -> Bool[np.ndarray, " v"]:
        """The eyeballs, which registration moves with the lids and not to the scan; its colours they have."""
        return self.template.masks.get("eyes", np.zeros(len(self.template.mesh.vertices), dtype=bool))

    @property
    def complete(self) -> Template:
        """The template with every landmark set that is known: its own, else the detected one."""
        found = self.detected.get("colored") or self.detected.get("clay") or {}
        return replace(self.template, landmarks={**found, **self.template.landmarks})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what a registration takes from the template."""
        return template_hash(self.template)

    @cached_property
    def detected_digest(self) -> str:
        """SHA-256 of the detected landmarks, which the template's colours may sway."""
        return landmarks_hash({str(look): sets for look, sets in self.detected.items()})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LandmarkedTemplate) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, str]:
        return self.digest, self.detected_digest


def landmark_file(scan: ScanFile, template: Template) -> Path | None:
    """Return the file that a scan's landmarks are read from; None: they are detected.

    What the detector says of both agrees better than a file with what another head lends to a template that
    has no landmarks.
    """
    return scan.landmarks_path if template.landmarks else None


def as_clay(mesh: Mesh) -> Mesh:
    """Return the mesh without its colours."""
    return replace(mesh, colors=None, uv=None, texture=None)


def load_template_model(path: str | Path | None) -> MorphableModel | None:
    """Return the model whose mean is the template: the file's, or the embedded head; None for a mesh."""
    if path is None:
        return load_default_model()
    return load_model(path) if holds_model(path) else None


def load_template(path: str | Path | None = None, landmarks: str | Path | None = None) -> Template:
    """Read a template.

    Parameters
    ----------
    path : a mesh, a model file (its mean is the template), or None for the embedded head.
    landmarks : its landmarks: vertex indices (``{"landmarks68": [...]}``), or a landmark file with 3D points,
        which are moved onto the surface. They take the place of the model file's sets of the same kind.

    Raises
    ------
    BadInputError
        When a file cannot be used, or the landmarks do not lie on this template.
    """
    model = load_template_model(path)
    template = Template(read_mesh(str(path))) if model is None else model.template()
    if landmarks is None:
        return template
    embedding = _read_embedding(Path(landmarks), template.mesh)
    return replace(template, landmarks={**template.landmarks, **_by_set(embedding)})


def _read_embedding(path: Path, mesh: Mesh) -> LandmarkEmbedding:
    indices: dict[str, int] | None = None
    with suppress(BadInputError):  # then it holds points, or nothing, as the next reader will say
        indices = read_landmark_indices(path)
    if indices is None:
        return _embed_points(_read_points(path), mesh, path)
    _ensure_all_68(indices, path)
    return _embed_vertices(indices, mesh, path)


def _read_points(path: Path) -> Landmarks:
    try:
        return read_landmarks(path)
    except BadInputError as error:
        if path.suffix.lower() != ".json" or not path.is_file():
            raise
        raise BadInputError(
            f"{path} holds neither vertex indices nor named 3D points; "
            'write {"landmarks68": [68 vertex numbers]} or {"name": [x, y, z], ...}.'
        ) from error


def _ensure_all_68(indices: Mapping[str, int], path: Path) -> None:
    """Refuse a file of `read_landmark_indices` whose ``landmarks68`` are not 68 different vertices."""
    if "landmarks68" not in json.loads(path.read_text("utf-8-sig")):
        return
    if len(indices) != 68:
        raise BadInputError(
            f'{path}: "landmarks68" holds {len(indices)} vertices, not 68; '
            'name them if only some are known: {"30": vertex, ...}.'
        )
    if len(set(indices.values())) != 68:
        vertex, count = Counter(indices.values()).most_common(1)[0]
        raise BadInputError(
            f'{path}: "landmarks68" holds vertex {vertex} {count} times; give 68 different vertices.'
        )


def _embed_vertices(indices: Mapping[str, int], mesh: Mesh, path: Path) -> LandmarkEmbedding:
    try:
        return vertex_embedding(indices, mesh.faces)
    except ValueError as error:
        raise BadInputError(
            f"{path} does not fit the template: {error}; give the template's own landmarks."
        ) from error


def _embed_points(landmarks: Landmarks, mesh: Mesh, path: Path) -> LandmarkEmbedding:
    closest = closest_points(mesh, landmarks.points)
    farthest = int(np.argmax(closest.distances))
    if closest.distances[farthest] > _FARTHEST:
        name, distance = landmarks.names[farthest], closest.distances[farthest]
        raise BadInputError(
            f"{path}: landmark {name} lies {distance:.0f} mm from the template; "
            "give the template's own landmarks."
        )
    return LandmarkEmbedding(landmarks.names, closest.face_indices, closest.barycentrics)


def _by_set(embedding: LandmarkEmbedding) -> dict[str, LandmarkEmbedding]:
    """Return the landmarks by set: MediaPipe's are called mp0, mp1, ...; the rest pass as iBUG's."""
    dense = np.array([name.startswith("mp") for name in embedding.names])
    sets = {"ibug68": ~dense, "mediapipe478": dense}
    return {name: _pick(embedding, which) for name, which in sets.items() if which.any()}


def _pick(embedding: LandmarkEmbedding, which: np.ndarray) -> LandmarkEmbedding:
    names = tuple(name for name, wanted in zip(embedding.names, which, strict=True) if wanted)
    return LandmarkEmbedding(names, embedding.face_indices[which], embedding.barycentrics[which])
