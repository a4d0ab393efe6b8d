from .data.alignment import FaceFrame, align, cut
from .data.balance import balanced_weights
from .data.dataset import Dataset, DatasetWriter
from .data.faces import Faces, Truth
from .data.prepare import Prepared, PrepareSettings, prepare

__all__ = [
    "Dataset",
    "DatasetWriter",
    "FaceFrame",
    "Faces",
    "PrepareSettings",
    "Prepared",
    "Truth",
    "align",
    "balanced_weights",
    "cut",
    "prepare",
]
