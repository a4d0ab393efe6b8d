"""Scalismo's ``.json``: a list of points with identifiers and, if known, their uncertainty."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from morphkit.io.landmarks.entries import Entry


def parse(content: Sequence[Any]) -> list[Entry]:
    """Return the entries of ``[{"id", "coordinates", "uncertainty": {"stddevs", "pcvectors"}}, ...]``."""
    return [
        Entry(str(item["id"]), item["coordinates"], _covariance(item.get("uncertainty"))) for item in content
    ]


def write(entries: Sequence[Entry]) -> str:
    """Return the list; scalismo knows no missing points, so they are left out."""
    items = [_item(entry) for entry in entries if entry.position is not None]
    return json.dumps(items, indent=1, ensure_ascii=False) + "\n"


def _covariance(uncertainty: Any) -> list[list[float]] | None:
    """Return the covariance of standard deviations along principal directions, one direction a row."""
    if uncertainty is None:
        return None
    deviations = np.array(uncertainty["stddevs"], np.float64)
    directions = np.array(uncertainty["pcvectors"], np.float64)
    if deviations.shape != (3,) or directions.shape != (3, 3):
        raise ValueError("an uncertainty is not three standard deviations along three vectors")
    covariance: list[list[float]] = (directions.T * deviations**2 @ directions).tolist()
    return covariance


def _item(entry: Entry) -> dict[str, object]:
    item: dict[str, object] = {"id": entry.name, "coordinates": entry.position}
    covariance = entry.covariance
    if covariance is None and entry.deviation is not None:
        covariance = (entry.deviation**2 * np.eye(3)).tolist()
    if covariance is not None:
        variances, vectors = np.linalg.eigh(np.array(covariance))
        deviations = np.sqrt(np.maximum(variances, 0))[::-1]
        item["uncertainty"] = {"stddevs": deviations.tolist(), "pcvectors": vectors.T[::-1].tolist()}
    return item
