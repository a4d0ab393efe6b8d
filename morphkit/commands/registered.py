"""Folders of registered meshes, read for statistics."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from morphkit.errors import BadInputError
from morphkit.io.meshes import MESH_SUFFIXES, read_mesh
from morphkit.mesh import Mesh

MOST = 500  # meshes read of one folder: more would make the numbers no better, and take memory


@dataclass(frozen=True, eq=False)
class RegisteredShapes:
    """Registered meshes of one folder.

    Attributes
    ----------
    folder : where they lie.
    found : how many lie there, without those that were skipped.
    names : of those that were read, at most `MOST`, drawn at random.
    vertices : (n, v, 3) float32.
    skipped : names of those that were there, but not to be read.
    """

    folder: Path
    found: int
    names: tuple[str, ...]
    vertices: Float[np.ndarray, "n v 3"]
    skipped: tuple[str, ...] = ()


def read_registered(
    folder: str | Path,
    topology: Mesh,
    *,
    skip: Collection[str] = (),
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> RegisteredShapes:
    """Read a folder's meshes, all of which must have the given faces; those called as in `skip` are not read.

    Raises
    ------
    BadInputError
        When there is no such folder, no mesh in it, or one that has other vertices or faces.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInputError(f"There is no folder {folder}; name one with registered meshes.")
    files = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in MESH_SUFFIXES and path.name[0] != "."
    )
    if not files:
        raise BadInputError(f"{folder} holds no meshes ({', '.join(MESH_SUFFIXES)}).")
    skipped = tuple(path.stem for path in files if path.stem in skip)
    files = [path for path in files if path.stem not in skip]
    if not files:
        raise BadInputError(f"{folder} holds only meshes of scans that the model left out.")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(files))[:MOST])
    vertices = np.empty((len(chosen), len(topology.vertices), 3), np.float32)
    for row, index in enumerate(chosen):
        vertices[row] = _matching(files[index], topology)
        if progress is not None:
            progress(f"Reading {folder.name}", row + 1, len(chosen))
    return RegisteredShapes(folder, len(files), tuple(files[i].stem for i in chosen), vertices, skipped)


def _matching(path: Path, topology: Mesh) -> np.ndarray:
    """Return a mesh's vertices, if they are numbered as the topology's."""
    mesh = read_mesh(path)
    remedy = "only meshes in the model's own topology can be measured, such as register --template writes"
    if len(mesh.vertices) != len(topology.vertices):
        raise BadInputError(
            f"{path} has {len(mesh.vertices)} vertices, the model {len(topology.vertices)}; {remedy}."
        )
    if not np.array_equal(mesh.faces, topology.faces):
        raise BadInputError(f"{path} has other triangles than the model; {remedy}.")
    return mesh.vertices
