"""A face in one model's coefficients, said in another's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from morphkit.geometry.laplacian import vertex_areas
from morphkit.geometry.similarity import Similarity
from morphkit.morphable import MorphableModel, ShapeCoefficients
from morphkit.transfer.correspond import correspond
from morphkit.transfer.surface_map import SurfaceMap

_NOISE = 3.0  # millimetres along each axis: by about this much correspondences slide
_PATCH = 100.0  # square millimetres of surface within which they slide together, and count as one


@dataclass(frozen=True, eq=False)
class ConvertedCoefficients:
    """A source's face in a target model's terms.

    Attributes
    ----------
    coefficients : of the target, in standard deviations.
    similarity : from the source's frame to the target's.
    distances : (v,) millimetres, from each target vertex of the converted face to its point on the source's
        face; NaN where it has no counterpart.
    """

    coefficients: ShapeCoefficients
    similarity: Similarity
    distances: Float[np.ndarray, " v"]

    @property
    def rms(self) -> float:
        """The root mean square of the distances, millimetres."""
        return float(np.sqrt(np.nanmean(self.distances**2)))


def convert_coefficients(
    source: MorphableModel,
    target: MorphableModel,
    identity: Float[np.ndarray, " i"] | None = None,
    expression: Float[np.ndarray, " e"] | None = None,
    *,
    surface_map: SurfaceMap | None = None,
    noise: float = _NOISE,
    scale: bool = False,
) -> ConvertedCoefficients:
    """Find the coefficients and the pose of a target model that come nearest to a source's face.

    The source's instance is sampled where the map has the target's vertices; what is found is the most
    probable face of the target given these points. It is as near as the target can come: what its statistics
    do not hold is lost, so that converting there and back is not the identity. A face whose topology alone
    shall change, with coefficients as they are, is `transfer_model`'s.

    Parameters
    ----------
    source, target : models in millimetres, of any topologies.
    identity, expression : the source's coefficients; None is its mean, or neutral.
    surface_map : from the source to the target (`correspond`), where several faces are converted; else it is
        found.
    noise : standard deviation of the sampled points along each axis, millimetres; there are as many
        independent ones as square centimetres. More draws the result towards the target's mean.
    scale : whether the face may be scaled as well.

    Raises
    ------
    RegistrationError
        When the two heads cannot be laid onto each other.
    ValueError
        When there are more coefficients than components, or the map has no counterparts.
    """
    with threadpool_limits(limits=1, user_api="blas"):  # sums must not depend on the machine
        surface_map = correspond(source, target) if surface_map is None else surface_map
        points = surface_map.carry(source.instance(identity, expression))
        weights = _weights(target, surface_map)
        found, similarity = target.coefficients(points, noise_variance=noise**2, scale=scale, weights=weights)
    reached = target.instance(found.identity, found.expression)
    distances = np.linalg.norm(similarity.apply(points) - reached, axis=1)
    return ConvertedCoefficients(found, similarity, np.where(surface_map.valid, distances, np.nan))


def _weights(target: MorphableModel, surface_map: SurfaceMap) -> Float[np.ndarray, " v"]:
    """Return how much each vertex counts: all alike, since meshes are fine where faces have detail."""
    areas = vertex_areas(target.instance(), target.faces)[surface_map.valid]
    return surface_map.valid * (areas.sum() / _PATCH / max(len(areas), 1))
