"""The values that flow between the rooms: meshes, landmarks and templates. Plain numpy, frozen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh.

    Attributes
    ----------
    vertices : (v, 3) float64, millimetres.
    faces : (f, 3) int32, counter-clockwise seen from outside.
    colors : (v, 3) float32, linear RGB in 0..1; NaN rows where the colour is unknown.
    uv : (f, 3, 2) float32, one coordinate per triangle corner (so seams split nothing), v up.
    texture : (h, w, 3) uint8, the sRGB-encoded image that `uv` points into, row 0 at the top. It stays
        encoded because a decoded 8k texture is 800 MB; `geometry.sampling.surface_colors` decodes what it
        reads.
    source : the file it came from, for messages.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    colors: Float[np.ndarray, "v 3"] | None = None
    uv: Float[np.ndarray, "f 3 2"] | None = None
    texture: UInt8[np.ndarray, "h w 3"] | None = None
    source: Path | None = None


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Named 3D points.

    Attributes
    ----------
    names : n names; iBUG-68 points are named "0".."67", MediaPipe's "mp0".."mp477".
    points : (n, 3) float64, millimetres.
    standard_deviations : (n,) float64, isotropic uncertainty in millimetres, or None when not known.
    covariances : (n, 3, 3) float64, the uncertainty by direction in square millimetres, symmetric, or None
        when not known; preferred over the deviations, which then are the root of a third of the traces.
    """

    names: tuple[str, ...]
    points: Float[np.ndarray, "n 3"]
    standard_deviations: Float[np.ndarray, " n"] | None = None
    covariances: Float[np.ndarray, "n 3 3"] | None = None

    def __post_init__(self) -> None:
        if len(self.names) != len(self.points):
            raise ValueError(f"names and points differ in length: {len(self.names)} and {len(self.points)}")
        if self.covariances is not None and self.covariances.shape != (len(self.names), 3, 3):
            raise ValueError(
                f"covariances: expected shape {(len(self.names), 3, 3)}, got {self.covariances.shape}"
            )

    def select(self, names: Iterable[str]) -> Landmarks:
        """Return the landmarks called `names`, in that order; KeyError names a missing one."""
        position = {name: i for i, name in enumerate(self.names)}
        index = [position[name] for name in names]
        deviations = None if self.standard_deviations is None else self.standard_deviations[index]
        covariances = None if self.covariances is None else self.covariances[index]
        return Landmarks(tuple(self.names[i] for i in index), self.points[index], deviations, covariances)

    def with_covariances(self, covariances: Float[np.ndarray, "n 3 3"]) -> Landmarks:
        """Return the landmarks with these covariances, and standard deviations to match."""
        deviations = np.sqrt(np.trace(covariances, axis1=1, axis2=2) / 3)
        return Landmarks(self.names, self.points, deviations, covariances)

    def less_certain(self, factor: float) -> Landmarks:
        """Return the landmarks with standard deviations, as far as known, times `factor`."""
        deviations = None if self.standard_deviations is None else factor * self.standard_deviations
        covariances = None if self.covariances is None else factor**2 * self.covariances
        return Landmarks(self.names, self.points, deviations, covariances)

    def scaled(self, factor: float) -> Landmarks:
        """Return the landmarks in other units: points and uncertainties times `factor`."""
        return replace(self.less_certain(factor), points=factor * self.points)


@dataclass(frozen=True, eq=False)
class LandmarkEmbedding:
    """Named points on a mesh's surface: a triangle and barycentric weights each.

    Attributes
    ----------
    names : n names, as in `Landmarks`.
    face_indices : (n,) int32.
    barycentrics : (n, 3) float64, rows sum to one.
    """

    names: tuple[str, ...]
    face_indices: Int[np.ndarray, " n"]
    barycentrics: Float[np.ndarray, "n 3"]

    def landmarks(self, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Landmarks:
        """Return where the landmarks lie on a mesh of this topology."""
        corners = vertices[faces[self.face_indices]]
        return Landmarks(self.names, np.einsum("nk,nkd->nd", self.barycentrics, corners))


@dataclass(frozen=True, eq=False)
class Template:
    """The fixed-topology mesh that registration deforms to every scan.

    Attributes
    ----------
    mesh : the template, millimetres, y up, face towards +z.
    landmarks : embeddings by set name, "ibug68" and "mediapipe478" where known.
    masks : (v,) boolean vertex regions by name ("face", "ears", "eyes", ...).
    """

    mesh: Mesh
    landmarks: Mapping[str, LandmarkEmbedding] = field(default_factory=dict)
    masks: Mapping[str, Bool[np.ndarray, " v"]] = field(default_factory=dict)
