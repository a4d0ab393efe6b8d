"""True faces and fitted ones in folders: which files they are, and what is read of them."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.errors import BadInputError
from morphkit.evaluation import seven_points
from morphkit.geometry.closest_point import closest_points
from morphkit.io.landmarks import read_landmarks
from morphkit.io.meshes import MESH_SUFFIXES, read_mesh
from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh, Template
from morphkit.scans import find_landmarks

FACE_SUFFIXES = (".ply", ".obj", *(s for s in MESH_SUFFIXES if s not in (".ply", ".obj")), ".npz")
_POINTS_SUFFIX = ".landmarks3d.json"
_ORDERS = {68: tuple(str(i) for i in range(68)), 7: tuple(str(i) for i in range(7))}


@dataclass(frozen=True, eq=False)
class Face:
    """A face from a file.

    Attributes
    ----------
    path : the file.
    vertices : (v, 3).
    faces : (f, 3), or None for points without triangles.
    landmarks : 3D points in its frame.
    counted : (v,) the vertices that are measured, or None for all.
    """

    path: Path
    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"] | None
    landmarks: Landmarks
    counted: Bool[np.ndarray, " v"] | None = None

    @property
    def points(self) -> Float[np.ndarray, "7 3"]:
        """The seven points of the NoW benchmark; BadInputError names what is missing."""
        try:
            return seven_points(self.landmarks)
        except ValueError as error:
            raise BadInputError(f"{self.path}: {error}.") from error

    @property
    def mesh(self) -> Mesh:
        """The face as a surface; BadInputError if it has no triangles."""
        if self.faces is None:
            raise BadInputError(
                f"{self.path} has no triangles; add `faces` to it, or name a mesh of its topology."
            )
        return Mesh(self.vertices, self.faces, source=self.path)


def true_faces(place: Path) -> tuple[Path, ...]:
    """Return the files of true faces in a folder (or the one file), in natural order.

    Raises
    ------
    BadInputError
        When there is none, or two of one name.
    """
    if not place.exists():
        raise BadInputError(f"There is no folder {place}; name one with the true faces.")
    paths = [place] if place.is_file() else sorted(place.iterdir(), key=_natural_order)
    paths = [p for p in paths if p.suffix.lower() in FACE_SUFFIXES and p.name[0] != "." and p.is_file()]
    if not paths:
        raise BadInputError(f"{place} holds no true faces ({', '.join(FACE_SUFFIXES)}).")
    by_stem: dict[str, Path] = {}
    for path in paths:
        if by_stem.setdefault(path.stem, path) is not path:
            raise BadInputError(
                f"{by_stem[path.stem]} and {path.name} have the same name; rename or remove one of them."
            )
    return tuple(paths)


def find_fit(folder: Path, name: str) -> Path | None:
    """Return the fitted mesh of that name: ``name/mesh.*`` as `morphkit fit` writes it, or ``name.*``."""
    places = [folder / name / f"mesh{suffix}" for suffix in FACE_SUFFIXES]
    places += [folder / f"{name}{suffix}" for suffix in FACE_SUFFIXES]
    return next((path for path in places if path.is_file()), None)


def unmatched_fits(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of fits in a folder that belong to no true face."""
    found = {path.stem for path in folder.iterdir() if path.suffix.lower() in FACE_SUFFIXES}
    found |= {path.name for path in folder.iterdir() if path.is_dir() and find_fit(folder, path.name)}
    return tuple(sorted(found - set(names)))


def read_face(path: Path, topology: Template | None = None, *, neutral: bool = False) -> Face:
    """Read a face with its landmarks.

    Parameters
    ----------
    path : a mesh; or an ``.npz`` with ``vertices`` and, where there are any, ``faces``, ``landmarks`` (68 or
        7 points) and ``mask`` (the vertices that are measured). Landmarks come from a file beside it
        (``landmarks3d.json`` in a fit's folder, ``<stem>.landmarks3d.json``, ``<stem>.landmarks.json`` or
        another landmark file), from within, or from the topology.
    topology : gives faces and landmarks by vertex number to files with as many vertices.
    neutral : take the face without its expression, where it is known apart: an ``.npz``'s ``neutral`` in
        place of its ``vertices``, and for the mesh of a fit's folder ``neutral.ply`` beside it. The landmarks
        stay where they are on the skin.

    Raises
    ------
    BadInputError
        When a file cannot be read, or there are no landmarks.
    """
    face = _read(path, topology)
    vertices = _neutral_vertices(path) if neutral else None
    return face if vertices is None else _carried(face, vertices)


def _read(path: Path, topology: Template | None) -> Face:
    if path.suffix.lower() == ".npz":
        vertices, faces, landmarks, counted = _read_arrays(path)
    else:
        mesh = _read_shape(path)
        vertices, faces, landmarks, counted = mesh.vertices, mesh.faces, None, None
    shared = _shared_topology(vertices, faces, topology)
    if shared is not None:
        faces = shared.mesh.faces
    beside = _landmark_file(path)
    if beside is not None:
        landmarks = read_landmarks(beside)
    elif landmarks is None and shared is not None and "ibug68" in shared.landmarks:
        landmarks = shared.landmarks["ibug68"].landmarks(vertices, shared.mesh.faces)
    if landmarks is None:
        raise BadInputError(
            f"{path} has no landmarks; put {path.stem}{_POINTS_SUFFIX} beside it, with its seven points."
        )
    return Face(path, vertices, faces, landmarks, counted)


def _neutral_vertices(path: Path) -> np.ndarray | None:
    """Return the vertices without expression, or None when the file is all there is."""
    if path.suffix.lower() == ".npz":
        arrays = _load_arrays(path, ("neutral",))
        return _checked_vertices(path, arrays["neutral"], "neutral") if "neutral" in arrays else None
    if path.stem != "mesh":
        return None
    for suffix in FACE_SUFFIXES:
        if path.with_name(f"neutral{suffix}").is_file():
            return _read_shape(path.with_name(f"neutral{suffix}")).vertices
    raise BadInputError(f"{path.parent} has no neutral.ply, the face without its expression.")


def _carried(face: Face, vertices: np.ndarray) -> Face:
    """Return a face with its vertices elsewhere, and its landmarks at the same places on its triangles."""
    if vertices.shape != face.vertices.shape:
        raise BadInputError(
            f"{face.path} has {len(face.vertices)} vertices, and {len(vertices)} without expression."
        )
    closest = closest_points(face.mesh, face.landmarks.points)
    embedding = LandmarkEmbedding(face.landmarks.names, closest.face_indices, closest.barycentrics)
    return replace(face, vertices=vertices, landmarks=embedding.landmarks(vertices, face.mesh.faces))


def _read_shape(path: Path) -> Mesh:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a missing texture: only the shape is looked at
        return read_mesh(path)


def _landmark_file(path: Path) -> Path | None:
    names = [path.with_name(f"{path.stem}{_POINTS_SUFFIX}")]
    if path.stem == "mesh":
        names.insert(0, path.with_name("landmarks3d.json"))
    return next((name for name in names if name.is_file()), None) or find_landmarks(path)


def _shared_topology(
    vertices: np.ndarray, faces: np.ndarray | None, topology: Template | None
) -> Template | None:
    """Return the topology if the face has it."""
    if topology is None or len(topology.mesh.vertices) != len(vertices):
        return None
    return topology if faces is None or np.array_equal(faces, topology.mesh.faces) else None


def _read_arrays(
    path: Path,
) -> tuple[np.ndarray, np.ndarray | None, Landmarks | None, np.ndarray | None]:
    arrays = _load_arrays(path, ("vertices", "faces", "landmarks", "mask"))
    vertices = _checked_vertices(path, arrays.get("vertices"), "vertices")
    return (
        vertices,
        _checked_faces(path, arrays.get("faces"), len(vertices)),
        _checked_landmarks(path, arrays.get("landmarks")),
        _checked_mask(path, arrays.get("mask"), len(vertices)),
    )


def _load_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names if name in file}
    except FileNotFoundError:
        raise BadInputError(f"There is no file {path}; check the path.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path} cannot be read as .npz: {error}.") from error


def _checked_vertices(path: Path, vertices: np.ndarray | None, name: str) -> np.ndarray:
    if vertices is None or vertices.ndim != 2 or vertices.shape[1] != 3 or vertices.dtype.kind not in "fiu":
        seen = "none" if vertices is None else f"an array of {vertices.dtype}, {vertices.shape}"
        raise BadInputError(f"{path}: `{name}` should be (v, 3) numbers; it holds {seen}.")
    return vertices.astype(np.float64)


def _checked_faces(path: Path, faces: np.ndarray | None, count: int) -> np.ndarray | None:
    if faces is None:
        return None
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu" or not len(faces):
        raise BadInputError(f"{path}: `faces` should be (f, 3) whole numbers, not {faces.shape}.")
    if faces.min() < 0 or faces.max() >= count:
        raise BadInputError(f"{path}: `faces` refer to vertices that are not there.")
    return faces.astype(np.int32)


def _checked_landmarks(path: Path, points: np.ndarray | None) -> Landmarks | None:
    if points is None:
        return None
    if points.ndim != 2 or points.shape[1] != 3 or len(points) not in _ORDERS:
        raise BadInputError(f"{path}: `landmarks` should be (68, 3) or (7, 3), not {points.shape}.")
    return Landmarks(_ORDERS[len(points)], points.astype(np.float64))


def _checked_mask(path: Path, mask: np.ndarray | None, count: int) -> np.ndarray | None:
    if mask is not None and (mask.shape != (count,) or mask.dtype != np.bool_):
        raise BadInputError(f"{path}: `mask` should be ({count},) booleans, not {mask.dtype} {mask.shape}.")
    return mask


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Order digits by value: photo_2 before photo_10."""
    pieces = re.split(r"(\d+)", path.name.lower())
    keys = [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece]
    return [*keys, (2, 0, path.name)]
