from .batch import PhotoOutcome, find_photos, fit_batch, fit_folder
from .fit import fit_image
from .gradient_settings import GradientSettings
from .initial import InitialFace
from .output import write_fit
from .result import FitResult
from .settings import FitSettings, LandmarkSettings, PhotometricSettings
from .subject import SubjectFit, fit_images
from .subject_output import write_subject
from .video import VideoFit, VideoSettings, fit_video
from .video_output import write_video_fit

__all__ = [
    "FitResult",
    "FitSettings",
    "GradientSettings",
    "InitialFace",
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
