"""The page of a person fitted to several photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from morphkit.export.html import image_uri, render_report
from morphkit.export.turntable import Turntable, turntable_values

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
    face: Turntable,
    photos: Sequence[PersonPhoto],
    failures: Sequence[tuple[str, str]],
    notes: Sequence[str],
    deviation: float,
    files: Sequence[tuple[str, str]],
    predicted_by: str | None = None,
    origin: Sequence[str] = (),
) -> None:
    """Write a person's page as one self-contained HTML file.

    Parameters
    ----------
    path : the page.
    face : the person's, without expression.
    photos : that were fitted.
    failures : (photo, reason) of those that were not.
    notes : sentences to read it by.
    deviation : median posterior standard deviation of the face's points, mm; NaN where unknown.
    files : (name, what it is) of what lies beside the page.
    predicted_by : the network that predicted the person, if it was not fitted.
    origin : what it was made from, in a few words each.
    """
    counted = sum(photo.weight for photo in photos)
    noun, weight = "photo" if len(photos) == 1 else "photos", f"{counted:.1f}"
    tiles = [
        (f"{noun} fitted together" if predicted_by is None else f"{noun} seen", str(len(photos))),
        ("photo's worth of weight" if weight == "1.0" else "photos' worth of weight", weight),
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
        face=turntable_values(face),
        origin=origin,
        photos=photos,
        strips=[image_uri(photo.picture, max_side=_WIDTH) for photo in photos],
        failures=failures,
        files=files,
        predicted_by=predicted_by,
    )
