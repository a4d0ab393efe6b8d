"""Named 3D points from files and back, in the formats that landmarking tools write: one module a tool."""

from morphkit.io.landmarks.files import (
    LANDMARK_FORMATS,
    LANDMARK_SUFFIXES,
    read_image_points,
    read_landmarks,
    read_landmarks_counted,
    write_image_points,
    write_landmarks,
)
from morphkit.io.landmarks.indices import read_landmark_indices, vertex_embedding

__all__ = [
    "LANDMARK_FORMATS",
    "LANDMARK_SUFFIXES",
    "read_image_points",
    "read_landmark_indices",
    "read_landmarks",
    "read_landmarks_counted",
    "vertex_embedding",
    "write_image_points",
    "write_landmarks",
]
