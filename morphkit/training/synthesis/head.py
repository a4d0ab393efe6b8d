"""A model made ready to be photographed: torch tensors, its landmarks, and where a face's parts lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from morphkit.errors import BadInputError
from morphkit.geometry.topology import boundary_edges, edge_chains
from morphkit.mesh import LandmarkEmbedding
from morphkit.model import FaceModel, ShapeMap
from morphkit.morphable import MorphableModel
from morphkit.rendering import PerspectiveCamera, Renderer, Rendering, get_rasterizer
from morphkit.rendering.normals import vertex_normals
from morphkit.rendering.rasterizer import Backend
from morphkit.training.synthesis.hair import Scalp

DARKEST = 0.003  # linear RGB: no skin is blacker
_LEAST_NECK = 60.0  # millimetres across
_MEASURED = 600  # skin vertices by which the light is measured


@dataclass(frozen=True, eq=False)
class Head:
    """A model's heads, drawn.

    Attributes
    ----------
    model : on the rasterizer's device.
    renderer : draws them.
    landmarks : the 68 iBUG points of coefficients.
    mean_landmarks : (68, 3) of the mean face, millimetres.
    origin : (3,) the middle of the mean face.
    measured : (m,) vertices of the face's skin.
    measured_normals : (m, 3) theirs, of the mean face.
    rim : (n,) vertices of the neck's lower rim; none of a model without a neck.
    scalp : what tells how far a head reaches in each direction.
    """

    model: FaceModel
    renderer: Renderer
    landmarks: ShapeMap
    mean_landmarks: Float[np.ndarray, "68 3"]
    origin: Float[np.ndarray, "3"]
    measured: Int[np.ndarray, " m"]
    measured_normals: Float[np.ndarray, "m 3"]
    rim: Int[np.ndarray, " n"]
    scalp: Scalp

    @classmethod
    def of(cls, model: MorphableModel, rasterizer: Backend = "numba") -> Head:
        """Return a model's heads.

        Raises
        ------
        BadInputError
            If the model has no albedo, or not all 68 landmarks.
        MissingDependencyError
            If the rasterizer is not there.
        """
        embedding = checked(model)
        points = embedding.landmarks(model.instance(), model.faces).points
        no_vertex = np.zeros(model.n_vertices, bool)
        device = "cuda" if rasterizer == "nvdiffrast" else "cpu"
        face_model = FaceModel.from_morphable(model, device=device)
        mean = torch.from_numpy(model.instance().astype(np.float32))[None]
        normals = vertex_normals(mean, face_model.faces.cpu())[0].double().numpy()
        measured = _some(model.masks.get("skin", no_vertex) & model.face_mask, model.face_mask)
        return cls(
            face_model,
            Renderer(face_model.faces, get_rasterizer(rasterizer)),
            face_model.landmarks(embedding),
            points,
            model.instance()[model.face_mask].mean(axis=0),
            measured,
            normals[measured],
            _rim(model, points),
            Scalp.of(model.instance(), points, np.flatnonzero(~model.masks.get("ears", no_vertex))),
        )

    def instances(
        self, identity: np.ndarray, expression: np.ndarray, albedo: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
        """Return vertices (n, v, 3), albedo (n, v, 3) and landmarks (n, 68, 3), of coefficients (n, k)."""
        groups = [self.tensor(group) for group in (identity, expression, albedo)]
        vertices = self.model.vertices(groups[0], groups[1])
        if self.model.albedo is None:
            raise ValueError("the model has no albedo group")
        colors = self.model.albedo(groups[2]).clamp(DARKEST, 1.0)
        points = self.landmarks(groups[0], groups[1])
        return vertices, colors, points.double().cpu().numpy()

    def draw(
        self,
        vertices: torch.Tensor,
        albedo: torch.Tensor,
        light: Float[np.ndarray, "9 3"],
        camera: PerspectiveCamera,
    ) -> Rendering:
        """Draw one head (v, 3) before black; linear RGB."""
        sh_coefficients = self.tensor(light)[None]
        return self.renderer(vertices[None], albedo[None], sh_coefficients, camera)

    def camera(
        self,
        K: Float[np.ndarray, "3 3"],
        R: Float[np.ndarray, "3 3"],
        t: Float[np.ndarray, "3"],
        width: int,
        height: int,
    ) -> PerspectiveCamera:
        """Return a camera in torch."""
        return PerspectiveCamera(
            self.tensor(K)[None], self.tensor(R)[None], self.tensor(t)[None], width, height
        )

    def neutral(self, identity: Float[np.ndarray, " i"]) -> Float[np.ndarray, "v 3"]:
        """Return a person's vertices at rest, millimetres."""
        return self.model.vertices.identity(self.tensor(identity)[None])[0].double().cpu().numpy()

    def tensor(self, values: np.ndarray) -> torch.Tensor:
        """Return values as float32 on the model's device."""
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self.model.faces.device)


def checked(model: MorphableModel) -> LandmarkEmbedding:
    """Return a model's 68 iBUG points in their order, if photos can be rendered of it.

    Raises
    ------
    BadInputError
        If it has not all of them, or no albedo.
    """
    found = model.landmarks.get("ibug68")
    names = tuple(str(i) for i in range(68))
    if found is None or not set(names) <= set(found.names):
        raise BadInputError(
            "The model has not all 68 iBUG landmarks, by which photos are aligned; add them with "
            "`morphkit complete`."
        )
    if model.albedo is None:
        raise BadInputError(
            "The model has no colours (no albedo group), so no photos can be rendered of it; build it from "
            "coloured scans, or take another model."
        )
    rows = np.array([found.names.index(name) for name in names])
    return LandmarkEmbedding(names, found.face_indices[rows], found.barycentrics[rows])


def _some(preferred: np.ndarray, others: np.ndarray) -> np.ndarray:
    chosen = np.flatnonzero(preferred if preferred.shape == others.shape and preferred.any() else others)
    return chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), _MEASURED)).astype(int)]


def _rim(model: MorphableModel, landmarks: Float[np.ndarray, "68 3"]) -> np.ndarray:
    """Return the vertices of the lowest border, where that lies below the chin and goes around the neck."""
    edges = boundary_edges(model.faces)
    if not len(edges):
        return np.zeros(0, np.int64)
    chains = edge_chains(edges)
    loops = [np.unique(edges[chains == chain]) for chain in np.unique(chains)]
    mean = model.instance()
    lowest = min(loops, key=lambda loop: mean[loop, 1].mean())
    below = mean[lowest, 1].mean() < landmarks[8, 1]
    wide = np.ptp(mean[lowest, 0]) > _LEAST_NECK and np.ptp(mean[lowest, 2]) > _LEAST_NECK
    return lowest if below and wide else np.zeros(0, np.int64)
