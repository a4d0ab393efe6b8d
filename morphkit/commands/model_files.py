"""Where commands write models, in whatever layout is asked for, and what became of them there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from morphkit.archive import load_model, save_model
from morphkit.archive.formats import writable
from morphkit.errors import BadInputError, OutputError
from morphkit.morphable import MorphableModel

TURNED = "The layout needs orthonormal bases, so coefficients mean something else now; a .npz keeps them."
_GROUPS = ("identity", "expression", "albedo")
_ROUNDING = 1e-5  # of the model's size: what single precision, or another unit, may do to a mean
_MOVED = 0.05  # millimetres from which on a landmark's place is another


def ensure_writes_model(output: Path, inputs: Iterable[str | Path | None], layout: str | None = None) -> None:
    """Refuse a path that no layout of models is written to, or that is read.

    Raises
    ------
    BadInputError
        Naming the path and the remedy.
    """
    if output.is_dir():
        raise BadInputError(f"{output} is a folder; give the model's file, such as {output / 'model.h5'}.")
    writable(layout, output)
    for given in inputs:
        if given is not None and output.exists() and Path(given).exists() and output.samefile(given):
            raise BadInputError(
                f"The model {output} would overwrite {given}, which is read; choose another name."
            )


def write_model(
    output: Path, model: MorphableModel, layout: str | None = None
) -> tuple[MorphableModel, tuple[str, ...]]:
    """Write a model, read it again, and return it as written, and what to say of the file.

    Parameters
    ----------
    output : the file.
    model : what it should hold.
    layout : a key of `morphkit.archive.formats.FORMATS`; None goes by the suffix.

    Raises
    ------
    OutputError
        If it cannot be written, or does not give back the same faces.
    """
    kind = writable(layout, output)
    groups = [getattr(model, name) for name in _GROUPS]
    turned = kind.orthonormal and not all(group is None or group.is_orthonormal for group in groups)
    written = model.orthonormalized() if turned else model
    save_model(output, written, layout=kind.key)
    back = load_model(output)
    _ensure_same_faces(output, written, back)
    return written, (*((TURNED,) if turned else ()), *_lost(written, back))


def _ensure_same_faces(output: Path, before: MorphableModel, after: MorphableModel) -> None:
    mean = before.instance()
    off = float(np.abs(mean - after.instance()).max(initial=0.0))
    if off > _ROUNDING * float(np.abs(mean).max(initial=0.0)):
        raise OutputError(
            f"{output} was written, but gives back another mean face ({off:.2g} mm off): do not use it, "
            "choose another layout, and please report it."
        )


def _lost(before: MorphableModel, after: MorphableModel) -> tuple[str, ...]:
    """Return sentences on what the file does not hold, or not as exactly; none if it holds everything."""
    lost = [
        name
        for name in (*_GROUPS, "expression_units", "uv", "mirror")
        if getattr(before, name) is not None and getattr(after, name) is None
    ]
    lost += [
        f"noise variance of {name}" for name in _GROUPS if _noise(before, name) and not _noise(after, name)
    ]
    lost += [f"landmarks {name}" for name in before.landmarks.keys() - after.landmarks.keys()]
    masks = before.masks.keys() - after.masks.keys()
    lost += [f"{len(masks)} mask{'s' * (len(masks) > 1)}"] if masks else []
    kept = all(after.provenance.get(key) == value for key, value in before.provenance.items())
    lost += [] if kept else ["provenance"]
    sentence = (f"The layout has no place for: {', '.join(lost)}.",) if lost else ()
    return sentence + _moved_landmarks(before, after)


def _noise(model: MorphableModel, name: str) -> float:
    group = getattr(model, name)
    return 0.0 if group is None else float(group.noise_variance)


def _moved_landmarks(before: MorphableModel, after: MorphableModel) -> tuple[str, ...]:
    sentences = []
    for name in sorted(before.landmarks.keys() & after.landmarks.keys()):
        there, here = (
            model.landmarks[name].landmarks(model.instance(), model.faces) for model in (before, after)
        )
        if there.names != here.names:
            sentences.append(f"Not all landmarks of {name} are in the file.")
            continue
        moved = float(np.linalg.norm(there.points - here.points, axis=1).max(initial=0.0))
        if moved > _MOVED:
            sentences.append(
                f"The landmarks {name} are stored as nearest vertices, up to {moved:.1f} mm away."
            )
    return tuple(sentences)
