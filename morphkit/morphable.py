"""The morphable model: linear statistics of shape, expression and albedo on one topology."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.directions import NamedDirections
from morphkit.gaussian import cross_gram, moments, solve_coefficients
from morphkit.geometry.similarity import Similarity
from morphkit.linear import LinearModel
from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh, Template
from morphkit.posing import pose_and_project
from morphkit.posterior import checked_covariances, posterior, posterior_at
from morphkit.subsets import positions, surviving_landmarks, surviving_mirror

__all__ = ["LinearModel", "ModelOrigin", "MorphableModel", "NamedDirections", "ShapeCoefficients"]


@dataclass(frozen=True, eq=False)
class ShapeCoefficients:
    """A shape's coefficients, in standard deviations, (k,) float64; expression is None without that group."""

    identity: Float[np.ndarray, " i"]
    expression: Float[np.ndarray, " e"] | None = None


@dataclass(frozen=True, eq=False)
class ModelOrigin:
    """Where a model's statistics lie.

    Attributes
    ----------
    path : the file or folder, as it was given.
    statistics : of the model as it was read: faces, identity, expression, albedo.
    """

    path: Path
    statistics: tuple[object, ...]


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """A 3D morphable model in plain numpy. Shape = identity + expression, in millimetres.

    Attributes
    ----------
    faces : (f, 3) int32.
    identity : the shape statistics of neutral faces.
    expression : additive offsets (mean usually zero), or None.
    albedo : linear RGB in 0..1, or None.
    expression_units : the named units as directions in the expression group, or None.
    uv : (f, 3, 2) float32 per-corner texture coordinates, or None.
    landmarks : embeddings by set name ("ibug68", "mediapipe478").
    masks : (v,) boolean regions by name ("face", "narrow_face", "skin", "eyes", "lips", "ears", "neck").
    mirror : (v,) int32, the vertex at the mirrored place, or None.
    provenance : what it was made from: licence, sources, settings, versions; JSON-serialisable.
    origin : the file that holds these statistics, or None; see `source`. Not written to files.
    """

    faces: Int[np.ndarray, "f 3"]
    identity: LinearModel
    expression: LinearModel | None = None
    albedo: LinearModel | None = None
    expression_units: NamedDirections | None = None
    uv: Float[np.ndarray, "f 3 2"] | None = None
    landmarks: Mapping[str, LandmarkEmbedding] = field(default_factory=dict)
    masks: Mapping[str, Bool[np.ndarray, " v"]] = field(default_factory=dict)
    mirror: Int[np.ndarray, " v"] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    origin: ModelOrigin | None = None

    @classmethod
    def of_mesh(cls, mesh: Mesh) -> MorphableModel:
        """Return the model of one shape, without its colours."""
        return cls(mesh.faces, LinearModel.constant(mesh.vertices), uv=mesh.uv)

    def __post_init__(self) -> None:
        if self.origin is not None:
            known = zip(self.origin.statistics, self._statistics, strict=True)
            if not all(read is mine for read, mine in known):  # these are another model's
                object.__setattr__(self, "origin", None)
        v = self.n_vertices
        for name in ("expression", "albedo"):
            group: LinearModel | None = getattr(self, name)
            if group is not None and len(group.mean) != v:
                raise ValueError(f"{name} has {len(group.mean)} vertices; identity has {v}")
        if len(self.faces) and not 0 <= self.faces.min() <= self.faces.max() < v:
            raise ValueError(f"faces index vertices {self.faces.min()}..{self.faces.max()} of {v}")
        for name, mask in self.masks.items():
            if mask.shape != (v,):
                raise ValueError(f"mask {name!r} has shape {mask.shape}, not {(v,)}")

    @property
    def source(self) -> Path | None:
        """The file or folder that holds these statistics; None once they are others', or in memory alone."""
        return None if self.origin is None else self.origin.path

    def read_from(self, path: Path | None) -> MorphableModel:
        """Return the model with this `source`."""
        return replace(self, origin=None if path is None else ModelOrigin(path, self._statistics))

    @property
    def _statistics(self) -> tuple[object, ...]:
        return (self.faces, self.identity, self.expression, self.albedo)

    @property
    def n_vertices(self) -> int:
        """The number of vertices v."""
        return len(self.identity.mean)

    @property
    def face_mask(self) -> Bool[np.ndarray, " v"]:
        """The vertices of the face: the mask of that name, or all of them."""
        return self.masks.get("face", np.ones(self.n_vertices, dtype=bool))

    @property
    def albedo_is_linear(self) -> bool:
        """Whether the albedo is linear light, as far as the provenance says; most models hold sRGB."""
        return str(self.provenance.get("albedo_color_space", "linear")).startswith("linear")

    @property
    def face_middle(self) -> Float[np.ndarray, "3"]:
        """The middle of the mean's face: the centroid of `face_mask`, millimetres."""
        middle: np.ndarray = self.instance()[self.face_mask].mean(axis=0)
        return middle

    @cached_property
    def digest(self) -> str:
        """A hash of what the coefficients mean: the triangles and the statistics, not names or landmarks."""
        digest = hashlib.sha256(np.ascontiguousarray(self.faces, np.int32).tobytes())
        for group in (self.identity, self.expression, self.albedo):
            digest.update(b"\0" if group is None else group.digest)
        return digest.hexdigest()

    def instance(
        self,
        identity: Float[np.ndarray, " i"] | None = None,
        expression: Float[np.ndarray, " e"] | None = None,
    ) -> Float[np.ndarray, "v 3"]:
        """Return the vertices for these coefficients (None: the mean), (v, 3) float64, millimetres.

        Raises
        ------
        ValueError
            If there are more coefficients than components, or expression ones without that group.
        """
        vertices = self.identity.instance(np.zeros(0) if identity is None else identity)
        return vertices + self._expressed(expression)

    def albedo_instance(self, albedo: Float[np.ndarray, " a"] | None = None) -> Float[np.ndarray, "v 3"]:
        """Return linear RGB for these coefficients (None: the mean), (v, 3) float64, clipped to 0..1.

        Raises
        ------
        ValueError
            If the model has no albedo group, or fewer components.
        """
        if self.albedo is None:
            raise ValueError("the model has no albedo group")
        return np.clip(self.albedo.instance(np.zeros(0) if albedo is None else albedo), 0.0, 1.0)

    def mesh(
        self,
        identity: Float[np.ndarray, " i"] | None = None,
        expression: Float[np.ndarray, " e"] | None = None,
        albedo: Float[np.ndarray, " a"] | None = None,
    ) -> Mesh:
        """Return the instance as a mesh, coloured where the model has an albedo group."""
        colors = None
        if self.albedo is not None or albedo is not None:
            colors = self.albedo_instance(albedo).astype(np.float32)
        return Mesh(self.instance(identity, expression), self.faces, colors=colors, uv=self.uv)

    def sample(self, rng: np.random.Generator) -> Mesh:
        """Draw a neutral face, its identity and albedo coefficients standard normal."""
        identity = rng.standard_normal(self.identity.n_components)
        albedo = None if self.albedo is None else rng.standard_normal(self.albedo.n_components)
        return self.mesh(identity, albedo=albedo)

    def project(self, vertices: Float[np.ndarray, "v 3"], noise_variance: float = 0.0) -> ShapeCoefficients:
        """Return the identity and expression coefficients whose instance is nearest to `vertices`.

        Parameters
        ----------
        vertices : (v, 3) millimetres, in the model's frame.
        noise_variance : as for `LinearModel.project`, mm². The two groups overlap, so with zero their
            split is ill-determined even where their sum is not; give some noise to get a sensible split.
        """
        if self.expression is None:
            return ShapeCoefficients(self.identity.project(vertices, noise_variance))
        groups = (self.identity, self.expression)
        residual = vertices - self.identity.mean - self.expression.mean
        seen = np.concatenate([moments(group.basis, residual) for group in groups])
        cross = cross_gram(self.identity.basis, self.expression.basis)
        gram = np.block([[self.identity.gram, cross], [cross.T, self.expression.gram]])
        deviations = np.concatenate([group.standard_deviations for group in groups])
        return self._split(solve_coefficients(gram, seen, deviations, noise_variance))

    def coefficients(
        self,
        vertices: Float[np.ndarray, "v 3"],
        *,
        noise_variance: float = 0.0,
        scale: bool = False,
        weights: Float[np.ndarray, " v"] | None = None,
    ) -> tuple[ShapeCoefficients, Similarity]:
        """Return the coefficients of a shape in any pose, and its map into the model's frame.

        Parameters are those of `morphkit.posing.pose_and_project`; `project` is for shapes that lie in the
        model's frame already.
        """
        found = pose_and_project(
            self._shape(), vertices, noise_variance=noise_variance, scale=scale, weights=weights
        )
        return self._split(found.coefficients), found.similarity

    def _shape(self) -> LinearModel:
        """Return identity and expression side by side, as one (not orthonormal) group."""
        if self.expression is None:
            return self.identity
        groups = (self.identity, self.expression)
        return LinearModel(
            self.identity.mean + self.expression.mean,
            np.concatenate([group.basis for group in groups], axis=1),
            np.concatenate([group.standard_deviations for group in groups]),
        )

    def _split(self, both: np.ndarray) -> ShapeCoefficients:
        k = self.identity.n_components
        return ShapeCoefficients(both[:k], None if self.expression is None else both[k:])

    def posterior(
        self,
        vertex_indices: Int[np.ndarray, " m"],
        points: Float[np.ndarray, "m 3"],
        deviations: float | Float[np.ndarray, " m"] | None = None,
        *,
        covariances: Float[np.ndarray, "m 3 3"] | None = None,
        expression: Float[np.ndarray, " e"] | None = None,
    ) -> MorphableModel:
        """Return the model of the people who could have these points: see `morphkit.posterior.posterior`.

        Parameters
        ----------
        vertex_indices : (m,) observed vertices.
        points : (m, 3) millimetres, in the model's frame.
        deviations, covariances : how well they are known, mm and mm².
        expression : the expression they were observed with, as coefficients; neutral when None. The
            expression group itself is not conditioned.
        """
        neutral = points - self._expressed(expression)[vertex_indices]
        identity = posterior(self.identity, vertex_indices, neutral, deviations, covariances=covariances)
        return replace(self, identity=identity)

    def posterior_from_landmarks(
        self,
        landmarks: Landmarks,
        embedding: str = "ibug68",
        *,
        deviations: float | Float[np.ndarray, " n"] | None = None,
        covariances: Float[np.ndarray, "n 3 3"] | None = None,
        expression: Float[np.ndarray, " e"] | None = None,
    ) -> MorphableModel:
        """Return the model of the people who could have these landmarks; see `posterior`.

        Parameters
        ----------
        landmarks : n points in the model's frame; those that the embedding does not name say nothing.
        embedding : which of the model's landmark sets they belong to.
        deviations, covariances : how well they are known, mm and mm²; when neither is given, the landmarks'
            own covariances or standard deviations.
        expression : the expression they were observed with, as coefficients; neutral when None.

        Raises
        ------
        ValueError
            If the model has no such landmark set, or nothing says how well the landmarks are known.
        """
        if embedding not in self.landmarks:
            raise ValueError(f"the model has no landmarks {embedding!r}; it has {sorted(self.landmarks)}")
        if deviations is None and covariances is None:
            covariances = landmarks.covariances
            deviations = landmarks.standard_deviations if covariances is None else None
        spread = checked_covariances(landmarks.points, deviations, covariances)
        known = self.landmarks[embedding]
        place = {name: i for i, name in enumerate(known.names)}
        kept = np.array([i for i, name in enumerate(landmarks.names) if name in place], dtype=np.int64)
        rows = np.array([place[landmarks.names[i]] for i in kept], dtype=np.int64)
        corners, weights = self.faces[known.face_indices[rows]], known.barycentrics[rows]
        offset = np.einsum("mc,mcd->md", weights, self._expressed(expression)[corners])
        points = landmarks.points[kept] - offset
        return replace(self, identity=posterior_at(self.identity, corners, weights, points, spread[kept]))

    def _expressed(self, expression: np.ndarray | None) -> np.ndarray:
        """Return what an expression adds to the identity's vertices, (v, 3)."""
        if self.expression is None:
            if expression is not None:
                raise ValueError("expression coefficients were given, but the model has no expression group")
            return np.zeros((self.n_vertices, 3))
        return self.expression.instance(np.zeros(0) if expression is None else expression)

    def truncate(
        self, identity: int | None = None, expression: int | None = None, albedo: int | None = None
    ) -> MorphableModel:
        """Keep the first components of each group (None: all of them); see `LinearModel.truncate`."""
        units = self.expression_units
        if expression is not None and units is not None:
            units = replace(units, coefficients=units.coefficients[:, :expression])
        return replace(
            self,
            identity=_truncated(self.identity, identity, "identity"),
            expression=None
            if self.expression is None
            else _truncated(self.expression, expression, "expression"),
            albedo=None if self.albedo is None else _truncated(self.albedo, albedo, "albedo"),
            expression_units=units,
        )

    def marginal(self, vertex_indices: Int[np.ndarray, " n"]) -> MorphableModel:
        """Return the model of some vertices only, with the same coefficients (`LinearModel.marginal`).

        Faces, uv, landmarks, masks and the mirror map are kept where all they refer to survives.

        Parameters
        ----------
        vertex_indices : (n,) distinct vertices, in the order that the new model shall have them.

        Raises
        ------
        ValueError
            If an index is out of range or given twice.
        """
        position = positions(vertex_indices, self.n_vertices)
        kept = (position[self.faces] >= 0).all(axis=1)
        return replace(
            self,
            faces=position[self.faces[kept]].astype(np.int32),
            identity=self.identity.marginal(vertex_indices),
            expression=None if self.expression is None else self.expression.marginal(vertex_indices),
            albedo=None if self.albedo is None else self.albedo.marginal(vertex_indices),
            uv=None if self.uv is None else self.uv[kept],
            landmarks=surviving_landmarks(self.landmarks, kept),
            masks={name: mask[vertex_indices] for name, mask in self.masks.items()},
            mirror=surviving_mirror(self.mirror, vertex_indices, position),
        )

    def transformed(self, similarity: Similarity) -> MorphableModel:
        """Return the model in another frame or unit, with the same coefficients; the colours stay."""
        turn = replace(similarity, translation=np.zeros(3))  # offsets have no place
        return replace(
            self,
            identity=self.identity.transformed(similarity),
            expression=None if self.expression is None else self.expression.transformed(turn),
        )

    def orthonormalized(self) -> MorphableModel:
        """Return the same distributions with orthonormal bases, as files need; coefficients change."""
        identity, _ = self.identity.orthonormalized()
        albedo = None if self.albedo is None else self.albedo.orthonormalized()[0]
        if self.expression is None:
            return replace(self, identity=identity, albedo=albedo)
        expression, rotation = self.expression.orthonormalized()
        units = self.expression_units
        if units is not None:
            units = replace(units, coefficients=units.coefficients @ rotation.T)
        return replace(self, identity=identity, albedo=albedo, expression=expression, expression_units=units)

    def template(self) -> Template:
        """Return the mean face with its landmarks and masks, to register scans with."""
        return Template(self.mesh(), self.landmarks, self.masks)


def _truncated(group: LinearModel, n_components: int | None, name: str) -> LinearModel:
    if n_components is None:
        return group
    try:
        return group.truncate(n_components)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
