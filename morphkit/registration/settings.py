"""Every number that steers a registration. Lengths are millimetres in the template's frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from morphkit.registration.nicp_settings import NicpSettings

Method = Literal["coarse-to-fine", "nicp"]


@dataclass(frozen=True)
class SimilaritySettings:
    """How the template is placed.

    Attributes
    ----------
    landmark_tolerance : landmarks beyond this count as outliers; people differ by several millimetres.
    icp_iterations : of the trimmed ICP that ends a search without landmarks.
    icp_points : template points that the search uses.
    kept_share : of their matches, the nearest.
    start_count : rotations that are tried when there are no landmarks.
    """

    landmark_tolerance: float = 12.0
    icp_iterations: int = 15
    icp_points: int = 1000
    kept_share: float = 0.8
    start_count: int = 72


@dataclass(frozen=True)
class PriorSettings:
    """The Gaussian process that says which deformations are likely.

    Attributes
    ----------
    scales : (width, standard deviation) of each Gaussian kernel.
    symmetry : how much the two halves of a face deform alike, 0..1.
    rank : basis functions for each of x, y, z.
    node_count : vertices that carry the low-rank approximation.
    """

    scales: tuple[tuple[float, float], ...] = ((100.0, 5.0), (50.0, 3.0), (25.0, 1.5), (12.0, 1.0))
    symmetry: float = 0.97
    rank: int = 300
    node_count: int = 800


@dataclass(frozen=True)
class CoarseSettings:
    """The low-rank stage: first soft symmetric correspondences, then exact closest points.

    Attributes
    ----------
    vertex_count, sample_count : template vertices and scan points that take part.
    soft_iterations, surface_iterations : of the two halves.
    guiding_landmarks : so many make the soft half needless: their own fit starts near enough.
    annealed_iterations : surface iterations after which everything below has reached its last value.
    neighbours : of a soft correspondence.
    normal_weight : millimetres that a unit difference of normals is worth when neighbours are sought.
    push_weight : of the matches from scan to template beside those from template to scan.
    first_rank : basis functions in the first iteration, guided and not; the number grows to the prior's.
    along : standard deviation of an observation along the surface normal, first and last.
    across : the same in the tangent plane, where a closest point says little.
    cutoff : distance at which a match loses three quarters of its weight, first and last.
    landmark_deviation : standard deviation per axis of landmarks that come without one and lie on the
        surface; otherwise their distances to it tell.
    project_deviation : of the model's projection, when there is a model.
    """

    vertex_count: int = 2500
    sample_count: int = 6000
    soft_iterations: int = 25
    guiding_landmarks: int = 12
    surface_iterations: int = 8
    annealed_iterations: int = 5
    neighbours: int = 3
    normal_weight: float = 12.0
    push_weight: float = 0.5
    first_rank: tuple[int, int] = (60, 15)
    along: tuple[float, float] = (3.0, 1.5)
    across: tuple[float, float] = (6.0, 6.0)
    cutoff: tuple[float, float] = (12.0, 3.0)
    landmark_deviation: float = 1.0
    project_deviation: float = 2.0


@dataclass(frozen=True)
class FineSettings:
    """The full-resolution stage.

    Attributes
    ----------
    stiffness : weight of the residual displacement's bending, one entry per level.
    iterations : closest-point searches per level.
    cutoff : distance at which a match loses three quarters of its weight.
    """

    stiffness: tuple[float, ...] = (8.0, 2.0, 0.5)
    iterations: int = 2
    cutoff: float = 1.0


@dataclass(frozen=True)
class GateSettings:
    """When a closest point counts as the vertex's correspondence.

    Attributes
    ----------
    max_distance : beyond it the scan has nothing here.
    min_cosine : between the two surfaces' normals.
    """

    max_distance: float = 2.0
    min_cosine: float = 0.6


@dataclass(frozen=True)
class RegistrationSettings:
    """All stages' settings.

    Attributes
    ----------
    method : how the placed template is deformed: "coarse-to-fine", or "nicp", the non-rigid ICP that users
        know (Amberg, Romdhani and Vetter 2007). Placement, gates and verdict are the same.
    similarity, prior, coarse, fine, gates : the stages' own settings.
    nicp : of the method "nicp", which uses neither `coarse` nor `fine`.

    Raises
    ------
    ValueError
        When there is no such method.
    """

    method: Method = "coarse-to-fine"
    similarity: SimilaritySettings = field(default_factory=SimilaritySettings)
    prior: PriorSettings = field(default_factory=PriorSettings)
    coarse: CoarseSettings = field(default_factory=CoarseSettings)
    fine: FineSettings = field(default_factory=FineSettings)
    gates: GateSettings = field(default_factory=GateSettings)
    nicp: NicpSettings = field(default_factory=NicpSettings)

    def __post_init__(self) -> None:
        """Refuse a method that does not exist."""
        if self.method not in get_args(Method):
            raise ValueError(f'method: expected "coarse-to-fine" or "nicp", found "{self.method}"')
