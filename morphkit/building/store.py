"""Registered scans on disk: a ``.ply`` for people, an ``.npz`` for the next stage, a ``.png`` to look at."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from morphkit.building.outcome import RegisteredScan
from morphkit.errors import BadInputError
from morphkit.io.atomic import atomic_path
from morphkit.io.meshes import write_mesh
from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh, Template
from morphkit.registration import Diagnosis


def template_hash(template: Template) -> str:
    """Return the SHA-256 of what a registration takes from a template."""
    arrays = {"vertices": template.mesh.vertices, "faces": template.mesh.faces}
    arrays |= {f"mask {name}": mask for name, mask in template.masks.items()}
    for name, embedding in template.landmarks.items():
        arrays |= _embedding_arrays(name, embedding)
    return arrays_hash(arrays)


def landmarks_hash(landmarks: Mapping[str, Mapping[str, LandmarkEmbedding]]) -> str:
    """Return the SHA-256 of named groups of landmark sets."""
    arrays: dict[str, np.ndarray] = {}
    for group, sets in landmarks.items():
        for name, embedding in sets.items():
            arrays |= _embedding_arrays(f"{group} {name}", embedding)
    return arrays_hash(arrays)


def arrays_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of named arrays, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(str((name, array.dtype.str, array.shape)).encode() + array.tobytes())
    return digest.hexdigest()


def save_registered(folder: Path, scan: RegisteredScan) -> Path:
    """Write a registered scan's mesh and data, each atomically, and return the mesh's path.

    The data come last: where they are complete, so is the mesh.
    """
    mesh_path = folder / f"{scan.name}.ply"
    write_mesh(mesh_path, scan.mesh)
    arrays: dict[str, Any] = {
        "vertices": scan.mesh.vertices,
        "valid": scan.valid,
        "distances": scan.distances,
        "rotation": scan.rotation,
        "landmarks": scan.landmarks.points,
    }
    if scan.mesh.colors is not None:
        arrays["colors"] = scan.mesh.colors
    with atomic_path(data_path(folder, scan.name)) as temporary:
        np.savez(temporary, allow_pickle=False, facts=np.array(json.dumps(_facts(scan))), **arrays)
    return mesh_path


def load_registered(folder: Path, name: str, template: Mesh) -> RegisteredScan:
    """Read a registered scan again; the faces are the template's.

    Raises
    ------
    BadInputError
        When the file is missing or damaged.
    """
    path = data_path(folder, name)
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {key: file[key] for key in file.files}
        facts = json.loads(str(data.pop("facts")))
        return _restored(facts, data, template)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path} is missing or damaged; delete it and run again.") from error


def load_fingerprint(path: Path) -> dict[str, str] | None:
    """Return what a registered scan's data file depends on; None if it is no such file, or an older one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = json.loads(str(file["facts"]))["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    return found if isinstance(found, dict) else None


def data_path(folder: Path, name: str) -> Path:
    """Return where a registered scan's data lie."""
    return folder / f"{name}.npz"


def picture_path(folder: Path, name: str) -> Path:
    """Return where a registered scan's picture lies."""
    return folder / f"{name}.png"


def result_paths(folder: Path, name: str) -> tuple[Path, ...]:
    """Return every file that a registered scan may have."""
    return data_path(folder, name), folder / f"{name}.ply", picture_path(folder, name)


def _facts(scan: RegisteredScan) -> dict[str, Any]:
    return {
        "name": scan.name,
        "millimetres_per_unit": scan.millimetres_per_unit,
        "landmark_names": list(scan.landmarks.names),
        "diagnosis": asdict(scan.diagnosis),
        "verdict": scan.verdict,
        "reasons": list(scan.reasons),
        "remarks": list(scan.remarks),
        "timings": {stage: float(seconds) for stage, seconds in scan.timings.items()},
        "scan_hash": scan.scan_hash,
        "fingerprint": dict(scan.fingerprint),
    }


def _restored(facts: dict[str, Any], data: dict[str, np.ndarray], template: Mesh) -> RegisteredScan:
    return RegisteredScan(
        name=facts["name"],
        mesh=replace(
            template, vertices=data["vertices"], colors=data.get("colors"), texture=None, source=None
        ),
        millimetres_per_unit=facts["millimetres_per_unit"],
        valid=data["valid"],
        distances=data["distances"],
        rotation=data["rotation"],
        landmarks=Landmarks(tuple(facts["landmark_names"]), data["landmarks"]),
        diagnosis=Diagnosis(**facts["diagnosis"]),
        verdict=facts["verdict"],
        reasons=tuple(facts["reasons"]),
        remarks=tuple(facts["remarks"]),
        timings=facts["timings"],
        scan_hash=facts["scan_hash"],
        fingerprint=facts["fingerprint"],
    )


def _embedding_arrays(name: str, embedding: LandmarkEmbedding) -> dict[str, np.ndarray]:
    return {
        f"{name} names": np.array(embedding.names),
        f"{name} faces": embedding.face_indices,
        f"{name} weights": embedding.barycentrics,
    }
