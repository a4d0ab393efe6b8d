"""What every task of a batch needs, written once beside the results instead of travelling with each task."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from morphkit.building.store import arrays_hash
from morphkit.building.templates import LandmarkedTemplate, Look
from morphkit.errors import MorphkitError
from morphkit.io.atomic import atomic_path
from morphkit.mesh import LandmarkEmbedding, Mesh, Template

Arrays = dict[str, np.ndarray]

_LOOKS: tuple[Look, ...] = ("colored", "clay")


@dataclass(frozen=True, eq=False)
class Common:
    """What the tasks of a batch share.

    Attributes
    ----------
    template : with the landmarks that scans are placed by.
    modes : (v, 3, k) deformations of the template learnt from data, millimetres, one standard deviation each.
    """

    template: LandmarkedTemplate
    modes: Float[np.ndarray, "v 3 k"] | None = None

    @property
    def modes_digest(self) -> str:
        """SHA-256 of the modes; empty when there are none."""
        return "" if self.modes is None else arrays_hash({"modes": self.modes})


@dataclass(frozen=True)
class Handout:
    """Where a batch's common things lie.

    Attributes
    ----------
    path : a file that all workers can read.
    key : a hash of what it holds, so that a process that stays does not mistake one batch for another.
    modes_digest : see `Common`.
    """

    path: Path
    key: str
    modes_digest: str


@contextmanager
def handed_out(folder: Path, common: Common) -> Iterator[Handout]:
    """Yield the handout; its file is removed in the end.

    Raises
    ------
    MorphkitError
        When the folder cannot be written to.
    """
    arrays = _packed(common)
    key = arrays_hash(arrays)
    path = folder.resolve() / f".common-{key[:12]}.npz"
    try:
        with atomic_path(path) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)
        yield Handout(path, key, common.modes_digest)
    finally:
        path.unlink(missing_ok=True)


@lru_cache(maxsize=2)
def take(handout: Handout) -> Common:
    """Return a batch's common things, read once in a process: what is computed for a template stays with it.

    Raises
    ------
    MorphkitError
        When the file cannot be read here.
    """
    try:
        with np.load(handout.path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise MorphkitError(
            f"{handout.path} cannot be read; workers must see the work folder under the same path."
        ) from error
    return _unpacked(arrays)


def _packed(common: Common) -> Arrays:
    """Return the arrays; the template's own colours are left out, since no task looks at them."""
    template = common.template.template
    arrays: Arrays = {"vertices": template.mesh.vertices, "faces": template.mesh.faces}
    if template.mesh.uv is not None:
        arrays["uv"] = template.mesh.uv
    if common.modes is not None:
        arrays["modes"] = common.modes
    arrays |= {f"masks/{name}": mask for name, mask in template.masks.items()}
    arrays |= _embeddings("landmarks", template.landmarks)
    for look, sets in common.template.detected.items():
        arrays |= _embeddings(f"detected/{look}", sets)
    return arrays


def _embeddings(place: str, sets: Mapping[str, LandmarkEmbedding]) -> Arrays:
    arrays: Arrays = {}
    for name, embedding in sets.items():
        arrays[f"{place}/{name}/names"] = np.array(embedding.names)
        arrays[f"{place}/{name}/face_indices"] = embedding.face_indices
        arrays[f"{place}/{name}/barycentrics"] = embedding.barycentrics
    return arrays


def _unpacked(arrays: Arrays) -> Common:
    template = Template(
        Mesh(arrays["vertices"], arrays["faces"], uv=arrays.get("uv")),
        _sets(arrays, "landmarks/"),
        {name.removeprefix("masks/"): a for name, a in arrays.items() if name.startswith("masks/")},
    )
    detected = {look: _sets(arrays, f"detected/{look}/") for look in _LOOKS}
    known = {look: sets for look, sets in detected.items() if sets}
    return Common(replace(LandmarkedTemplate(template), detected=known), arrays.get("modes"))


def _sets(arrays: Arrays, place: str) -> dict[str, LandmarkEmbedding]:
    ours = [key.removeprefix(place) for key in arrays if key.startswith(place)]
    return {
        name: LandmarkEmbedding(
            tuple(arrays[f"{place}{name}/names"].tolist()),
            arrays[f"{place}{name}/face_indices"],
            arrays[f"{place}{name}/barycentrics"],
        )
        for name in (key.removesuffix("/names") for key in ours if key.endswith("/names"))
    }
