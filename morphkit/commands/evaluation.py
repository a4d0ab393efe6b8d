"""`morphkit evaluate`: how good a model is, in numbers with intervals, in plots and on a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from morphkit.archive import load_model
from morphkit.basis.evaluation import Evaluation, evaluate_basis
from morphkit.basis.outliers import FEWEST_JUDGED
from morphkit.building.bootstrap import last_round_folder
from morphkit.commands.registered import RegisteredShapes, read_registered
from morphkit.errors import BadInputError
from morphkit.export.evaluation_page import metrics_of, write_evaluation_page
from morphkit.export.evaluation_plots import compactness_figure, metric_figure, save_png
from morphkit.io.atomic import write_json
from morphkit.linear import LinearModel
from morphkit.morphable import MorphableModel

_SHARES = (0.9, 0.95, 0.98)
_DEFAULT_MASK = "face"
_NAMED = 8  # of the scans that are not measured
_FILES = {
    "Generalization, held-out": "generalization.png",
    "Generalization, left out": "leave-out.png",
    "Specificity": "specificity.png",
}


@dataclass(frozen=True, eq=False)
class ModelEvaluation:
    """An evaluation of a model file, with the names of what it is about.

    Attributes
    ----------
    name : the model file's.
    evaluation : the numbers.
    facts : (name, value) rows: what was measured, and on what.
    outliers : (name, reason) of training shapes that stand out.
    notes : sentences on what could not be told.
    files : what was written.
    """

    name: str
    evaluation: Evaluation
    facts: tuple[tuple[str, str], ...]
    outliers: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...] = ()


def evaluate(
    model: str | Path,
    *,
    held_out: str | Path | None = None,
    training: str | Path | None = None,
    output: str | Path | None = None,
    mask: str | None = None,
    samples: int = 200,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> ModelEvaluation:
    """Measure a model file's compactness, generalization and specificity.

    Parameters
    ----------
    model : the file.
    held_out : a folder of registered meshes in the model's topology, of people who are not in the model:
        for generalization, and for specificity where there is no `training`.
    training : a folder of the meshes that it was built from, such as a build's work folder, of which the
        model's last bootstrap round is read, but not what the model left out: for generalization with some
        left out at a time, for specificity, and for outliers among them.
    output : the folder for ``evaluation.json``, ``evaluation.html`` and plots (PNG); None writes nothing.
    mask : the model's vertex region to measure on, or "all"; "face" when None, if the model has it.
    samples : random heads for specificity.
    seed : of all that is drawn at random.
    progress : called with a stage, how much of it is done, and how much there is.

    Raises
    ------
    BadInputError
        If a file cannot be read, a folder holds no meshes, or a mesh has another topology.
    """
    path = Path(model)
    loaded = load_model(path)
    region, measured = _region(loaded, mask, path)
    read = partial(read_registered, topology=loaded.mesh(), seed=seed, progress=progress)
    fresh = None if held_out is None else read(held_out)
    own = None if training is None else read(_last_round(training, loaded), skip=_left_out(loaded))
    found = evaluate_basis(
        _neutral(loaded),
        loaded.faces,
        held_out=None if fresh is None else fresh.vertices,
        training=None if own is None else own.vertices,
        mask=measured,
        samples=samples,
        seed=seed,
        progress=progress,
    )
    result = ModelEvaluation(
        path.name,
        found,
        _facts(loaded.identity, region, fresh, own, samples, seed),
        () if own is None else tuple((own.names[o.index], o.reason) for o in found.outliers),
        _notes(loaded.identity, fresh, own, found),
    )
    return result if output is None else _write(Path(output), result, loaded)


def _last_round(folder: str | Path, model: MorphableModel) -> Path:
    """Return the folder of the meshes that the model was built from; an earlier build may have left more."""
    asked = model.provenance.get("settings", {}).get("bootstrap", {})
    return last_round_folder(Path(folder), asked.get("rounds"))


def _left_out(model: MorphableModel) -> frozenset[str]:
    """Return the names of scans that lie in the work folder, but are not in the model."""
    return frozenset(scan["name"] for scan in model.provenance.get("left_out", ()))


def _region(model: MorphableModel, mask: str | None, path: Path) -> tuple[str, np.ndarray | None]:
    """Return the region's name and its vertices; None for all of them."""
    if mask is None:
        mask = _DEFAULT_MASK if model.masks.get(_DEFAULT_MASK, np.zeros(1)).any() else "all"
    if mask == "all":
        return "all vertices", None
    if mask not in model.masks or not model.masks[mask].any():
        known = ", ".join(name for name, region in model.masks.items() if region.any())
        raise BadInputError(f"{path} has no region {mask!r}; it has {known or 'none'}, and all.")
    return f"{mask} ({int(model.masks[mask].sum()):,} vertices)", model.masks[mask]


def _neutral(model: MorphableModel) -> LinearModel:
    """Return the statistics of neutral faces."""
    if model.expression is None:
        return model.identity
    return replace(model.identity, mean=model.identity.mean + model.expression.mean)


def _facts(
    group: LinearModel,
    region: str,
    fresh: RegisteredShapes | None,
    own: RegisteredShapes | None,
    samples: int,
    seed: int,
) -> tuple[tuple[str, str], ...]:
    spread = float(np.sqrt(np.mean(group.vertex_deviations() ** 2)))
    noise = float(np.sqrt(3 * group.noise_variance))
    rows = [
        ("modes", str(group.n_components)),
        ("spread, root mean square a vertex", f"{spread:.2f} mm"),
        ("noise, root mean square a vertex", f"{noise:.3f} mm"),
        ("measured on", region),
    ]
    for name, shapes in (("held-out shapes", fresh), ("training shapes", own)):
        if shapes is not None:
            read = "" if len(shapes.names) == shapes.found else f" of {shapes.found}, drawn at random,"
            rows.append((name, f"{len(shapes.names)}{read} in {shapes.folder}"))
    if fresh is not None or own is not None:
        rows.append(("random heads for specificity", f"{samples} (seed {seed})"))
    return tuple(rows)


def _notes(
    group: LinearModel, fresh: RegisteredShapes | None, own: RegisteredShapes | None, found: Evaluation
) -> tuple[str, ...]:
    notes = []
    if fresh is None and own is None:
        notes.append(
            "A model file alone tells compactness only. Generalization needs registered meshes of other "
            "people (--held-out) or those it was built from (--training), and so does specificity."
        )
    elif fresh is None:
        notes.append(
            "Generalization is that of models of the training shapes with some left out, not of this "
            "model itself; for that, give registered meshes of other people (--held-out)."
        )
    if own is not None and own.skipped:
        names = ", ".join(own.skipped[:_NAMED]) + (", ..." if len(own.skipped) > _NAMED else "")
        notes.append(f"Not measured, since the model left them out: {names} ({len(own.skipped)} in all).")
    if own is not None and found.leave_out is None:
        notes.append(f"{len(own.names)} training shapes are too few to leave some out.")
    if own is not None and len(own.names) < FEWEST_JUDGED:
        notes.append(f"{len(own.names)} training shapes are too few to say which is unlike the others.")
    if own is None and fresh is not None:
        notes.append(
            "Specificity is measured against the held-out shapes; with few of them, even real people are far "
            "from the nearest."
        )
    if fresh is not None and len(fresh.names) == 1:
        notes.append("Of a single held-out shape there is no interval: nothing can be resampled.")
    if found.specificity is not None:
        notes.append("Specificity with no modes has no interval: all random heads are the mean.")
    if not group.n_components:
        notes.append("The model has no modes of shape: it is its mean.")
    return tuple(notes)


def _write(folder: Path, result: ModelEvaluation, model: MorphableModel) -> ModelEvaluation:
    """Write numbers, plots and the page."""
    plots = {"compactness.png": compactness_figure(result.evaluation.compactness)}
    for name, metric in metrics_of(result.evaluation).items():
        plots[_FILES[name]] = metric_figure(metric)
    for name, figure in plots.items():
        save_png(figure, folder / name)
    write_json(folder / "evaluation.json", numbers(result))
    write_evaluation_page(
        folder / "evaluation.html",
        model,
        result.evaluation,
        title=f"How good {result.name} is",
        lead=f"{model.identity.n_components} modes of shape on {model.n_vertices:,} vertices.",
        outliers=result.outliers,
        notes=result.notes,
        facts=result.facts,
    )
    names = ("evaluation.html", "evaluation.json", *plots)
    return replace(result, files=tuple(folder / name for name in names))


def numbers(result: ModelEvaluation) -> dict[str, Any]:
    """Return what the JSON file and `--json` say; distances in millimetres."""
    found = result.evaluation
    return {
        "model": result.name,
        "facts": dict(result.facts),
        "compactness": {
            "share_of_variance": found.compactness,
            "modes_for": {f"{share:g}": found.modes_for(share) for share in _SHARES},
        },
        "generalization_held_out": found.generalization,
        "generalization_left_out": found.leave_out,
        "specificity": found.specificity,
        "specific_to": found.specific_to,
        "outliers": [{"name": name, "reason": reason} for name, reason in result.outliers],
        "notes": result.notes,
    }
