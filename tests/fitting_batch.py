"""Stand-ins for the fit of a photo, which worker processes can import."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import numpy as np

from morphkit.errors import NoFaceError
from morphkit.fitting.batch import FitFigures, FitPlan, PhotoFile
from morphkit.io.images import read_image, write_image


def quick(photo: PhotoFile, plan: FitPlan, folder: Path) -> FitFigures:
    """Write the photo's mean brightness; a word in its name makes it fail or die."""
    name = photo.path.stem
    pixels = read_image(photo.path)
    (folder / "params.json").write_text(f'{{"mean": {pixels.mean()}, "model": "{plan.model.content[:8]}"}}')
    write_image(folder / "side_by_side.png", np.tile(pixels, (1, 5, 1)))
    if name.startswith("noface"):
        raise NoFaceError(f"{photo.path}: no face was found")
    if name.startswith("bug"):
        raise ZeroDivisionError("of our own")
    if name.startswith("full"):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "mesh.obj"))
    if name.startswith("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("interrupted"):
        raise KeyboardInterrupt
    return FitFigures(landmark_error=pixels.mean() / 1000, yaw=10.0, notes=("A note.",))
