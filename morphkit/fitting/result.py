"""What a fit found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.export.camera import PhotoCamera
from morphkit.fitting.seen import SeenLandmarks
from morphkit.fitting.uncertainty import FacePosterior, shape_factor
from morphkit.landmarks.ibug import NOW_POINTS as NOW_POINTS
from morphkit.mesh import Mesh
from morphkit.morphable import MorphableModel


@dataclass(frozen=True, eq=False)
class FitResult:
    """A face fitted to a photo.

    Attributes
    ----------
    photo : (h, w, 3) sRGB, upright.
    source : the photo's file, or None.
    model : the morphable model that was fitted.
    identity, expression, albedo : coefficients in standard deviations; empty where the model has no such
        group or, for albedo, where the photo's colours were not used.
    camera : of the photo: K, R, t in OpenCV's convention.
    sh_coefficients : (9, 3) the light: incoming radiance in camera axes, as `morphkit.rendering.lighting`
        takes it (the cosine kernel not folded in); None where it was not estimated.
    vertices : (v, 3) the face with its expression, millimetres, head frame.
    neutral : (v, 3) the same without expression.
    albedo_colors : (v, 3) linear RGB without light, or None.
    lit_colors : (v, 3) linear RGB under the photo's light, or None.
    seen : the landmarks that were fitted.
    landmark_error : of the 68 embedded points against the seen or given ones, the outline left out: mean
        pixel distance over the distance between the outer eye corners; NaN where those are unknown.
    landmark_energies, photometric_energies : after each step.
    polish_energies : by term, its weighted value before each step of the polish and at the end; empty where
        the fit was not polished.
    timings : seconds by stage.
    notes : what was left out or is doubtful, one sentence each.
    converged : whether the optimisation settled.
    posterior : what the photo leaves open, a Gaussian about the fit; None if not known. Its covariance is the
        photometric fit's (of a polished fit, too), or the landmark fit's where colours were not used.
    vertex_deviations : (v,) standard deviation of each vertex along its normal, mm, after the face as a whole
        has been aligned (`morphkit.fitting.uncertainty.vertex_deviations`); None if not known.
    attention : (h, w) in the photo, 0..1: less where it shows something before the face (hair, glasses, a
        hand); 1 where nothing was compared; None where colours were not used.
    predicted_by : the network that predicted the face, if it was not fitted; then nothing was optimised, and
        energies are empty.
    """

    photo: UInt8[np.ndarray, "h w 3"]
    source: Path | None
    model: MorphableModel
    identity: Float[np.ndarray, " i"]
    expression: Float[np.ndarray, " e"]
    albedo: Float[np.ndarray, " a"]
    camera: PhotoCamera
    sh_coefficients: Float[np.ndarray, "9 3"] | None
    vertices: Float[np.ndarray, "v 3"]
    neutral: Float[np.ndarray, "v 3"]
    albedo_colors: Float[np.ndarray, "v 3"] | None
    lit_colors: Float[np.ndarray, "v 3"] | None
    seen: SeenLandmarks
    landmark_error: float
    landmark_energies: tuple[float, ...]
    photometric_energies: tuple[float, ...]
    timings: Mapping[str, float]
    notes: tuple[str, ...]
    converged: bool
    posterior: FacePosterior | None = None
    vertex_deviations: Float[np.ndarray, " v"] | None = None
    attention: Float[np.ndarray, "h w"] | None = None
    polish_energies: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    predicted_by: str | None = None

    def sample(self, n: int, rng: np.random.Generator | int = 0) -> Float[np.ndarray, "n v 3"]:
        """Draw faces that explain the photo nearly as well: (n, v, 3) millimetres, aligned with the fit.

        Identity and expression vary together as the posterior says; what the model cannot show at all is
        counted in `vertex_deviations`, not here. `rng` is a generator, or the seed of one.

        Raises
        ------
        ValueError
            When the fit has no posterior.
        """
        if self.posterior is None:
            raise ValueError("the fit has no posterior to sample from")
        factor = shape_factor(self.model, self.vertices, self.posterior)
        drawn = np.random.default_rng(rng).standard_normal((n, factor.shape[2]))
        samples: np.ndarray = self.vertices + np.einsum("vdk,nk->nvd", factor, drawn)
        return samples

    @property
    def mesh(self) -> Mesh:
        """The face as a mesh in the head frame, with the colours of `lit_colors`."""
        colors = None if self.lit_colors is None else self.lit_colors.astype(np.float32)
        return Mesh(self.vertices, self.model.faces, colors=colors, source=self.source)

    @property
    def vertices_camera(self) -> Float[np.ndarray, "v 3"]:
        """The vertices in camera coordinates, millimetres: x right, y down, z into the scene."""
        return self.camera.to_camera(self.vertices)

    @property
    def landmarks3d(self) -> dict[str, list[float]]:
        """The seven NoW points on the mesh, millimetres, head frame; empty when the model embeds no 68."""
        if "ibug68" not in self.model.landmarks:
            return {}
        points = self.model.landmarks["ibug68"].landmarks(self.vertices, self.model.faces)
        return {
            name: points.select([number]).points[0].tolist()
            for name, number in NOW_POINTS.items()
            if number in points.names
        }
