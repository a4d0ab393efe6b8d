"""What a photo's file says about its camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from morphkit.fitting.landmark import FocalPrior
from morphkit.fitting.settings import LandmarkSettings

_EXIF_IFD, _FOCAL_35MM, _WIDTH, _HEIGHT = 0x8769, 0xA405, 0xA002, 0xA003
_FILM_DIAGONAL = float(np.hypot(36.0, 24.0))  # what "35 mm equivalent" refers to (CIPA DCG-001)
_PLAUSIBLE = (8.0, 600.0)  # millimetres
_SAME_SHAPE = 0.02  # relative difference of two pictures' proportions, beyond which one was cropped


def focal_prior(path: Path | None, width: int, height: int, settings: LandmarkSettings) -> FocalPrior:
    """Return the expected focal length in pixels: from EXIF where the file has it, else the settings' own."""
    equivalent = None if path is None else _focal_35mm(path)
    if equivalent is None:
        return FocalPrior(settings.focal_length * max(width, height), settings.focal_deviation)
    focal = equivalent / _FILM_DIAGONAL * float(np.hypot(width, height))
    return FocalPrior(focal, settings.exif_focal_deviation)


def _focal_35mm(path: Path) -> float | None:
    """Return the 35 mm equivalent focal length that EXIF names, or None where it says nothing sensible.

    Of a photo that was cropped since, it says nothing: how much of the picture is left, EXIF does not tell.
    """
    try:
        with Image.open(path) as image:
            tags = image.getexif().get_ifd(_EXIF_IFD)
            value = float(tags.get(_FOCAL_35MM, 0.0))
            width, height = float(tags.get(_WIDTH, 0)), float(tags.get(_HEIGHT, 0))
            left = _elongation(float(image.width), float(image.height))
            if min(width, height) > 0 and abs(_elongation(width, height) / left - 1.0) > _SAME_SHAPE:
                return None
    except (OSError, UnidentifiedImageError, ValueError, TypeError, SyntaxError):
        return None
    return value if _PLAUSIBLE[0] <= value <= _PLAUSIBLE[1] else None


def _elongation(width: float, height: float) -> float:
    """Return the longer side over the shorter, whichever way a photo is turned."""
    return max(width, height) / min(width, height)
