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
class CoarseSettings:
    """The elastic stage, on ever less thinned templates.

    Attributes
    ----------
    control_faces : triangles that the thinned templates have about; one that is smaller is taken whole.
    iterations : closest-point searches on each of them.
    stretching, bending : weights of the elastic energy's two terms, 1 and square millimetres.
    stiffness_beside_modes : factor on the energy when learnt modes express most of the deformation.
    min_cosine : between the normals of a vertex and its closest point.
    density : independent observations per square millimetre of surface.
    along : standard deviation of one along the surface normal, first and last, millimetres.
    cutoff : distance at which a match loses three quarters of its weight, first and last.
    landmark_deviation : standard deviation per axis of landmarks that come without one and lie on the
        surface; otherwise their distances to it tell.
    borders : whether the scan's border is evidence where it runs alongside the template's.
    borders_from : share of the annealing after which that is judged.
    border_density : independent observations per millimetre of border, each with a deviation of 1 mm.

    Raises
    ------
    ValueError
        When there are not as many `iterations` as `control_faces`, or none on one of them.
    """

    control_faces: tuple[int, ...] = (8000, 20000)
    iterations: tuple[int, ...] = (8, 4)
    stretching: float = 0.1
    bending: float = 6.0
    stiffness_beside_modes: float = 3.0
    min_cosine: float = 0.5
    density: float = 0.1
    along: tuple[float, float] = (3.0, 0.3)
    cutoff: tuple[float, float] = (6.0, 2.0)
    landmark_deviation: float = 1.0
    borders: bool = True
    borders_from: float = 0.4
    border_density: float = 0.25

    def __post_init__(self) -> None:
        """Refuse stages that do not fit together."""
        if len(self.control_faces) != len(self.iterations) or min(self.iterations, default=0) < 1:
            raise ValueError("control_faces, iterations: one positive entry each for every thinned template")


@dataclass(frozen=True)
class FineSettings:
    """The full-resolution stage.

    Attributes
    ----------
    stiffness : weight of the residual displacement's bending, one entry per level.
    iterations : closest-point searches per level.
    cutoff : distance at which a match loses three quarters of its weight.
    """

    stiffness: tuple[float, ...] = (1.0, 0.1, 0.02)
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
    similarity, coarse, fine, gates : the stages' own settings.
    nicp : of the method "nicp", which uses neither `coarse` nor `fine`.

    Raises
    ------
    ValueError
        When there is no such method.
    """

    method: Method = "coarse-to-fine"
    similarity: SimilaritySettings = field(default_factory=SimilaritySettings)
    coarse: CoarseSettings = field(default_factory=CoarseSettings)
    fine: FineSettings = field(default_factory=FineSettings)
    gates: GateSettings = field(default_factory=GateSettings)
    nicp: NicpSettings = field(default_factory=NicpSettings)

    def __post_init__(self) -> None:
        """Refuse a method that does not exist."""
        if self.method not in get_args(Method):
            raise ValueError(f'method: expected "coarse-to-fine" or "nicp", found "{self.method}"')
