"""The page of a finished run, from what it has written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from morphkit.export.training_page import Curves, TrainingPage, write_training_page
from morphkit.io.images import read_image
from morphkit.training.log import read_rows

_OWN = ("step", "epoch", "learning_rate", "photos_per_second", "gradient")
_PANELS = 3  # first, middle and last


def write_report(folder: Path, title: str, config: Mapping[str, Any], notes: Sequence[str] = ()) -> Path:
    """Write ``report.html`` from a run's logs and panels, and return its path."""
    metrics, held_out = read_rows(folder / "metrics.csv"), read_rows(folder / "validation.csv")
    page = TrainingPage(
        title,
        f"{_steps(metrics)} steps, {_number(metrics, 'epoch', '.3g') or '0'} epochs.",
        _tiles(metrics, held_out),
        _curves(metrics, held_out),
        _panels(folder / "panels"),
        [(f"{section}.{name}", str(value)) for section, name, value in _flat(config)],
        notes,
        _origin(config),
    )
    path = folder / "report.html"
    write_training_page(path, page)
    return path


def _tiles(metrics: list[dict[str, str]], held_out: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Return what the run came to first, then how it went."""
    wanted = [
        ("held-out identity error, mm", held_out, "identity_error_mm", ".3g"),
        ("of the mean face's error", held_out, "identity_ratio", ".1%"),
        ("spread of predictions, of the truth's", held_out, "identity_spread", ".2f"),
        ("held-out error of sets together, mm", held_out, "aggregate_error_mm", ".3g"),
        ("of the mean face's error", held_out, "aggregate_ratio", ".1%"),
        ("the same of single photos", held_out, "single_ratio", ".1%"),
        ("training loss, last", metrics, "total", ".4g"),
        ("photos a second", metrics, "photos_per_second", ".3g"),
    ]
    found = [(label, _number(rows, name, form)) for label, rows, name, form in wanted]
    return [(label, text) for label, text in found if text]


def _steps(metrics: list[dict[str, str]]) -> str:
    return f"{int(metrics[-1]['step']):,}" if metrics else "0"


def _origin(config: Mapping[str, Any]) -> list[str]:
    """Return what was trained, on what."""
    data = config.get("data", {}).get("train", ())
    folders = [data] if isinstance(data, str | Path) else data
    network = config.get("network", {})
    depth, base = network.get("depth"), network.get("r_net")
    return [
        *([f"ResNet-{depth}"] if depth else []),
        *([f"on {Path(base).name}"] if base else []),
        *([f"data: {', '.join(Path(folder).name for folder in folders)}"] if folders else []),
    ]


def _number(rows: list[dict[str, str]], name: str, form: str) -> str:
    """Return the last value of a column; empty if there is none."""
    text = rows[-1].get(name, "") if rows else ""
    return format(float(text), form) if text else ""


def _curves(metrics: list[dict[str, str]], held_out: list[dict[str, str]]) -> list[Curves]:
    terms = [name for name in (metrics[0] if metrics else {}) if name not in _OWN]
    held = [name for name in (held_out[0] if held_out else {}) if name in terms]
    people = {
        "identity_ratio": "error, of the mean face's",
        "identity_spread": "spread, of the truth's",
        "identity_correlation": "correlation with the truth",
    }
    sets = {
        "aggregate_ratio": "error of sets together",
        "average_ratio": "error of their average",
        "single_ratio": "error of single photos",
        "confidence_clean": "confidence, clean",
        "confidence_corrupted": "confidence, spoilt",
    }
    return [
        Curves("Training losses", "weighted loss", _lines(metrics, terms), logarithmic=True),
        Curves("Losses on held-out people", "weighted loss", _lines(held_out, held), logarithmic=True),
        Curves("Identity of held-out people", "share", _named(held_out, people)),
        Curves(
            "Sets of photos of held-out people: errors beside the mean face's, and what C-Net trusts",
            "of the mean face's, or of the mean",
            _named(held_out, sets),
        ),
    ]


def _named(
    rows: list[dict[str, str]], names: Mapping[str, str]
) -> dict[str, tuple[list[float], list[float]]]:
    """Return columns as `_lines` does, by the words for them."""
    return {names[name]: line for name, line in _lines(rows, tuple(names)).items()}


def _lines(rows: list[dict[str, str]], names: Sequence[str]) -> dict[str, tuple[list[float], list[float]]]:
    """Return each column as a line, where it has values that aren't all zero."""
    lines = {}
    for name in names:
        known = [(float(row["step"]), float(row[name])) for row in rows if row.get(name)]
        if any(value for _, value in known):
            lines[name] = ([step for step, _ in known], [value for _, value in known])
    return lines


def _panels(folder: Path) -> list[tuple[str, Any]]:
    paths = sorted(folder.glob("step-*.png"))
    chosen = sorted(
        {paths[round(i * (len(paths) - 1) / (_PANELS - 1))] for i in range(_PANELS)} if paths else []
    )
    return [(f"step {int(path.stem.split('-')[1]):,}", read_image(path)) for path in chosen]


def _flat(config: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    return [
        (section, name, value)
        for section, values in config.items()
        if isinstance(values, Mapping)
        for name, value in values.items()
        if value is not None
    ]
