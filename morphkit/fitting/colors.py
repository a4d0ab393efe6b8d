"""The photometric energy: its value, its linearisation, and the light that starts it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.fitting.dense import DenseModel
from morphkit.fitting.landmark import LandmarkEnergy
from morphkit.fitting.look import Look, Picture, color_root
from morphkit.fitting.pose import cross_matrices
from morphkit.fitting.settings import PhotometricSettings
from morphkit.fitting.shading import fit_light, light_prior, reflection_basis, reflection_slope
from morphkit.fitting.trust import Trust
from morphkit.fitting.window import Window
from morphkit.geometry.robust import robust_weight

_LIGHT_ROUNDS = 4
_LEAST_ERROR = 0.02  # residual that is never called an outlier


@dataclass(frozen=True, eq=False)
class PhotometricEnergy:
    """Colour residuals in a window, the landmark energy, and the priors on albedo and light.

    Attributes
    ----------
    model, window : what is compared.
    sparse : the landmark energy, with the priors on shape and focal length.
    settings : weights.
    trust : how far the colours are believed; held while looks are compared.
    """

    model: DenseModel
    window: Window
    sparse: LandmarkEnergy
    settings: PhotometricSettings
    trust: Trust

    def energy(self, look: Look, picture: Picture, among: Bool[np.ndarray, "s s"]) -> float:
        """Return the energy of a drawn look, the pixels outside `among` left as they were for the trust.

        Two looks are comparable where both see the face, see `Picture.compared`.
        """
        white = self.trust.white_residuals(picture, self.window, among)
        albedo = self.settings.albedo_weight * look.albedo @ look.albedo
        return float(white @ white + albedo) + self._light_energy(look) + self.sparse.energy(look.face)

    def normal_equations(
        self, look: Look, picture: Picture
    ) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"]]:
        """Return JᵀWJ and JᵀWr over (pose, identity, expression, albedo, light), priors included.

        About the look from which the trust was estimated.
        """
        jacobian = self._jacobian(look, picture, np.arange(len(picture.row)))
        system = np.concatenate([jacobian, self.trust.residuals[:, :, None].astype(np.float32)], axis=2)
        rows = self.trust.whiten(system)
        normal = (rows.T @ rows).astype(np.float64)
        return self._with_priors(look, normal[:-1, :-1], normal[:-1, -1])

    def _with_priors(
        self, look: Look, hessian: Float[np.ndarray, "p p"], gradient: Float[np.ndarray, " p"]
    ) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"]]:
        by_face, towards = self.sparse.normal_equations(look.face)
        n, a = len(towards), len(look.albedo)
        hessian, gradient = hessian.copy(), gradient.copy()
        hessian[:n, :n] += by_face
        gradient[:n] += towards
        hessian[n : n + a, n : n + a] += self.settings.albedo_weight * np.eye(a)
        gradient[n : n + a] += self.settings.albedo_weight * look.albedo
        prior, (off, by_light) = self._light_prior(look), self._light_level(look)
        hessian[n + a :, n + a :] += prior + np.outer(by_light, by_light) + 1e-9 * np.eye(27)
        gradient[n + a :] += prior @ look.light.ravel() + off * by_light
        # The prior is relative to the light's mean, which makes a brighter light cheaper.
        excess = float(look.light.ravel() @ prior @ look.light.ravel())
        gradient[n + a : n + a + 3] -= (
            excess * look.light[0] / max(float(look.light[0] @ look.light[0]), 3e-6)
        )
        return hessian, gradient

    def _light_energy(self, look: Look) -> float:
        light = look.light.ravel()
        return float(light @ self._light_prior(look) @ light) + self._light_level(look)[0] ** 2

    def _light_prior(self, look: Look) -> Float[np.ndarray, "27 27"]:
        # Relative to the light's own mean, so that dim light on bright skin is not preferred to the reverse.
        scale = max(float((look.light[0] ** 2).mean()), 1e-6)
        return light_prior(self.settings.light_ridge, self.settings.light_chroma) / scale

    def _light_level(self, look: Look) -> tuple[float, Float[np.ndarray, "27"]]:
        """Return how far, in deviations, the light's mean is from what a photo is exposed for; its slope."""
        level = max(float(look.light[0].mean()), 1e-3)
        deviation = self.settings.light_level_deviation
        slope = np.zeros(27)
        slope[:3] = 1.0 / (3.0 * level * deviation)
        return float(np.log(level / self.settings.light_level)) / deviation, slope

    def _jacobian(
        self, look: Look, picture: Picture, chosen: Int[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n 3 p"]:
        """Return the derivatives of the square-rooted colours of the chosen pixels."""
        seen = _Surface(self.model, look, picture, chosen)
        slope = 0.5 / color_root(np.maximum(picture.image[picture.row, picture.column][chosen], 0.0))
        motion = -_picture_slope(picture, self.window, chosen) * self.window.zoom
        by_point, by_pose = look.face.pose.jacobian(seen.points)
        by_normal = (slope * seen.albedo)[:, :, None] * reflection_slope(seen.normals, look.light)
        pose = motion @ by_pose
        pose[:, :, :3] += by_normal @ cross_matrices(-seen.normals)
        shape = seen.by_shape(motion @ by_point, by_normal)
        brightness = slope * (reflection_basis(seen.normals) @ look.light)
        albedo = brightness[:, :, None] * seen.albedo_rows()
        light = (slope * seen.albedo)[:, :, None, None] * np.eye(3)[None, :, None, :]
        light = light * reflection_basis(seen.normals)[:, None, :, None]
        parts = [pose, shape, albedo, light.reshape(len(chosen), 3, 27)]
        return np.concatenate([part.astype(np.float32) for part in parts], axis=2)


@dataclass(frozen=True, eq=False)
class _Surface:
    """The surface that chosen pixels see."""

    model: DenseModel
    look: Look
    picture: Picture
    chosen: Int[np.ndarray, " n"]

    @property
    def _corners(self) -> Float[np.ndarray, "n 3 3"]:
        vertices = self.model.vertices(self.look.face)
        return vertices[self.picture.faces[self.chosen]].astype(np.float64)

    @property
    def points(self) -> Float[np.ndarray, "n 3"]:
        """Head frame, millimetres."""
        return np.einsum("nk,nkd->nd", self.picture.barycentrics[self.chosen], self._corners)

    @property
    def normals(self) -> Float[np.ndarray, "n 3"]:
        """Unit, camera axes."""
        return self.picture.normals[self.chosen].astype(np.float64)

    @property
    def albedo(self) -> Float[np.ndarray, "n 3"]:
        """Linear RGB."""
        return self.picture.albedo[self.chosen]

    def albedo_rows(self) -> Float[np.ndarray, "n 3 a"]:
        """Return the albedo's derivative by its coefficients."""
        weights = self.picture.barycentrics[self.chosen].astype(np.float32)
        faces = self.picture.faces[self.chosen]
        rows = [weights[:, k, None, None] * self.model.albedo[faces[:, k]] for k in range(3)]
        return rows[0] + rows[1] + rows[2]

    def by_shape(
        self, by_point: Float[np.ndarray, "n 3 3"], by_normal: Float[np.ndarray, "n 3 3"]
    ) -> Float[np.ndarray, "n 3 k"]:
        """Return the colours' derivative by the shape coefficients, from those by point and by normal.

        The smooth normal is taken to turn like its triangle's.
        """
        a, b, c = self._corners.transpose(1, 0, 2)
        first, second = b - a, c - a
        area = np.linalg.norm(np.cross(first, second), axis=1)[:, None, None]
        rotation = self.look.face.pose.rotation
        head = self.normals @ rotation
        tangent = np.eye(3) - head[:, :, None] * head[:, None, :]
        turning = by_normal @ rotation @ tangent / np.maximum(area, 1e-9)
        along_first, along_second = turning @ cross_matrices(first), turning @ cross_matrices(second)
        weights = self.picture.barycentrics[self.chosen].T[:, :, None, None]
        by_corner = [
            weights[0] * by_point - along_first + along_second,
            weights[1] * by_point - along_second,
            weights[2] * by_point + along_first,
        ]
        faces = self.picture.faces[self.chosen]
        total = np.zeros((len(faces), 3, self.model.shape.shape[2]), dtype=np.float32)
        for k, weight in enumerate(by_corner):
            total += weight.astype(np.float32) @ self.model.shape[faces[:, k]]
        return total


def look_light(look: Look, picture: Picture, window: Window, settings: PhotometricSettings) -> Look:
    """Return the look under the light that explains the photo best, outliers weighted down."""
    colors = window.image[picture.row, picture.column].astype(np.float64)
    normals, weights = picture.normals.astype(np.float64), picture.attention.astype(np.float64)
    prior = light_prior(settings.light_ridge, settings.light_chroma) * 1e-3
    light = fit_light(picture.albedo, normals, colors, weights, prior)
    for _ in range(_LIGHT_ROUNDS):
        shaded = np.maximum(picture.albedo * (reflection_basis(normals) @ light), 0.0)
        errors = np.linalg.norm(color_root(shaded) - color_root(colors), axis=1)
        typical = max(float(np.median(errors)), _LEAST_ERROR)
        robust = weights * robust_weight(errors, settings.outlier * typical)
        light = fit_light(picture.albedo, normals, colors, robust, prior)
    return replace(look, light=light)


def _picture_slope(
    picture: Picture, window: Window, chosen: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3 2"]:
    """Return the colours' slope by x and y, per pixel: the mean of the drawn and the photographed one."""
    mean = 0.5 * (color_root(np.maximum(picture.image, 0.0)) + color_root(window.image))
    by_row, by_column = np.gradient(mean, axis=(0, 1))
    at = picture.row[chosen], picture.column[chosen]
    return np.stack([by_column[at], by_row[at]], axis=2)
