"""Published head-and-face anthropometry, and the calibration that brings the population to it.

Figures: Zhuang & Bradtmiller, "Head-and-face anthropometric survey of U.S. respirator users", J. Occup.
Environ. Hyg. 2(11):567-576, 2005 (NIOSH; 2,543 men, 1,454 women), millimetres.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from head import HeadTopology
from identity import BOUND, Calibration, Population, average_person, draw_people, select

# The survey's bony and soft-tissue landmarks as template vertices, on the midline or the subject's left.
POINTS = {
    "sellion": 132, "menton": 1646, "pronasale": 1475, "subnasale": 1493, "alare": 3602, "cheilion": 2618,
    "zygion": 3008, "gonion": 7930, "euryon": 7838, "glabella": 234, "opisthocranion": 1810,
}  # fmt: skip
# What the population's means are corrected with: sizes of features, never their character.
MOVABLE = re.compile(
    r"^head/head-scale|head-back|chin-(height|width)|jaw-breadth|nose-scale|nose-width3|nose-flaring|mouth-scale-horiz|eye-trans-out"
)
TOLERANCE = 0.3  # millimetres per standard deviation of shift
SCALE_EASE = 3.0  # overall size may be off by this much more than a slider, before sliders are asked


@dataclass(frozen=True)
class Dimension:
    """One distance: between two midline points, or across from the left point to its mirror image."""

    name: str
    start: str
    end: str | None
    male: tuple[float, float]
    female: tuple[float, float]

    @property
    def pooled(self) -> tuple[float, float]:
        """Mean and standard deviation of a population with equally many men and women."""
        spread = np.sqrt(
            (self.male[1] ** 2 + self.female[1] ** 2) / 2 + ((self.male[0] - self.female[0]) / 2) ** 2
        )
        return (self.male[0] + self.female[0]) / 2, float(spread)


DIMENSIONS = (
    Dimension("bizygomatic breadth", "zygion", None, (143.5, 6.9), (135.1, 6.5)),
    Dimension("menton-sellion length", "menton", "sellion", (122.7, 7.0), (113.4, 6.1)),
    Dimension("nose breadth", "alare", None, (36.6, 4.1), (33.2, 3.9)),
    Dimension("nose protrusion", "pronasale", "subnasale", (21.1, 2.7), (19.8, 2.7)),
    Dimension("lip length", "cheilion", None, (51.1, 4.2), (48.0, 4.0)),
    Dimension("interpupillary distance", "pupil", None, (64.5, 3.6), (61.9, 3.5)),
    Dimension("bigonial breadth", "gonion", None, (120.4, 10.4), (110.1, 8.9)),
    Dimension("subnasale-sellion length", "subnasale", "sellion", (52.0, 4.1), (48.2, 3.8)),
    Dimension("head breadth", "euryon", None, (153.0, 6.0), (146.8, 5.6)),
    Dimension("head length", "glabella", "opisthocranion", (197.3, 7.4), (187.5, 7.2)),
)


class Ruler:
    """Measures heads given on the base vertices or on the template's."""

    def __init__(self, topology: HeadTopology) -> None:
        points = {**POINTS, "pupil": topology.eye_poles[0]}
        pairs = [
            (points[d.start], points[d.end] if d.end else int(topology.mirror[points[d.start]]))
            for d in DIMENSIONS
        ]
        self.start, self.end = (np.array(side) for side in zip(*pairs, strict=True))
        self._rows = topology.subdivision

    def measure(self, vertices: np.ndarray) -> np.ndarray:
        """Return the (n, dimensions) distances of template-topology heads (n, v, 3)."""
        return np.linalg.norm(vertices[:, self.start] - vertices[:, self.end], axis=2)

    def measure_base(self, shapes: np.ndarray) -> np.ndarray:
        """Return the distances of heads on the base vertices (n, b, 3)."""
        difference = self._rows[self.start] - self._rows[self.end]
        return np.linalg.norm(np.stack([difference @ shape for shape in shapes]), axis=2)


def calibrate(
    population: Population, ruler: Ruler, seed: int, count: int = 600, rounds: int = 6
) -> Calibration:
    """Find slider means by gender, and spreads, that reproduce the survey.

    Means: the most probable slider shift that meets every mean exactly, one Gauss-Newton step per round.
    Spreads: factors on the sliders' variances, as near one as possible, that meet every variance.
    """
    people = draw_people(np.random.default_rng(seed), count, len(population.sliders))
    calibration = Calibration.identity(len(population.sliders))
    genders = (people.gender < 0.5, people.gender > 0.5)
    ease = np.array([*(float(bool(MOVABLE.search(s.name))) for s in population.sliders), SCALE_EASE])
    for _ in range(rounds):
        sizes = ruler.measure_base(population.shapes(people, calibration))
        slopes = _slopes(population, ruler, calibration)
        shift = calibration.shift.copy()
        for row, chosen in enumerate(genders):
            goal = np.array([(d.female, d.male)[row][0] for d in DIMENSIONS])
            shift[row] += ease * _least_shift(slopes * ease, goal - sizes[chosen].mean(0))
        gain = _gains(slopes, calibration.gain, sizes, genders)
        calibration = Calibration(np.clip(shift, -BOUND, BOUND), gain)
    return calibration


def _slopes(population: Population, ruler: Ruler, calibration: Calibration) -> np.ndarray:
    """Return each dimension's change, mm per slider's standard deviation: central differences at the mean."""
    sliders = len(population.sliders)
    average = average_person(sliders)
    rows = np.zeros(2 * (sliders + 1), int)
    people = select(average, rows)
    step = np.vstack([np.eye(sliders + 1), -np.eye(sliders + 1)])
    gain = calibration.gain
    people = replace(people, sliders=step[:, :-1] / gain[:-1], scale=step[:, -1] / gain[-1])
    sizes = ruler.measure_base(population.shapes(people, calibration))
    return ((sizes[: sliders + 1] - sizes[sliders + 1 :]) / 2).T


def _least_shift(slopes: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return the smallest slider shift whose effect is `missing`, to `TOLERANCE`."""
    return slopes.T @ np.linalg.solve(slopes @ slopes.T + TOLERANCE**2 * np.eye(len(slopes)), missing)


def _gains(
    slopes: np.ndarray, gain: np.ndarray, sizes: np.ndarray, genders: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return new factors on the sliders' standard deviations, kept within 0.3 to 2."""
    have = np.mean([sizes[chosen].var(0) for chosen in genders], axis=0)
    want = np.array([(d.male[1] ** 2 + d.female[1] ** 2) / 2 for d in DIMENSIONS])
    effect = (slopes * gain) ** 2  # variance that each slider gives now
    scale = 1.0 / want
    A, b = effect * scale[:, None], (want - have) * scale
    change = A.T @ np.linalg.solve(A @ A.T + 0.02 * np.eye(len(A)), b)
    return np.clip(gain * np.sqrt(np.clip(1.0 + change, 0.5, 2.0)), 0.3, 2.0)


def table(male: np.ndarray, female: np.ndarray) -> str:
    """Return a Markdown table of survey and model, by gender and pooled; rows of measurements in."""
    lines = [
        "| mean (SD), mm | men, survey | model | women, survey | model | all, survey | model | off | SDs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for k, d in enumerate(DIMENSIONS):
        both = np.concatenate([male[:, k], female[:, k]])
        goal = d.pooled
        cells = [d.male, _moments(male[:, k]), d.female, _moments(female[:, k]), goal, _moments(both)]
        text = " | ".join(f"{mean:.1f} ({spread:.1f})" for mean, spread in cells)
        off, ratio = both.mean() / goal[0] - 1.0, both.std() / goal[1]
        lines.append(f"| {d.name} | {text} | {100 * off:+.1f} % | {ratio:.2f} |")
    return "\n".join(lines)


def _moments(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std())
