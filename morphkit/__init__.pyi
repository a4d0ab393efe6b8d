from .archive import load_default_model, load_model, save_model
from .building import build_basis, register
from .commands.completion import complete
from .commands.conversion import convert
from .commands.demonstration import demo
from .commands.diagnosis import doctor
from .commands.downloads import get
from .commands.evaluation import evaluate
from .commands.fit import fit
from .commands.fit_evaluation import evaluate_fits
from .commands.landmarks import detect_landmarks
from .commands.models import info, sample
from .commands.predict import predict, predict_person
from .commands.train import train, train_c_net
from .errors import BadInputError, MorphkitError, NoFaceError
from .fitting import FitResult, FitSettings, fit_folder, fit_image
from .io.images import read_image, write_image
from .io.landmarks import read_landmarks, write_landmarks
from .io.meshes import read_mesh, write_mesh
from .mesh import Landmarks, Mesh, Template
from .model import FaceModel
from .morphable import LinearModel, MorphableModel
from .training import prepare, render_dataset
from .transfer import complete_model, convert_coefficients, embed_model, transfer_model
from .viewer import view

__all__ = [
    "BadInputError",
    "FaceModel",
    "FitResult",
    "FitSettings",
    "Landmarks",
    "LinearModel",
    "Mesh",
    "MorphableModel",
    "MorphkitError",
    "NoFaceError",
    "Template",
    "build_basis",
    "complete",
    "complete_model",
    "convert",
    "convert_coefficients",
    "demo",
    "detect_landmarks",
    "doctor",
    "embed_model",
    "evaluate",
    "evaluate_fits",
    "fit",
    "fit_folder",
    "fit_image",
    "get",
    "info",
    "load_default_model",
    "load_model",
    "predict",
    "predict_person",
    "prepare",
    "read_image",
    "read_landmarks",
    "read_mesh",
    "register",
    "render_dataset",
    "sample",
    "save_model",
    "train",
    "train_c_net",
    "transfer_model",
    "view",
    "write_image",
    "write_landmarks",
    "write_mesh",
]

__version__: str
