"""From a photo to a face: landmarks, then colours, then files."""

from morphkit.fitting.batch import PhotoOutcome, find_photos, fit_batch, fit_folder
from morphkit.fitting.fit import fit_image
from morphkit.fitting.gradient_settings import GradientSettings
from morphkit.fitting.output import write_fit
from morphkit.fitting.result import FitResult
from morphkit.fitting.settings import FitSettings, LandmarkSettings, PhotometricSettings
from morphkit.fitting.subject import SubjectFit, fit_images
from morphkit.fitting.subject_output import write_subject
from morphkit.fitting.video import VideoFit, VideoSettings, fit_video
from morphkit.fitting.video_output import write_video_fit

__all__ = [
    "FitResult",
    "FitSettings",
    "GradientSettings",
    "LandmarkSettings",
    "PhotoOutcome",
    "PhotometricSettings",
    "SubjectFit",
    "VideoFit",
    "VideoSettings",
    "find_photos",
    "fit_batch",
    "fit_folder",
    "fit_image",
    "fit_images",
    "fit_video",
    "write_fit",
    "write_subject",
    "write_video_fit",
]
