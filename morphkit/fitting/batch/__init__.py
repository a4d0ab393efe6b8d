"""Folders of photos: found, fitted side by side, resumed, summed up."""

from morphkit.fitting.batch.outcome import FitFigures, PhotoOutcome, fit_figures, head_angles
from morphkit.fitting.batch.run import fit_batch, fit_folder
from morphkit.fitting.batch.summary import write_summary
from morphkit.fitting.batch.task import FitPlan, PhotoFit, fit_photo
from morphkit.io.photos import PhotoFile, find_photos, is_single

__all__ = [
    "FitFigures",
    "FitPlan",
    "PhotoFile",
    "PhotoFit",
    "PhotoOutcome",
    "find_photos",
    "fit_batch",
    "fit_figures",
    "fit_folder",
    "fit_photo",
    "head_angles",
    "is_single",
    "write_summary",
]
