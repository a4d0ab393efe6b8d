"""Named shapes that are meant for strengths between 0 and 1, as a group with a Gaussian prior.

Taking the shapes themselves for components would make a full smile and its opposite equally likely, each one
standard deviation away, and shapes that overlap would count twice. As for the default head
(docs/design/002-default-head.md), the basis comes from the second moment of plausible random faces instead:
zero is the neutral face, a full unit two to seven standard deviations away, the basis is orthonormal, and the
units stay exact as named directions.

Here the second moment is known without drawing: a unit shows with probability `_RATE`, its strength then is
Beta(1.3, 1.3), and a left unit does what the right one does four times out of five.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from morphkit.archive.source import ModelSource
from morphkit.directions import NamedDirections
from morphkit.linear import LinearModel

_RATE = 0.4
_MEAN, _SQUARE = 0.5, 0.25 + 0.25 / 3.6  # of Beta(1.3, 1.3): mean, and mean of the square
_TOGETHER = 0.8
_LEAST = 1e-12  # of the largest variance: less is rounding, not a direction
_MOST = 2000  # blendshapes
_SIDE = re.compile(r"(?<=[a-z0-9])(_?Left|_?Right|[_.][LRlr])$")
_GAZE = re.compile(r"eyeLook(In|Out)_?(L|R|Left|Right)$")
_DIRECTION = re.compile(r"(mouth|jaw)_?(Left|Right)$")  # a way to move, not a side of the face


def unit_group(
    names: Sequence[str], offsets: Float[np.ndarray, "n d"]
) -> tuple[LinearModel, NamedDirections]:
    """Return the expression group of named units, and the units as directions in it.

    ``group.offset(units.combine({name: 1.0}))`` is the unit's offset again. The basis is orthonormal, of as
    many components as the units are independent.

    Parameters
    ----------
    names : n different names.
    offsets : (n, 3v) float32, how far each vertex goes at full strength, millimetres.
    """
    root, inverse = _roots(_second_moment(names))
    gram = _gram(offsets)
    variances, vectors = np.linalg.eigh(root @ gram @ root)
    order = np.argsort(-variances, kind="stable")
    order = order[variances[order] > _LEAST * max(float(variances.max(initial=0.0)), 1e-300)]
    deviations, vectors = np.sqrt(variances[order]), vectors[:, order]
    mix = root @ vectors / deviations
    basis = (mix.T.astype(np.float32) @ offsets).T  # in Fortran order, as wanted, without a copy
    mean = np.zeros((offsets.shape[1] // 3, 3), np.float32)
    return LinearModel(mean, basis, deviations), NamedDirections(tuple(names), inverse @ vectors)


def ensure_few(source: ModelSource, count: int, size: int) -> None:
    """Refuse more blendshapes than a face has: what follows takes the square of their number.

    Parameters
    ----------
    source : the file, for the message.
    count : of the blendshapes.
    size : numbers in each.
    """
    if count > min(_MOST, size):
        raise source.bad(f"it claims {count} blendshapes of {size} numbers each, too many: it is damaged")


def _gram(offsets: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n n"]:
    """Return the inner products of the rows, in double precision, a few columns at a time."""
    total = np.zeros((len(offsets), len(offsets)))
    for start in range(0, offsets.shape[1], 4096):
        block = offsets[:, start : start + 4096].astype(np.float64)
        total += block @ block.T
    return total


def _second_moment(names: Sequence[str]) -> Float[np.ndarray, "n n"]:
    """Return E[w wᵀ] of the units' strengths w."""
    apart, same = (_RATE * _MEAN) ** 2, _RATE * _SQUARE
    stems = [_stem(name) for name in names]
    kind = np.unique(np.array(stems, dtype=np.str_), return_inverse=True)[1]
    partners = kind[:, None] == kind
    moment = np.where(partners, _TOGETHER * same + (1 - _TOGETHER) * apart, apart)
    np.fill_diagonal(moment, same)
    return moment


def _stem(name: str) -> str:
    """Return what a unit and its partner on the other side have in common; eyes look into one direction."""
    gaze = _GAZE.search(name)
    if gaze is not None:
        return "gazeLeft" if (gaze[1] == "Out") == (gaze[2][0] == "L") else "gazeRight"
    return name if _DIRECTION.search(name) else _SIDE.sub("", name)


def _roots(moment: Float[np.ndarray, "n n"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the symmetric square root of a positive definite matrix, and its inverse."""
    values, vectors = np.linalg.eigh(moment)
    root = np.sqrt(np.maximum(values, _LEAST))
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T
