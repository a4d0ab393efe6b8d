"""`morphkit transfer`: a model, or what it knows, onto another topology."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from morphkit.archive import holds_model, load_model
from morphkit.commands.model_files import ensure_writes_model, write_model
from morphkit.errors import BadInputError
from morphkit.export.transfer_picture import write_transfer_picture
from morphkit.io.meshes import read_mesh
from morphkit.morphable import MorphableModel
from morphkit.transfer import (
    SurfaceMap,
    correspond,
    transfer_embeddings,
    transfer_expressions,
    transfer_masks,
    transfer_mirror,
    transfer_model,
    transfer_uv,
)

MODEL = "model"
PARTS = ("landmarks", "masks", "uv", "expressions", "mirror")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Transfer:
    """What was carried from a source to a target.

    Attributes
    ----------
    source, target : the files.
    output : the model that was written, on the target's triangles.
    picture : the source beside it, or None.
    carried : what was carried over: "model", or parts.
    vertices : of the target.
    matched : of these, with a counterpart on the source.
    median_distance : millimetres between counterparts, the source laid onto the target.
    notes : sentences on what to know of the result.
    """

    source: Path
    target: Path
    output: Path
    picture: Path | None
    carried: tuple[str, ...]
    vertices: int
    matched: int
    median_distance: float
    notes: tuple[str, ...]


def transfer(
    source: str | Path,
    target: str | Path,
    output: str | Path,
    *,
    what: Collection[str] = (MODEL,),
    picture: bool = True,
    progress: Progress | None = None,
) -> Transfer:
    """Carry a model, or parts of what it knows, to another topology, and write the model that comes out.

    Parameters
    ----------
    source : a model file.
    target : a model file or a mesh, of any topology, frame and unit.
    output : the new model's file; its suffix tells the layout. In .npz, coefficients stay the source's.
    what : "model", the source's faces on the target's triangles (`morphkit.transfer.transfer_model`); or any
        of "landmarks", "masks", "uv", "expressions" and "mirror", which the target gets, in place of its own.
    picture : write ``<output>-transfer.png``, which shows both side by side.
    progress : called with a stage's name, the steps done and their number.

    Raises
    ------
    BadInputError
        When a file cannot be used, the output would overwrite one, or the source lacks what is to be carried.
    RegistrationError
        When the source cannot be laid onto the target.
    """
    report = progress or (lambda *_: None)
    paths = Path(source), Path(target), Path(output)
    ensure_writes_model(paths[2], (source, target))
    carried = _chosen(what)
    with _stage(report, "Reading"):
        model, other = load_model(source), _target(paths[1])
        _ensure_has(model, carried, paths[0])
    with _stage(report, "Laying one onto the other"):
        surface_map = correspond(model, other)
    with _stage(report, "Carrying over"):
        result = _carried(model, other, carried, surface_map)
        written, notes = write_model(paths[2], result)
    drawn = paths[2].with_name(f"{paths[2].stem}-transfer.png") if picture else None
    if drawn is not None:
        with _stage(report, "Drawing"):
            write_transfer_picture(drawn, model, result, surface_map)
    valid = surface_map.valid
    distances = surface_map.distances[valid] / surface_map.scale
    return Transfer(
        *paths,
        picture=drawn,
        carried=carried,
        vertices=len(valid),
        matched=int(valid.sum()),
        median_distance=float(np.median(distances)) if len(distances) else float("nan"),
        notes=(*notes, *_gaps(written, model, carried, surface_map)),
    )


@contextmanager
def _stage(report: Progress, name: str) -> Iterator[None]:
    report(name, 0, 1)
    yield
    report(name, 1, 1)


def _chosen(what: Collection[str]) -> tuple[str, ...]:
    unknown = [name for name in what if name not in (MODEL, *PARTS)]
    if unknown or not what:
        raise BadInputError(
            f"Cannot carry {', '.join(unknown) or 'nothing'}; choose {MODEL} or of {', '.join(PARTS)}."
        )
    if MODEL in what and len(set(what)) > 1:
        raise BadInputError(f"{MODEL} carries everything; leave the other parts out.")
    return tuple(name for name in (MODEL, *PARTS) if name in what)


def _target(path: Path) -> MorphableModel:
    """Return a model, or that of a mesh, which has one shape."""
    if holds_model(path):
        return load_model(path)
    return replace(MorphableModel.of_mesh(read_mesh(path)), provenance={"source": path.name})


def _ensure_has(model: MorphableModel, carried: tuple[str, ...], path: Path) -> None:
    """Refuse to carry what is not there."""
    there = {
        MODEL: True,
        "landmarks": bool(model.landmarks),
        "masks": bool(model.masks),
        "uv": model.uv is not None,
        "expressions": model.expression is not None,
        "mirror": model.mirror is not None,
    }
    lacking = [name for name in carried if not there[name]]
    if lacking:
        raise BadInputError(f"{path} has no {' and no '.join(lacking)} to carry; choose what it has.")


def _carried(
    model: MorphableModel, other: MorphableModel, carried: tuple[str, ...], surface_map: SurfaceMap
) -> MorphableModel:
    if carried == (MODEL,):
        return transfer_model(model, other, surface_map)
    return _enriched(model, other, carried, surface_map)


def _enriched(
    model: MorphableModel, other: MorphableModel, carried: tuple[str, ...], surface_map: SurfaceMap
) -> MorphableModel:
    """Return the target with parts of the source's in place of its own."""
    added: dict[str, Any] = {}
    if "landmarks" in carried:
        added["landmarks"] = {**other.landmarks, **transfer_embeddings(model.landmarks, surface_map)}
    if "masks" in carried:
        added["masks"] = {**other.masks, **transfer_masks(model.masks, surface_map)}
    if "uv" in carried:
        added["uv"] = transfer_uv(model.uv, surface_map)
    if "expressions" in carried:
        found = transfer_expressions(model, surface_map)
        added |= {"expression": found.group, "expression_units": found.units}
    if "mirror" in carried and model.mirror is not None:
        added["mirror"] = transfer_mirror(model.mirror, surface_map)
    record = {
        "from": model.provenance.get("name", model.provenance.get("source", "a model without a name")),
        "licence": model.provenance.get("licence", "not stated"),
        "added": list(carried),
    }
    records = [*other.provenance.get("completed", []), record]
    return replace(other, **added, provenance={**other.provenance, "completed": records})


def _gaps(
    result: MorphableModel, model: MorphableModel, carried: tuple[str, ...], surface_map: SurfaceMap
) -> list[str]:
    """Return sentences on what could not be carried whole."""
    notes = []
    missing = int((~surface_map.valid).sum())
    if missing:
        notes.append(
            f"{missing:,} of {len(surface_map.valid):,} vertices have no counterpart on the source: "
            "there its values fade out."
        )
    if carried == (MODEL,) or "landmarks" in carried:
        for name, embedding in model.landmarks.items():
            left = len(embedding.names) - len(result.landmarks.get(name, embedding).names)
            if name not in result.landmarks or left > 0:
                count = left if name in result.landmarks else len(embedding.names)
                notes.append(f"{count} of {len(embedding.names)} landmarks {name} lie beyond the target.")
    if (carried == (MODEL,) or "mirror" in carried) and model.mirror is not None and result.mirror is None:
        notes.append("The target's triangles are not symmetric, so it got no mirror map.")
    return notes
