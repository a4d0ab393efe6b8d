"""What `morphkit evaluate-fits` writes: a page, numbers as JSON and CSV, and the curve."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from morphkit.commands.faces import find_fit, read_face, true_faces
from morphkit.commands.fit_scores import (
    FaceScore,
    FitEvaluation,
    face_crop,
    measure,
    measured_vertices,
    ranked,
)
from morphkit.evaluation import PooledErrors
from morphkit.evaluation.crop import upright
from morphkit.export.evaluation_plots import cumulative_figure, save_png
from morphkit.export.fits_page import FitPicture, error_strip, write_fits_page
from morphkit.io.atomic import atomic_path, write_json
from morphkit.mesh import Mesh, Template

CURVE_LIMIT = 7.0  # millimetres, where the NoW benchmark's curve ends
_CURVE_POINTS = 281
_SHOWN = 3  # best and worst fits in pictures
_MOST_ROWS = 300  # of single faces on the page; the CSV has all


def write_evaluation(folder: Path, result: FitEvaluation, topology: Template | None) -> tuple[Path, ...]:
    """Write ``report.html``, ``scores.json``, ``scores.csv`` and ``cumulative.png``; return their paths."""
    curve = cumulative_figure(_curves(result), CURVE_LIMIT)
    save_png(curve, folder / "cumulative.png")
    write_json(folder / "scores.json", numbers(result))
    with atomic_path(folder / "scores.csv") as temporary:
        temporary.write_text(_csv(result), encoding="utf-8")
    limit = _color_limit(result)
    pictures = _pictures(result, topology, limit)
    write_fits_page(
        folder / "report.html",
        title=f"How near the fits in {result.fits.name} come to the truth",
        lead=_lead(result),
        tiles=_tiles(result),
        notes=_notes(result, bool(pictures)),
        curve=curve,
        headers=POOLED_HEADERS,
        rows=pooled_rows(result),
        pictures=pictures,
        limit=limit,
        per_face=(_face_headers(result), _face_rows(result)),
        failures=[(score.name, score.reason) for score in result.failures],
        facts=_facts(result),
    )
    names = ("report.html", "scores.json", "scores.csv", "cumulative.png")
    return tuple(folder / name for name in names)


POOLED_HEADERS = (
    "",
    "median",
    "mean",
    "std",
    "median, failures as ∞",
    f"area to {CURVE_LIMIT:g} mm, %",
    "faces",
    "failed",
)


def pooled_rows(result: FitEvaluation) -> list[tuple[str, ...]]:
    """Return the table of pooled figures under `POOLED_HEADERS`: the fits', and the baseline's if any."""
    rows = [_pooled_row("fits", result.pooled, len(result.scores), len(result.failures))]
    if result.pooled_baseline is not None and result.baseline is not None:
        rows.append(_pooled_row(result.baseline, result.pooled_baseline, len(result.scores), 0))
    return rows


def numbers(result: FitEvaluation) -> dict[str, Any]:
    """Return what the JSON file says; distances in millimetres, infinite ones null."""
    thresholds = np.linspace(0, CURVE_LIMIT, _CURVE_POINTS)
    return {
        "truth": result.truth.name,
        "fits": result.fits.name,
        **asdict(result.protocol),
        "faces": len(result.scores),
        "failures": {score.name: score.reason for score in result.failures},
        "failure_share": len(result.failures) / len(result.scores),
        "pooled": _pooled_numbers(result.pooled),
        "baseline": None
        if result.pooled_baseline is None
        else {
            "name": result.baseline,
            **_pooled_numbers(result.pooled_baseline),
            "median_ratio": result.ratio,
            "share_better": result.better,
        },
        "curve": {"millimetres": thresholds.round(4), **_curves(result)},
        "unmatched_fits": result.unmatched,
        "scores": {score.name: _face_numbers(score) for score in result.scores},
    }


def _pooled_numbers(pooled: PooledErrors) -> dict[str, float]:
    return {
        "median": pooled.median,
        "mean": pooled.mean,
        "standard_deviation": pooled.standard_deviation,
        "median_with_failures": pooled.median_with_failures,
        "area_under_curve": pooled.auc(CURVE_LIMIT),
    }


def _face_numbers(score: FaceScore) -> dict[str, float | int | str | None]:
    known = score.distances
    return {
        "points": score.points,
        "median": None if known is None else float(np.median(known)),
        "mean": None if known is None else float(known.mean(dtype=np.float64)),
        "standard_deviation": None if known is None else float(known.std(dtype=np.float64)),
        "percentile_95": None if known is None else float(np.percentile(known, 95)),
        "baseline_median": score.baseline_median,
        "failure": score.reason or None,
    }


def _curves(result: FitEvaluation) -> dict[str, np.ndarray]:
    thresholds = np.linspace(0, CURVE_LIMIT, _CURVE_POINTS)
    curves = {"fits": result.pooled.curve(thresholds)}
    if result.pooled_baseline is not None and result.baseline is not None:
        curves[result.baseline] = result.pooled_baseline.curve(thresholds)
    return curves


def _csv(result: FitEvaluation) -> str:
    buffer = io.StringIO()
    rows = [{"name": score.name, **_face_numbers(score)} for score in result.scores]
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return buffer.getvalue()


def _cell(value: float | int | str | None) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.5f}" if isinstance(value, float) else str(value)


def _pooled_row(name: str, pooled: PooledErrors, faces: int, failed: int) -> tuple[str, ...]:
    share = f"{failed} ({100 * failed / faces:.0f} %)" if failed else "0"
    values = (pooled.median, pooled.mean, pooled.standard_deviation, pooled.median_with_failures)
    return name, *map(_millimetres, values), f"{100 * pooled.auc(CURVE_LIMIT):.1f}", str(faces), share


def _millimetres(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.3f}"


def _lead(result: FitEvaluation) -> str:
    kind = (
        "metrical: size counts"
        if result.protocol.metrical
        else "size, which one photo does not tell, is left free"
    )
    return f"Distance of true faces to fitted surfaces, after the best alignment ({kind})."


def _tiles(result: FitEvaluation) -> list[tuple[str, str]]:
    pooled, failed = result.pooled, len(result.failures)
    over = f", {len(result.scores) - failed} of {len(result.scores)} faces" if failed else ""
    tiles = [
        (f"median{over}", f"{_millimetres(pooled.median)} mm"),
        (f"mean{over}", f"{_millimetres(pooled.mean)} mm"),
        (f"standard deviation{over}", f"{_millimetres(pooled.standard_deviation)} mm"),
        ("failed", f"{failed} of {len(result.scores)}"),
    ]
    if result.baseline is not None:
        tiles.append((f"of the median of {result.baseline}", f"{100 * result.ratio:.1f} %"))
        tiles.append((f"of faces nearer than {result.baseline}", f"{100 * result.better:.0f} %"))
    return tiles


def _notes(result: FitEvaluation, pictured: bool) -> list[str]:
    notes = []
    if result.failures:
        notes.append(
            f"{len(result.failures)} of {len(result.scores)} fits failed. Median, mean and deviation are of "
            "the others; the curve and the figures that say so count a failure as infinitely far."
        )
    if result.unmatched:
        notes.append(f"Not looked at, since no true face is called so: {', '.join(result.unmatched[:8])}.")
    if ranked(result.scores) and not pictured:
        notes.append("There are no pictures: the true faces are points without triangles.")
    if len(result.scores) > _MOST_ROWS:
        notes.append(f"Face by face, the worst {_MOST_ROWS} are listed here; scores.csv has all.")
    return notes


def _face_headers(result: FitEvaluation) -> list[str]:
    return ["face", "median", "mean", "std", *([f"median of {result.baseline}"] if result.baseline else [])]


def _face_rows(result: FitEvaluation) -> list[tuple[str, ...]]:
    """Return the faces that were measured, worst first."""
    rows = []
    for score in ranked(result.scores)[::-1][:_MOST_ROWS]:
        told = _face_numbers(score)
        values = [told["median"], told["mean"], told["standard_deviation"]]
        values += [score.baseline_median] if result.baseline else []
        rows.append((score.name, *(f"{value:.3f}" for value in values)))
    return rows


def _facts(result: FitEvaluation) -> list[tuple[str, str]]:
    crop = "the NoW benchmark's"
    if result.protocol.crop != "now":
        crop = f"within {result.protocol.crop:g} mm of the tip of the nose"
    return [
        ("True faces", f"{len(result.scores)} in {result.truth.name}"),
        ("Points measured", f"{sum(score.points for score in result.scores):,}"),
        ("Part of the face", crop),
        ("Expression", "left out, where it is known apart" if result.protocol.neutral else "as it is"),
        ("Alignment", "seven points, then least squares of the distances"),
        ("Freedom", "rotation, translation" + ("" if result.protocol.metrical else ", scale")),
    ]


def _color_limit(result: FitEvaluation) -> float:
    """Return the end of the colour scale: most of all errors lie below."""
    if not len(result.pooled.distances):
        return 1.0
    return max(float(np.ceil(np.quantile(result.pooled.distances, 0.95))), 1.0)


def _pictures(result: FitEvaluation, topology: Template | None, limit: float) -> list[FitPicture]:
    """Draw the worst and the best fits, those of them whose true faces have triangles."""
    order = ranked(result.scores)
    few = min(_SHOWN, max(len(order) // 2, 1))
    chosen = {score.name: ("worst", score) for score in order[::-1][:few]}
    chosen |= {score.name: ("best", score) for score in order[:few] if score.name not in chosen}
    paths = {path.stem: path for path in true_faces(result.truth)}
    drawn = [(rank, s, _strip(result, paths[s.name], topology, limit)) for rank, s in chosen.values()]
    return [
        FitPicture(score.name, rank, f"median {score.median:.2f} mm", strip)
        for rank, score, strip in drawn
        if strip is not None
    ]


def _strip(result: FitEvaluation, path: Path, topology: Template | None, limit: float) -> np.ndarray | None:
    face = read_face(path, topology, neutral=result.protocol.neutral)
    found = find_fit(result.fits, path.stem)
    if face.faces is None or found is None:
        return None
    fit = read_face(found, topology, neutral=result.protocol.neutral)
    chosen, crop = measured_vertices(face, result.protocol.crop), face_crop(face, result.protocol.crop)
    alignment = measure(face, chosen, fit, result.protocol.metrical)
    distances = np.full(len(face.vertices), np.nan)
    distances[chosen] = alignment.distances
    fitted = Mesh(alignment.similarity.apply(fit.vertices), fit.mesh.faces)
    rotation = upright(face.points)
    return error_strip(face.mesh, distances, fitted, rotation, crop.centre, 1.3 * crop.radius, limit)
