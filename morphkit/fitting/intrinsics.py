"""What a photo's file says about its camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from morphkit.fitting.landmark import FocalPrior
from morphkit.fitting.settings import LandmarkSettings

_EXIF_IFD, _FOCAL_35MM = 0x8769, 0xA405
_FILM_DIAGONAL = float(np.hypot(36.0, 24.0))  # what "35 mm equivalent" refers to (CIPA DCG-001)
_PLAUSIBLE = (8.0, 600.0)  # millimetres


def focal_prior(path: Path | None, width: int, height: int, settings: LandmarkSettings) -> FocalPrior:
    """Return the expected focal length in pixels: from EXIF where the file has it, else the settings' own."""
    equivalent = None if path is None else _focal_35mm(path)
    if equivalent is None:
        return FocalPrior(settings.focal_length * max(width, height), settings.focal_deviation)
    focal = equivalent / _FILM_DIAGONAL * float(np.hypot(width, height))
    return FocalPrior(focal, settings.exif_focal_deviation)


def _focal_35mm(path: Path) -> float | None:
    """Return the 35 mm equivalent focal length that EXIF names, or None where it says nothing sensible."""
    try:
        with Image.open(path) as image:
            value = float(image.getexif().get_ifd(_EXIF_IFD).get(_FOCAL_35MM, 0.0))
    except (OSError, UnidentifiedImageError, ValueError, TypeError, SyntaxError):
        return None
    return value if _PLAUSIBLE[0] <= value <= _PLAUSIBLE[1] else None
