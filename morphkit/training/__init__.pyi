from .data.alignment import FaceFrame, align, cut
from .data.dataset import Dataset, DatasetWriter
from .data.faces import Faces, Truth

__all__ = [
    "Dataset",
    "DatasetWriter",
    "FaceFrame",
    "Faces",
    "Truth",
    "align",
    "cut",
]
