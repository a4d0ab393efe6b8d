"""R-Net as an ONNX file, for programs without torch."""

from __future__ import annotations

import json
import os
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morphkit.errors import BadInputError, MissingDependencyError
from morphkit.io.atomic import atomic_path
from morphkit.training.networks.r_net import RNet
from morphkit.training.networks.weights import load_network

INPUTS = ("srgb", "landmarks")
_OPSET = 18
_PACKAGES = ("onnx", "onnxscript")


def export_onnx(weights: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write an R-Net as an ONNX file.

    Its input, ``srgb``, is float32 (batch, s, s, 3): aligned crops as pictures are stored, sRGB 0..1 (codes
    over 255), row 0 at the top. A guided network has a second one, ``landmarks``, float32 (batch, 68, 2): the
    iBUG points in the crop's pixels, its outer corner at (0, 0), NaN where unknown. The outputs are the heads
    by name, (batch, n) each, in the order of the layout's vector; any number of crops goes. The file's
    metadata says the rest: ``preset``, ``size``, ``model_digest`` and ``heads`` (JSON).

    Parameters
    ----------
    weights : a file of `save_network`.
    path : the target, usually ``*.onnx``; one file with all weights in it.

    Raises
    ------
    BadInputError
        When `weights` cannot be used, or is a C-Net.
    MissingDependencyError
        When onnx or onnxscript is not installed.
    OutputError
        When `path` cannot be written.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"Writing ONNX files needs {' and '.join(missing)}, not installed here: install them with "
            '`pip install "morphkit-3dmm[onnx]"`.'
        )
    network, meta = load_network(weights)
    if not isinstance(network, RNet):
        raise BadInputError(f"{weights}: a C-Net, which needs R-Net's features; give an R-Net's weights.")
    _write(_Pictures(network), meta, path)


class _Pictures(nn.Module):
    """R-Net for pictures with their colours last, and landmarks if guided; its heads as a tuple."""

    def __init__(self, network: RNet) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, srgb: Float[Tensor, "batch s s 3"], landmarks: Float[Tensor, "batch 68 2"] | None = None
    ) -> tuple[Tensor, ...]:
        return tuple(self.network(srgb.permute(0, 3, 1, 2), landmarks).heads.values())


def _write(pictures: _Pictures, meta: dict[str, Any], path: str | os.PathLike[str]) -> None:
    size = meta["size"]
    examples = (torch.zeros(2, size, size, 3), size * torch.rand(2, 68, 2))[: 2 if meta["guided"] else 1]
    names, batch = INPUTS[: len(examples)], torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own parts
        program = torch.onnx.export(
            pictures.eval(),
            examples,
            input_names=list(names),
            output_names=list(meta["heads"]),
            dynamic_shapes={name: {0: batch} for name in names},
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export made no program")
    told = {name: str(meta[name]) for name in ("preset", "size", "model_digest")}
    program.model.metadata_props.update(told | {"heads": json.dumps(meta["heads"])})
    with atomic_path(path) as temporary:
        program.save(str(temporary), external_data=False)
