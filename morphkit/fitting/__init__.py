"""From a photo to a face: landmarks, then colours, then files."""

from morphkit.fitting.batch import PhotoOutcome, find_photos, fit_batch, fit_folder
from morphkit.fitting.fit import fit_image
from morphkit.fitting.output import write_fit
from morphkit.fitting.result import FitResult
from morphkit.fitting.settings import FitSettings, LandmarkSettings, PhotometricSettings
from morphkit.fitting.subject import SubjectFit, fit_images
from morphkit.fitting.subject_output import write_subject

__all__ = [
    "FitResult",
    "FitSettings",
    "LandmarkSettings",
    "PhotoOutcome",
    "PhotometricSettings",
    "SubjectFit",
    "find_photos",
    "fit_batch",
    "fit_folder",
    "fit_image",
    "fit_images",
    "write_fit",
    "write_subject",
]
