"""The numbers that steer the non-rigid ICP of Amberg, Romdhani and Vetter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NicpSettings:
    """How N-ICP relaxes; lengths are shares of the template's bounding box diagonal.

    Attributes
    ----------
    stiffness : weight of neighbours' difference of affine maps (alpha), one for each level, falling.
    landmark_weight : of the landmarks (beta), one for each level; it fades late, or the template slides off
        them. As in the paper both stand in the stacked residual: their squares weigh in the energy.
    skew : what a difference of translations weighs beside one of the linear parts (gamma).
    min_cosine : of the angle between the two surfaces' normals; a match beyond it does not count.
    iterations : at most, on each level.
    tolerance : root mean square change of the affine maps' entries below which a level is over.

    Raises
    ------
    ValueError
        When the levels differ in number, a stiffness or the skew is not positive, a landmark weight is
        negative, or there are no iterations.
    """

    stiffness: tuple[float, ...] = (50.0, 20.0, 5.0, 2.0, 0.8, 0.5, 0.35, 0.2)
    landmark_weight: tuple[float, ...] = (10.0, 10.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2)
    skew: float = 1.0
    min_cosine: float = 0.9
    iterations: int = 10
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse schedules that cannot be followed."""
        if len(self.stiffness) != len(self.landmark_weight) or not self.stiffness:
            raise ValueError(
                f"landmark_weight: expected one for each of the {len(self.stiffness)} levels of stiffness, "
                f"found {len(self.landmark_weight)}"
            )
        if min(*self.stiffness, self.skew) <= 0 or min(self.landmark_weight) < 0:
            raise ValueError("stiffness and skew: expected positive; landmark_weight: expected none negative")
        if self.iterations < 1:
            raise ValueError(f"iterations: expected at least 1, found {self.iterations}")
