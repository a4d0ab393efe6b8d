"""Landmarks in photos, and on scans through rendered views."""

from morphkit.landmarks.canonical import canonical_face
from morphkit.landmarks.embedding import embed_landmarks
from morphkit.landmarks.faces import DetectedFace, FaceSettings, detect_faces
from morphkit.landmarks.ibug import IBUG68_GROUPS, MEDIAPIPE_TO_IBUG68, to_ibug68
from morphkit.landmarks.scans import ScanLandmarks, ScanLandmarkSettings, detect_scan_landmarks

__all__ = [
    "IBUG68_GROUPS",
    "MEDIAPIPE_TO_IBUG68",
    "DetectedFace",
    "FaceSettings",
    "ScanLandmarkSettings",
    "ScanLandmarks",
    "canonical_face",
    "detect_faces",
    "detect_scan_landmarks",
    "embed_landmarks",
    "to_ibug68",
]
