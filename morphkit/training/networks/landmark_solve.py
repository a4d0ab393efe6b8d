"""The landmark fit as a layer: pose, identity and expression that explain 68 points, many faces at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from morphkit.morphable import LinearModel, MorphableModel
from morphkit.rendering.camera_conventions import DENG2019_FOCAL, DENG2019_SIZE
from morphkit.rendering.rotations import axis_angle_to_matrix, facing
from morphkit.training.networks.outputs import DISTANCE

POINTS = 68
_POSE = 6  # rotation vector, translation
_POSE_ROUNDS, _SHAPE_ROUNDS = 3, 3
_HUBER = 2.5  # deviations from which a point counts linearly
_DAMPING = 1e-3  # of the normal equations' diagonal, relative
_LEAST_DEPTH = 200.0  # millimetres that every point keeps from the camera
_INNER, _OUTLINE = 1.5, 4.0  # pixels that points are expected to be off before it is learnt
_JAW = 17
_LEAST_DOUBT = 0.05  # deviations; below, points fit alike
_INVERSE_ROUNDS = 26  # enough for a condition of 10^6


@dataclass(frozen=True, eq=False)
class LandmarkEstimate:
    """Faces that explain landmarks.

    Attributes
    ----------
    R : rotation from the model's frame to the camera's.
    t : the middle of the face in camera coordinates, millimetres.
    identity, expression : standard deviations.
    """

    R: Float[Tensor, "batch 3 3"]
    t: Float[Tensor, "batch 3"]
    identity: Float[Tensor, "batch i"]
    expression: Float[Tensor, "batch e"]


class LandmarkSolve(nn.Module):
    """The likeliest face under the model's own statistics, given its landmarks in the crop.

    Gauss–Newton steps on ``Σ huber(‖projection − landmark‖ / σ_n) + ‖α‖² + ‖β‖² / s²`` from a pose in closed
    form, with the crop's fixed camera (1015 pixels of focal length for 224). What is learnt is how far each
    point is off, σ_n, and how wild expressions are, s: gradients reach both through the last step.

    Parameters
    ----------
    n_identity, n_expression : components; the points are zeros until loaded, or made by `from_model`.
    """

    mean: Tensor
    basis: Tensor
    embedded: Tensor

    def __init__(self, n_identity: int, n_expression: int) -> None:
        super().__init__()
        self.n_identity, self.n_expression = n_identity, n_expression
        self.register_buffer("mean", torch.zeros(POINTS, 3))  # about the middle of the face
        self.register_buffer("basis", torch.zeros(POINTS, 3, n_identity + n_expression))
        self.register_buffer("embedded", torch.zeros(POINTS))
        deviations = torch.full((POINTS,), _INNER)
        deviations[:_JAW] = _OUTLINE
        self.log_deviations = nn.Parameter(deviations.log())
        self.log_spread = nn.Parameter(torch.zeros(()))

    @classmethod
    def from_model(cls, model: MorphableModel, n_identity: int, n_expression: int) -> LandmarkSolve:
        """Return the layer for a model's leading components.

        Raises
        ------
        ValueError
            If the model embeds no iBUG-68 landmarks.
        """
        if "ibug68" not in model.landmarks:
            raise ValueError(f"model: must embed ibug68 landmarks, embeds {sorted(model.landmarks)}")
        embedding, layer = model.landmarks["ibug68"], cls(n_identity, n_expression)
        numbers = [int(name) for name in embedding.names]
        corners = model.faces[embedding.face_indices]

        def embedded(values: np.ndarray) -> Tensor:
            return torch.from_numpy(
                np.einsum("nj,nj...->n...", embedding.barycentrics, values[corners])
            ).float()

        mean = model.identity.mean.astype(np.float64) - model.face_middle
        groups = [_scaled(model.identity, n_identity)]
        if model.expression is not None:
            mean = mean + model.expression.mean
            groups.append(_scaled(model.expression, n_expression))
        layer.mean[numbers] = embedded(mean)
        layer.basis[numbers] = embedded(np.concatenate(groups, axis=2))
        layer.embedded[numbers] = 1.0
        return layer

    def forward(self, landmarks: Float[Tensor, "batch 68 2"], size: int) -> LandmarkEstimate:
        """Return the faces of landmarks.

        Parameters
        ----------
        landmarks : pixels of the crop, outer corner at (0, 0); NaN where unknown.
        size : side of the crop, pixels.
        """
        with torch.autocast(landmarks.device.type, enabled=False):
            problem = self._problem(landmarks, size)
            with torch.no_grad():
                face = problem.start()
                for number in range(_POSE_ROUNDS + _SHAPE_ROUNDS - 1):
                    face = problem.step(face, number >= _POSE_ROUNDS)
            return problem.step(face, shape=True)

    @torch.no_grad()
    def doubts(
        self, landmarks: Float[Tensor, "batch 68 2"], size: int, face: LandmarkEstimate
    ) -> Float[Tensor, "batch d"]:
        """Return what makes the faces of landmarks doubtful, as logarithms about 0, without a gradient.

        For each point how far off it is, for all points the root of the mean square, both in the deviations
        that are expected (0 for points that are unknown), and for each identity coefficient its posterior
        deviation.

        Parameters
        ----------
        landmarks, size : as they were given.
        face : what came of them.
        """
        with torch.autocast(landmarks.device.type, enabled=False):
            return self._problem(landmarks, size).doubts(face)

    @property
    def n_doubts(self) -> int:
        """How many numbers `doubts` gives."""
        return POINTS + 1 + self.n_identity

    def _problem(self, landmarks: Tensor, size: int) -> _Problem:
        scaled = landmarks.float() * (DENG2019_SIZE / size) - 0.5 * DENG2019_SIZE
        known = scaled.isfinite().all(dim=2) * self.embedded
        return _Problem(self, scaled.nan_to_num(0.0), known)


@dataclass(frozen=True, eq=False)
class _Problem:
    """A batch of landmarks, and the layer's points.

    Attributes
    ----------
    layer : the points and what was learnt.
    seen : pixels of a 224 crop from its middle.
    known : 1 for points that are known, else 0.
    """

    layer: LandmarkSolve
    seen: Float[Tensor, "batch 68 2"]
    known: Float[Tensor, "batch 68"]

    def start(self) -> LandmarkEstimate:
        """Return the mean face in the pose of scaled orthography, by least squares (as POS does)."""
        weights = self.known / self.layer.log_deviations.exp() ** 2
        share = (weights / weights.sum(dim=1, keepdim=True).clamp_min(1e-6))[..., None]
        middle, centre = (share * self.seen).sum(dim=1), share.transpose(1, 2) @ self.layer.mean
        points, pixels = self.layer.mean - centre, self.seen - middle[:, None]
        square = points.transpose(1, 2) @ (share * points)
        ridge = 1e-3 * square.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] + 1e-6
        square = square + ridge * torch.eye(3).to(square)
        rows = _solved(square, points.transpose(1, 2) @ (share * pixels)).transpose(1, 2)
        resting = facing().to(rows)[:2] * (DENG2019_FOCAL / DISTANCE)
        rows = torch.where((self.known.sum(dim=1) >= 4)[:, None, None], rows, resting)
        R, scale = _rotation(rows)
        depth = (DENG2019_FOCAL / scale).clamp(0.5 * DISTANCE, 2.0 * DISTANCE)
        moved = (R @ centre.transpose(1, 2))[:, :, 0]
        across = middle * (depth / DENG2019_FOCAL)[:, None] - moved[:, :2]
        t = torch.cat([across, (depth - moved[:, 2])[:, None]], dim=1)
        none = R.new_zeros(R.shape[0], self.layer.basis.shape[2])
        return self._face(R, t, none)

    def step(self, face: LandmarkEstimate, shape: bool) -> LandmarkEstimate:
        """Return the face after a Gauss–Newton step, of the pose alone or of all."""
        coefficients = torch.cat([face.identity, face.expression], dim=1)
        slopes, errors = self._whitened(face, coefficients, shape)
        normal = slopes.transpose(1, 2) @ slopes
        normal = normal + torch.diag_embed(_DAMPING * normal.diagonal(dim1=1, dim2=2) + 1e-6)
        right = (slopes.transpose(1, 2) @ errors[..., None])[..., 0]
        if shape:
            prior = self._prior()
            normal = normal + torch.diag(prior)
            right = right + prior * nn.functional.pad(coefficients, (_POSE, 0))
        move = -_solved(normal, right[..., None])[..., 0]
        R = axis_angle_to_matrix(move[:, :3]) @ face.R
        if shape:
            coefficients = coefficients + move[:, _POSE:]
        return self._face(R, face.t + move[:, 3:_POSE], coefficients)

    def doubts(self, face: LandmarkEstimate) -> Float[Tensor, "batch d"]:
        """Return logarithms of points' errors, of their root mean square, and of identity's deviations."""
        coefficients = torch.cat([face.identity, face.expression], dim=1)
        slopes, errors = self._whitened(face, coefficients, shape=True)
        lengths = errors.reshape(-1, POINTS, 2).norm(dim=2)
        square = (lengths**2).sum(dim=1, keepdim=True) / self.known.sum(dim=1, keepdim=True).clamp_min(1.0)
        normal = slopes.transpose(1, 2) @ slopes + torch.diag(self._prior() + 1e-6)
        eye = torch.eye(normal.shape[1]).to(normal).expand_as(normal)
        covariance = _solved(normal, eye)
        variances = covariance.diagonal(dim1=1, dim2=2)[:, _POSE : _POSE + self.layer.n_identity]
        points = (lengths + _LEAST_DOUBT).log() * self.known
        overall = 0.5 * (square + _LEAST_DOUBT).log()
        return torch.cat([points, overall, 0.5 * variances.clamp_min(1e-6).log()], dim=1)

    def _whitened(
        self, face: LandmarkEstimate, coefficients: Tensor, shape: bool
    ) -> tuple[Float[Tensor, "batch r p"], Float[Tensor, "batch r"]]:
        """Return derivatives and errors in deviations, outliers weighted down."""
        points = self.layer.mean + torch.einsum("nij,bj->bni", self.layer.basis, coefficients)
        turned = points @ face.R.transpose(1, 2)
        x, y, z = (turned + face.t[:, None]).unbind(dim=2)
        z = z.clamp_min(_LEAST_DEPTH)
        pixels = DENG2019_FOCAL * torch.stack([x / z, y / z], dim=2)
        none = torch.zeros_like(z)
        by_point = torch.stack(
            [DENG2019_FOCAL / z, none, -pixels[..., 0] / z, none, DENG2019_FOCAL / z, -pixels[..., 1] / z],
            dim=2,
        ).reshape(*z.shape, 2, 3)
        slopes = [-by_point @ _cross(turned), by_point]
        if shape:
            slopes.append(by_point @ (face.R[:, None] @ self.layer.basis))
        errors = (pixels - self.seen) / self.layer.log_deviations.exp()[:, None]
        lengths = errors.detach().norm(dim=2).clamp_min(1e-9)
        trust = (_HUBER / lengths).clamp_max(1.0).sqrt() * self.known
        scale = trust / self.layer.log_deviations.exp()
        jacobian = torch.cat(slopes, dim=3) * scale[..., None, None]
        return jacobian.flatten(1, 2), (errors * trust[..., None]).flatten(1)

    def _prior(self) -> Float[Tensor, " p"]:
        """Return the priors' curvature: none on the pose."""
        like = self.layer.log_spread
        expression = torch.exp(-2.0 * like).expand(self.layer.n_expression)
        return torch.cat([like.new_zeros(_POSE), like.new_ones(self.layer.n_identity), expression])

    def _face(self, R: Tensor, t: Tensor, coefficients: Tensor) -> LandmarkEstimate:
        identity, expression = coefficients.tensor_split([self.layer.n_identity], dim=1)
        return LandmarkEstimate(R, t, identity, expression)


def _scaled(group: LinearModel, count: int) -> Float[np.ndarray, "v 3 k"]:
    """Return the leading components in millimetres per standard deviation."""
    basis = group.basis[:, :count] * group.standard_deviations[:count]
    return basis.reshape(-1, 3, count).astype(np.float64)


def _rotation(rows: Float[Tensor, "batch 2 3"]) -> tuple[Float[Tensor, "batch 3 3"], Float[Tensor, " batch"]]:
    """Return the rotation nearest to two rows of a scaled one, each of one length, and the scale."""
    lengths = rows.norm(dim=2, keepdim=True).clamp_min(1e-6)
    first, second = (rows / lengths).unbind(dim=1)
    # sum and difference of unit vectors stand at right angles
    half = nn.functional.normalize(first + second, dim=1), nn.functional.normalize(first - second, dim=1)
    first, second = (half[0] + half[1]) / math.sqrt(2.0), (half[0] - half[1]) / math.sqrt(2.0)
    third = torch.linalg.cross(first, second)
    return torch.stack([first, second, third], dim=1), lengths.mean(dim=(1, 2)).clamp_min(1e-3)


def _solved(
    normal: Float[Tensor, "batch p p"], right: Float[Tensor, "batch p m"]
) -> Float[Tensor, "batch p m"]:
    """Return the solution of positive definite equations."""
    if not torch.compiler.is_exporting():
        return torch.linalg.solve(normal, right)
    # ONNX has no such operation: Newton and Schulz's iteration for the inverse, of a scaled matrix
    scale = normal.diagonal(dim1=1, dim2=2).rsqrt()
    scaled = normal * scale[:, :, None] * scale[:, None]
    eye = torch.eye(normal.shape[1], dtype=normal.dtype, device=normal.device)
    inverse = eye / scaled.abs().sum(dim=2).amax(dim=1)[:, None, None]
    for _ in range(_INVERSE_ROUNDS):
        inverse = inverse @ (2.0 * eye - scaled @ inverse)
    solution = inverse @ (scale[..., None] * right)
    residual = scale[..., None] * right - scaled @ solution
    return scale[..., None] * (solution + inverse @ residual)


def _cross(vectors: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n 3 3"]:
    """Return the matrices that cross vectors from the left: their product with w is v × w."""
    x, y, z = vectors.unbind(dim=2)
    none = torch.zeros_like(x)
    return torch.stack([none, -z, y, z, none, -x, -y, x, none], dim=2).reshape(*x.shape, 3, 3)
