"""Where commands write models: beside what they read, in whatever layout the file's name asks for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from morphkit.archive import save_model
from morphkit.archive.formats import writable
from morphkit.errors import BadInputError
from morphkit.morphable import MorphableModel

TURNED = "The layout needs orthonormal bases, so coefficients mean something else now; a .npz keeps them."


def ensure_writes_model(output: Path, inputs: Iterable[str | Path | None]) -> None:
    """Refuse a path that no layout of models is written to, or that is read.

    Raises
    ------
    BadInputError
        Naming the path and the remedy.
    """
    if output.is_dir():
        raise BadInputError(f"{output} is a folder; give the model's file, such as {output / 'model.h5'}.")
    writable(None, output)
    for given in inputs:
        if given is not None and output.exists() and Path(given).exists() and output.samefile(given):
            raise BadInputError(
                f"The model {output} would overwrite {given}, which is read; choose another name."
            )


def write_model(output: Path, model: MorphableModel) -> tuple[MorphableModel, tuple[str, ...]]:
    """Write a model in the layout of the file's suffix; return it as written, and what to say of it."""
    groups = (model.identity, model.expression, model.albedo)
    turned = writable(None, output).orthonormal and not all(
        group is None or group.is_orthonormal for group in groups
    )
    written = model.orthonormalized() if turned else model
    save_model(output, written)
    return written, (TURNED,) if turned else ()
