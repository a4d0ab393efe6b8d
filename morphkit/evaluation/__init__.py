"""How near fitted faces come to true ones, and how true their stated uncertainty is."""

from morphkit.evaluation.alignment import Alignment, MisalignedError, align_by_points, refine
from morphkit.evaluation.calibration import Calibration, gaussian_calibration, sample_calibration
from morphkit.evaluation.crop import FaceCrop, nose_crop, now_crop, seven_points
from morphkit.evaluation.depth import DepthErrors, depth_errors, depth_shifts
from morphkit.evaluation.landmark_error import LandmarkErrors, landmark_errors
from morphkit.evaluation.scan_to_mesh import scan_to_mesh
from morphkit.evaluation.summary import PooledErrors
from morphkit.evaluation.verification import (
    Verification,
    identity_distances,
    verify_identities,
    within_covariance,
)

__all__ = [
    "Alignment",
    "Calibration",
    "DepthErrors",
    "FaceCrop",
    "LandmarkErrors",
    "MisalignedError",
    "PooledErrors",
    "Verification",
    "align_by_points",
    "depth_errors",
    "depth_shifts",
    "gaussian_calibration",
    "identity_distances",
    "landmark_errors",
    "nose_crop",
    "now_crop",
    "refine",
    "sample_calibration",
    "scan_to_mesh",
    "seven_points",
    "verify_identities",
    "within_covariance",
]
