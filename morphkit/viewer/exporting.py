"""The face on the screen as files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from morphkit.export.blender import METRE
from morphkit.io.atomic import atomic_path
from morphkit.io.glb import write_glb
from morphkit.io.meshes import write_mesh
from morphkit.mesh import Mesh
from morphkit.viewer.state import FaceState

FORMATS = ("ply", "obj", "glb", "json")


def exported(state: FaceState, suffix: str, mesh: Mesh | None = None) -> bytes:
    """Return a file of the face: its mesh ("ply", "obj", "glb") or its coefficients ("json").

    Meshes are in millimetres, GLB in metres as glTF has it. Colours are the albedo.

    Parameters
    ----------
    state : the face.
    suffix : of `FORMATS`.
    mesh : with other colours than the face's own.
    """
    if suffix == "json":
        return _coefficients(state).encode()
    mesh = state.mesh if mesh is None else mesh
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"face.{suffix}"
        if suffix == "glb":
            write_glb(path, mesh, scale=METRE)
        else:
            write_mesh(path, mesh)
        return path.read_bytes()


def save(folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    """Write a file under a name that is still free, atomically, and return its path."""
    taken = (folder / f"{stem}_{number:03d}.{suffix}" for number in range(1, 1_000_000))
    path = next(candidate for candidate in taken if not candidate.exists())
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return path


def _coefficients(state: FaceState) -> str:
    """Return what `MorphableModel.instance` and `NamedDirections.combine` take."""
    found = state.coefficients
    values = {
        "identity": found.identity.tolist(),
        "expression": found.expression.tolist(),
        "albedo": found.albedo.tolist(),
        "expression_units": dict(state.strengths),
        "model_digest": state.model.digest,
    }
    return json.dumps(values, indent=1) + "\n"
