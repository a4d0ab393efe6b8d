"""How fits bear hard photos: yaw, skin tones, what hides the face, its size, coding. Run by hand; minutes.

    python benchmarks/photo_sweep.py FOLDER --out FIGURES.json --model M.h5   # fits and measures a folder
    python benchmarks/photo_sweep.py FOLDER --out FIGURES.json --generator D  # made by D/make_photos.py

FOLDER holds ``NAME.png|jpg``, ``NAME.json`` (``row``, ``value``: its place in the table),
``truth/NAME.npz`` (``vertices`` of the true face, millimetres; its OpenCV camera ``K``, ``R``, ``t``) and
``topology.npz`` (``faces``, ``landmarks68``: vertex numbers, ``mean``: the face that fits are held against).
Errors are those of docs/evaluating-fits.md within 95 mm of the nose's tip. A fit has failed when there is
none, when its head is turned more than 25 degrees from the true one, or when its landmarks lie a quarter of
the eye distance off. A run that was cut short goes on where it stood.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sweep_pictures import make_pictures

from morphkit.archive import load_default_model, load_model
from morphkit.errors import MorphkitError
from morphkit.evaluation import MisalignedError, nose_crop, scan_to_mesh
from morphkit.export.overlay import composite, draw_face
from morphkit.fitting import FitResult, fit_image
from morphkit.geometry.normals import vertex_normals
from morphkit.io.images import write_image
from morphkit.landmarks.ibug import NOW_POINTS
from morphkit.mesh import Landmarks, Mesh
from morphkit.morphable import MorphableModel

_SEVEN = [int(name) for name in NOW_POINTS.values()]
_MOST_TURNED = 25.0  # degrees
_MOST_OFF = 0.25  # of the distance between the outer corners of the eyes
_LARGEST_OVERLAY = 1100  # side of a picture, pixels
_NARROW = 6706  # vertices of the generator's faces before the ears and the neck


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--generator", type=Path, help="make the pictures with the generator in this folder")
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument("--seed", type=int, default=301)
    parser.add_argument("--rows", help="only these rows, such as yaw,tone")
    parser.add_argument("--model", type=Path, help="the default head if left out")
    parser.add_argument("--out", type=Path, required=True, help="a .json of the figures; pictures beside it")
    arguments = parser.parse_args()
    if arguments.generator is not None:
        make_pictures(arguments.generator, arguments.folder, arguments.people, arguments.seed, arguments.rows)
    model = load_default_model() if arguments.model is None else load_model(arguments.model)
    measures = measure_folder(arguments.folder, model, arguments.out, arguments.rows)
    print(table(measures))


def measure_folder(folder: Path, model: MorphableModel, out: Path, rows: str | None) -> list[dict]:
    """Fit and measure every picture of a folder; ``out`` grows picture by picture and is gone on from."""
    measures = json.loads(out.read_text(encoding="utf-8")) if out.exists() else []
    done = {measure["name"] for measure in measures}
    topology = np.load(folder / "topology.npz")
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if path.stem in done or (rows is not None and content["row"] not in rows.split(",")):
            continue
        picture = next(p for p in folder.glob(f"{path.stem}.*") if p.suffix in (".png", ".jpg"))
        truth = np.load(folder / "truth" / f"{path.stem}.npz")
        measure = measure_picture(picture, truth, topology, model, out.with_name(f"{out.stem}-overlays"))
        measures.append({"name": path.stem, "row": content["row"], "value": content["value"], **measure})
        out.write_text(json.dumps(measures, indent=1), encoding="utf-8")
        shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in measures[-1].items()}
        print(shown, flush=True)
    return measures


def measure_picture(picture: Path, truth, topology, model: MorphableModel, overlays: Path) -> dict:
    """Return a fit's figures, or why there is none."""
    begun = time.perf_counter()
    mean = Mesh(topology["mean"].astype(np.float64), topology["faces"])
    base = distances(mean, mean.vertices[topology["landmarks68"][_SEVEN]], truth, topology)
    measure = {"mean_face": float(np.median(base))}
    try:
        fit = fit_image(picture, model)
    except MorphkitError as error:
        return {**measure, "failed": str(error).split(": ", 1)[-1]}
    measure["seconds"] = time.perf_counter() - begun
    _write_overlay(fit, overlays / f"{picture.stem}.jpg")
    measure["turned"] = _turned(fit, truth)
    measure["off"] = _off(fit, truth, topology)
    try:
        errors = distances(fit.mesh, np.array([fit.landmarks3d[k] for k in NOW_POINTS]), truth, topology)
    except MisalignedError as error:
        return {**measure, "failed": str(error)}
    measure["median"], measure["p95"] = float(np.median(errors)), float(np.quantile(errors, 0.95))
    measure["notes"] = list(fit.notes)
    if measure["turned"] > _MOST_TURNED or measure["off"] > _MOST_OFF:
        measure["failed"] = f"turned {measure['turned']:.0f} degrees, {measure['off']:.2f} of the eyes off"
    return measure


def distances(mesh: Mesh, seven: np.ndarray, truth, topology) -> np.ndarray:
    """Return how far the true face lies from a mesh, millimetres."""
    vertices = truth["vertices"].astype(np.float64)
    marks = vertices[topology["landmarks68"]]
    crop = nose_crop(Landmarks(tuple(str(i) for i in range(68)), marks), 95.0)
    measured = vertices[:_NARROW][crop.contains(vertices[:_NARROW])]
    return scan_to_mesh(measured, marks[_SEVEN], mesh, seven).distances


def _turned(fit: FitResult, truth) -> float:
    cosine = (np.trace(fit.camera.R.T @ truth["R"]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _off(fit: FitResult, truth, topology) -> float:
    """Return how far the fit's inner landmarks lie from the true ones, over the eyes' true distance."""
    marks = fit.model.landmarks["ibug68"].landmarks(fit.vertices, fit.model.faces)
    number = np.array([int(name) for name in marks.names])
    true = truth["vertices"][topology["landmarks68"]].astype(np.float64)
    in_camera = true @ truth["R"].T + truth["t"]
    pixels = (in_camera @ truth["K"].T)[:, :2] / in_camera[:, 2:]
    eyes = np.linalg.norm(true[36] - true[45]) * truth["K"][0, 0] / in_camera[27, 2]
    errors = np.linalg.norm(fit.camera.project(marks.points) - pixels[number], axis=1)
    return float(errors[number > 16].mean() / eyes)


def _write_overlay(fit: FitResult, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(fit.photo) > _LARGEST_OVERLAY:
        return
    normals = vertex_normals(fit.vertices, fit.model.faces) @ fit.camera.R.T
    grey = np.tile(0.05 + 0.6 * np.maximum(-normals[:, 2:], 0.0), 3)
    drawn = composite(fit.photo, draw_face(fit.camera, fit.vertices, fit.model.faces, grey))
    write_image(path, np.hstack([fit.photo, drawn]))


def table(measures: list[dict]) -> str:
    """Return the figures by row and value, in Markdown; medians over the people."""
    groups = defaultdict(list)
    for measure in measures:
        groups[measure["row"], measure["value"]].append(measure)
    lines = [
        "| | | photos | failed | median, mm | of the mean face's | turned by | landmarks off, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (row, value), group in sorted(groups.items()):
        lines.append(f"| {row} | {value} | {_figures(group)} |")
    return "\n".join(lines)


def _figures(group: list[dict]) -> str:
    good = [measure for measure in group if "failed" not in measure]
    counts = f"{len(group)} | {len(group) - len(good)}"
    if not good:
        return f"{counts} | | | | "
    median, mean = (np.mean([m[key] for m in good]) for key in ("median", "mean_face"))
    turned, off = (np.median([m[key] for m in good]) for key in ("turned", "off"))
    return f"{counts} | {median:.2f} | {100 * median / mean:.0f} % | {turned:.1f}° | {100 * off:.1f}"


if __name__ == "__main__":
    main()
