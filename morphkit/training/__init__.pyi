from .data.dataset import Dataset, DatasetWriter
from .data.faces import Faces, Truth

__all__ = [
    "Dataset",
    "DatasetWriter",
    "Faces",
    "Truth",
]
