"""Who the model's people are: random adults out of MakeHuman's macro targets and local sliders.

A person is a row of weights over morph targets. Macro targets mix multilinearly (gender, age, ancestry,
muscle, weight), as MakeHuman itself mixes them; local sliders are Gaussians, left and right nearly equal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from assets import MILLIMETRES_PER_UNIT, MPFB, Assets, BaseMesh
from head import HeadTopology

TARGETS = f"{MPFB}/targets"
ANCESTRIES = ("african", "asian", "caucasian")
LEVELS = ("min", "average", "max")
OPPOSITES = (
    ("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"), ("concave", "convex"),
    ("compress", "uncompress"), ("decrease", "increase"),
)  # fmt: skip
# One standard deviation of a slider, as a share of MakeHuman's full travel, by folder.
SPREAD = {
    "head": 0.22, "forehead": 0.35, "eyebrows": 0.30, "eyes": 0.24, "ears": 0.30, "nose": 0.24, "mouth": 0.22,
    "cheek": 0.35, "chin": 0.24, "neck": 0.25,
}  # fmt: skip
# Sliders that caricature sooner than their folder's others.
SPREAD_OF = {
    r"forehead-(nubian|scale-vert)": 0.10, r"forehead-trans": 0.20, r"head-back": 0.15, r"head-fat": 0.15,
    r"head-(diamond|oval|rect|round|square|tri|inv)": 0.10, r"(mouth|nose)-trans-out": 0.04,
    r"asym-top": 0.03, r"asym-jaw-3": 0.05, r"asym-ear": 0.06, r"ear-(wing|trans|scale)": 0.20,
    r"ear-shape": 0.12, r"neck-scale-vert": 0.10, r"cheek-volume": 0.22, r"eyebrows-trans-forward": 0.20,
}  # fmt: skip
# MakeHuman has no slider for the breadth of the jaw at its angle: one of our own, a smooth sideways push.
JAW_BREADTH = "morphkit/jaw-breadth"
JAW_ANGLE = (-60.0, 38.0)  # y and z, millimetres, base mesh about the template's origin
JAW_REACH, JAW_PUSH = 28.0, 6.0
BOUND = 2.5  # standard deviations at which every slider is cut off
SIDE_SPREAD = 0.15  # the left-right difference of a paired slider, relative to the slider itself
ASYMMETRY_SPREAD = 0.10
SCALE_SPREAD = 0.015  # overall size beyond what the sliders vary
LEFT_OUT = re.compile(
    r"head/head-(trans|angle|age)|neck/neck-trans|neck/measure|neck/neck-double|cleft|ears/[lr]-ear-shape-pointed|asymm-"
)


@dataclass(frozen=True)
class Slider:
    """One degree of freedom: targets for its negative and positive direction, and its standard deviation."""

    name: str
    negative: tuple[str, ...]
    positive: tuple[str, ...]
    spread: float


@dataclass(frozen=True, eq=False)
class People:
    """Random adults.

    Attributes
    ----------
    gender : (n,) 0 female to 1 male.
    age : (n,) years.
    ancestry : (n, 3) shares.
    muscle, weight : (n,) 0..1.
    sliders : (n, s) in units of each slider's standard deviation, cut off at `BOUND`.
    sides : (n, s) the left-right difference, same units.
    scale : (n,) overall size in standard deviations.
    """

    gender: np.ndarray
    age: np.ndarray
    ancestry: np.ndarray
    muscle: np.ndarray
    weight: np.ndarray
    sliders: np.ndarray
    sides: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, eq=False)
class Calibration:
    """Adjustments that bring the population to published anthropometry.

    Attributes
    ----------
    shift : (2, s + 1) for women and men: mean of each slider, the overall scale last, in standard deviations.
    gain : (s + 1,) factors on the standard deviations.
    """

    shift: np.ndarray
    gain: np.ndarray

    @classmethod
    def identity(cls, sliders: int) -> Calibration:
        """Return the calibration that changes nothing."""
        return cls(np.zeros((2, sliders + 1)), np.ones(sliders + 1))


class Population:
    """The generator: from people to base-mesh heads, millimetres."""

    def __init__(self, assets: Assets, base: BaseMesh, topology: HeadTopology) -> None:
        self.index = topology.base_index
        self.base = base.vertices[self.index] * MILLIMETRES_PER_UNIT - topology.origin
        self.sliders = find_sliders(assets)
        self._vertex_count = len(base.vertices)
        self._assets = assets
        self.macro_names, self.macro = self._load_macros()
        self.negative = np.array([self._sum(s.negative) for s in self.sliders])
        self.positive = np.array([self._sum(s.positive) for s in self.sliders])
        self._add_jaw_breadth()
        self.left = self._left_share()

    def shapes(self, people: People, calibration: Calibration) -> np.ndarray:
        """Return the heads' vertices (n, b, 3), not aligned to one another."""
        shift = np.outer(1.0 - people.gender, calibration.shift[0]) + np.outer(
            people.gender, calibration.shift[1]
        )
        spread = np.array([slider.spread for slider in self.sliders])
        value = (people.sliders * calibration.gain[:-1] + shift[:, :-1]) * spread
        side = people.sides * calibration.gain[:-1] * spread
        shape = self.base + np.tensordot(self.macro_weights(people), self.macro, 1)
        for difference, share in ((side, self.left), (-side, 1.0 - self.left)):
            amount = value + difference
            part = np.tensordot(np.maximum(amount, 0), self.positive, 1)
            part += np.tensordot(np.maximum(-amount, 0), self.negative, 1)
            shape += share[:, None] * part
        scale = 1.0 + SCALE_SPREAD * (people.scale * calibration.gain[-1] + shift[:, -1])
        return shape * scale[:, None, None]

    def macro_weights(self, people: People) -> np.ndarray:
        """Return the (n, m) weights of the macro targets."""
        gender = {"female": 1.0 - people.gender, "male": people.gender}
        age = _age_weights(people.age)
        muscle, weight = _level_weights(people.muscle), _level_weights(people.weight)
        columns = []
        for name in self.macro_names:
            part = name.split("-")
            share = gender[part[1]] * age[part[2]]
            if part[0] == "universal":
                share = (
                    share * muscle[part[3].removesuffix("muscle")] * weight[part[4].removesuffix("weight")]
                )
            else:
                share = share * people.ancestry[:, ANCESTRIES.index(part[0])]
            columns.append(share)
        return np.stack(columns, axis=1)

    def rigid_weights(self) -> np.ndarray:
        """Return the vertices' weights for alignment: skull and upper face, neither jaw nor neck nor ears."""
        x, y, _ = self.base.T
        return ((y > -60.0) & (np.abs(x) < 70.0)).astype(np.float64)

    def _load_macros(self) -> tuple[list[str], np.ndarray]:
        ages = ("child", "young", "old")
        names = ["-".join(parts) for parts in product(ANCESTRIES, ("female", "male"), ages)]
        for gender, age, muscle, weight in product(("female", "male"), ages, LEVELS, LEVELS):
            names.append(f"universal-{gender}-{age}-{muscle}muscle-{weight}weight")
        return names, np.array([self._sum((f"macrodetails/{name}",)) for name in names])

    def _sum(self, names: tuple[str, ...]) -> np.ndarray:
        """Return the sum of targets on the head's base vertices, millimetres."""
        total = np.zeros((len(self.index), 3))
        for name in names:
            total += self._assets.target(f"{TARGETS}/{name}.target.gz", self._vertex_count)[self.index]
        return total * MILLIMETRES_PER_UNIT

    def _add_jaw_breadth(self) -> None:
        """Append the slider `JAW_BREADTH`."""
        away = np.linalg.norm(self.base[:, 1:] - JAW_ANGLE, axis=1) / JAW_REACH
        push = np.zeros_like(self.base)
        push[:, 0] = JAW_PUSH * np.tanh(self.base[:, 0] / 20.0) * np.exp(-0.5 * away**2)
        self.sliders = [*self.sliders, Slider(JAW_BREADTH, (JAW_BREADTH,), (JAW_BREADTH,), 0.4)]
        self.positive = np.concatenate([self.positive, push[None]])
        self.negative = np.concatenate([self.negative, -push[None]])

    def _left_share(self) -> np.ndarray:
        """Return each vertex's membership of the left half, blended over 10 mm each side of the midline."""
        return 1.0 / (1.0 + np.exp(-self.base[:, 0] / 5.0))


def find_sliders(assets: Assets) -> list[Slider]:
    """Pair up the local targets that move the head into sliders."""
    stems = [n[len(TARGETS) + 1 : -len(".target.gz")] for n in assets.names if n.startswith(TARGETS)]
    stems = [
        s
        for s in stems
        if s.split("/")[0] in SPREAD
        and s.endswith(tuple("abcdefghijklmnopqrstuvwxyz"))
        and not LEFT_OUT.search(s)
    ]
    sliders, used = [], set()
    for stem in stems:
        folder, name = stem.split("/")
        if name.startswith("r-") or stem in used:
            continue
        sides = (stem, f"{folder}/r-{name[2:]}") if name.startswith("l-") else (stem,)
        opposite = tuple(filter(None, (_opposite(side, stems) for side in sides)))
        used.update(sides, opposite)
        sliders.append(_one_sided(Slider(stem, opposite, sides, SPREAD[folder])))
    return [_with_own_spread(s) for s in sliders + _asymmetries(assets)]


def draw_people(rng: np.random.Generator, count: int, sliders: int) -> People:
    """Draw adults: half of each gender, ages 18 to 80 (mean 42), ancestry mixed evenly."""
    male = np.arange(count) % 2 == 0
    mixing = np.clip(np.abs(rng.normal(0.0, 0.12, count)), 0.0, 0.35)
    return People(
        gender=np.where(male, 1.0 - mixing, mixing),
        age=18.0 + 62.0 * rng.beta(1.2, 1.9, count),
        ancestry=rng.dirichlet((0.6, 0.6, 0.6), count),
        muscle=np.clip(rng.normal(np.where(male, 0.55, 0.45), 0.14), 0.1, 0.9),
        weight=np.clip(rng.normal(0.5, 0.14, count), 0.15, 0.85),
        sliders=_cut(rng.normal(size=(count, sliders))),
        sides=SIDE_SPREAD * _cut(rng.normal(size=(count, sliders))),
        scale=_cut(rng.normal(size=count)),
    )


def average_person(sliders: int) -> People:
    """Return one person in the middle of everything."""
    one = np.ones(1)
    flat = np.zeros((1, sliders))
    return People(0.5 * one, 42.0 * one, np.full((1, 3), 1 / 3), 0.5 * one, 0.5 * one, flat, flat, 0.0 * one)


def select(people: People, rows: np.ndarray) -> People:
    """Return some of the people."""
    return replace(people, **{name: getattr(people, name)[rows] for name in people.__dataclass_fields__})


def align(shapes: np.ndarray, weights: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Return shapes turned and moved, not scaled, onto their mean (generalized Procrustes: Gower 1975)."""
    weights = weights / weights.sum()
    shapes = shapes - np.einsum("v,nvd->nd", weights, shapes)[:, None]
    mean = shapes.mean(0)
    for _ in range(rounds):
        u, _, vt = np.linalg.svd(np.einsum("v,nvi,vj->nij", weights, shapes, mean))
        turn = np.linalg.det(u @ vt)
        u[:, :, 2] *= turn[:, None]
        shapes = shapes @ (u @ vt)
        mean = shapes.mean(0)
    return shapes


def _cut(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -BOUND, BOUND)


def _opposite(stem: str, stems: list[str]) -> str | None:
    """Return the target that undoes this one, where MakeHuman has it."""
    for low, high in OPPOSITES:
        for a, b in ((low, high), (high, low)):
            if stem.endswith(f"-{a}") and (other := f"{stem[: -len(a)]}{b}") in stems:
                return other
    return None


def _one_sided(slider: Slider) -> Slider:
    """Let the positive direction of `decr`-named sliders be the growing one."""
    if slider.negative and slider.positive[0].endswith(
        ("decr", "down", "in", "backward", "concave", "compress")
    ):
        return replace(slider, name=slider.negative[0], negative=slider.positive, positive=slider.negative)
    return slider


def _with_own_spread(slider: Slider) -> Slider:
    """Apply `SPREAD_OF`."""
    own = [spread for pattern, spread in SPREAD_OF.items() if re.search(pattern, slider.name)]
    return replace(slider, spread=own[0]) if own else slider


def _asymmetries(assets: Assets) -> list[Slider]:
    """Return the sliders that only differ between left and right."""
    names = [n[len(TARGETS) + 1 : -len(".target.gz")] for n in assets.names if "/asym/asym-" in n]
    return [
        Slider(name, (f"{name[:-1]}r",), (name,), ASYMMETRY_SPREAD) for name in names if name.endswith("-l")
    ]


def _age_weights(age: np.ndarray) -> dict[str, np.ndarray]:
    """Blend the ages: young at 25, old at 90, and a trace of child below 25 (heads are near adult at 18)."""
    old = np.clip((age - 25.0) / 65.0, 0.0, 1.0)
    child = 0.12 * np.clip((25.0 - age) / 7.0, 0.0, 1.0)
    return {"child": child, "young": 1.0 - old - child, "old": old}


def _level_weights(value: np.ndarray) -> dict[str, np.ndarray]:
    """Blend min (0), average (0.5) and max (1)."""
    low, high = np.clip(1.0 - 2.0 * value, 0.0, 1.0), np.clip(2.0 * value - 1.0, 0.0, 1.0)
    return {"min": low, "average": 1.0 - low - high, "max": high}
