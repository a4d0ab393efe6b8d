from .c_net_config import CNetConfig
from .config import TrainConfig
from .data.alignment import FaceFrame, align, cut
from .data.balance import balanced_weights
from .data.dataset import Dataset, DatasetWriter
from .data.faces import Faces, Truth
from .data.prepare import Prepared, PrepareSettings, prepare
from .networks.c_net import CNet, aggregate
from .networks.landmark_solve import LandmarkSolve
from .networks.outputs import OutputLayout
from .networks.r_net import RNet
from .networks.weights import load_network, save_network
from .onnx import export_onnx
from .scene import FaceScene
from .synthesis.dataset import RenderedDataset, render_dataset
from .synthesis.settings import SynthesisSettings

__all__ = [
    "CNet",
    "CNetConfig",
    "Dataset",
    "DatasetWriter",
    "FaceFrame",
    "FaceScene",
    "Faces",
    "LandmarkSolve",
    "OutputLayout",
    "PrepareSettings",
    "Prepared",
    "RNet",
    "RenderedDataset",
    "SynthesisSettings",
    "TrainConfig",
    "Truth",
    "aggregate",
    "align",
    "balanced_weights",
    "cut",
    "export_onnx",
    "load_network",
    "prepare",
    "render_dataset",
    "save_network",
]
