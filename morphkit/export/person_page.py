"""The page of a person fitted to several photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from morphkit.export.html import image_uri, render_report

_WIDTH = 1000  # pixels of a photo's strip on the page


@dataclass(frozen=True, eq=False)
class PersonPhoto:
    """A photo on the page.

    Attributes
    ----------
    name : of the photo.
    picture : the fit side by side, or the bare photo.
    page : link to its own page, relative and quoted, or None.
    weight : how far it counted, 0 to 1.
    doubted : whether it looks like someone else.
    disagreement : of its identity with that of the others; 1 is usual, NaN where unknown.
    landmark_error : of the eye distance, NaN where unknown.
    yaw, pitch : degrees.
    notes : one sentence each.
    """

    name: str
    picture: UInt8[np.ndarray, "h w 3"]
    page: str | None
    weight: float
    doubted: bool
    disagreement: float
    landmark_error: float
    yaw: float
    pitch: float
    notes: Sequence[str]


def write_person_page(
    path: Path,
    *,
    views: Sequence[UInt8[np.ndarray, "h w 3"]],
    photos: Sequence[PersonPhoto],
    failures: Sequence[tuple[str, str]],
    notes: Sequence[str],
    deviation: float,
    files: Sequence[tuple[str, str]],
    predicted_by: str | None = None,
) -> None:
    """Write a person's page as one self-contained HTML file.

    Parameters
    ----------
    path : the page.
    views : of the neutral face, from side to side.
    photos : that were fitted.
    failures : (photo, reason) of those that were not.
    notes : sentences to read it by.
    deviation : median posterior standard deviation of the face's points, mm; NaN where unknown.
    files : (name, what it is) of what lies beside the page.
    predicted_by : the network that predicted the person, if it was not fitted.
    """
    counted = sum(photo.weight for photo in photos)
    tiles = [
        ("photos fitted together" if predicted_by is None else "photos seen", str(len(photos))),
        ("photos' worth of weight", f"{counted:.1f}"),
    ]
    if deviation == deviation:
        whose = "by the model's own account" if predicted_by is None else "measured on other people"
        tiles.append((f"typical uncertainty of a point, {whose}", f"{deviation:.1f} mm"))
    if failures:
        tiles.insert(1, ("left out", str(len(failures))))
    render_report(
        "person.html.jinja",
        path,
        tiles=tiles,
        notes=notes,
        views=[image_uri(view) for view in views],
        photos=photos,
        strips=[image_uri(photo.picture, max_side=_WIDTH) for photo in photos],
        failures=failures,
        files=files,
        predicted_by=predicted_by,
    )
