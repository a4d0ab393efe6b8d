"""Many photos and their faces on one page: small pictures, worst first, what failed with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from morphkit.export.html import render_report
from morphkit.io.images import write_image

_HEIGHT, _WIDTH = 160, 800  # pixels: five square pictures side by side


@dataclass(frozen=True)
class Card:
    """A photo on the sheet; numbers are NaN where they are unknown.

    Attributes
    ----------
    name : of the photo.
    status : "fitted", "reused", "failed" or "pending".
    text : why it failed, or what is doubtful.
    picture, page : links, relative to the sheet and quoted; None where there is none.
    landmark_error : of the eye distance.
    yaw, pitch : degrees.
    identity : root mean square of the identity coefficients, standard deviations.
    seconds : that the fit took.
    """

    name: str
    status: str
    text: str
    picture: str | None
    page: str | None
    landmark_error: float
    yaw: float
    pitch: float
    identity: float
    seconds: float


def write_thumbnail(path: Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write a picture reduced to the height of a sheet's row; it is not enlarged."""
    picture = Image.fromarray(image)
    picture.thumbnail((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
    write_image(path, np.asarray(picture))


def write_contact_sheet(path: Path, cards: Sequence[Card], counts: Mapping[str, int]) -> None:
    """Write the page; pictures beside it are loaded as they come into view.

    Parameters
    ----------
    path : of the page; links are relative to its folder.
    cards : one a photo.
    counts : of photos by status.
    """
    known = [card.landmark_error for card in cards if math.isfinite(card.landmark_error)]
    tiles = [(_LABELS[status], f"{count:,}") for status, count in counts.items() if count]
    if known:
        tiles.append(
            ("median landmark error, of the eye distance", f"{100.0 * float(np.median(known)):.1f} %")
        )
    render_report("contact_sheet.html.jinja", path, tiles=tiles, cards=[_plain(card) for card in cards])


_LABELS = {
    "fitted": "done",
    "reused": "done by an earlier run",
    "failed": "failed",
    "pending": "not reached yet",
}


def _plain(card: Card) -> list[Any]:
    """Return a card's values in order, rounded; JSON has no NaN."""
    values = asdict(card).values()
    return [_rounded(value) if isinstance(value, float) else value for value in values]


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
