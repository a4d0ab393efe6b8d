"""dlib's face recognition network in torch: a ResNet of 29 convolutions (King 2017)."""

from __future__ import annotations

import os

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morphkit.losses._dlib_file import DlibFile

CHIP = 150  # pixels
WIDTHS = (32,) * 3 + (64,) * 4 + (128,) * 3 + (256,) * 3 + (256,)  # output channels of the 14 blocks
HALVING = (3, 7, 10, 13)  # the blocks that halve the picture
EMBEDDING = 128
SAME_PERSON = 0.6  # embeddings nearer than this are of one person, says its author

_MEAN_COLOR = (122.782, 117.001, 104.298)  # red, green, blue codes
_COLOR_SCALE = 256.0
_NEGLIGIBLE = 1e-30


class Block(nn.Module):
    """Two convolutions beside a short cut; where their shapes differ, what is missing counts as zero."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 0 if stride > 1 else 1)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.stride = stride

    def forward(self, x: Float[Tensor, "batch k h w"]) -> Float[Tensor, "batch k2 h2 w2"]:
        """Return the block's output."""
        filtered = self.second(self.first(x).relu())
        short = x if self.stride == 1 else nn.functional.avg_pool2d(x, 2)
        shape = [max(a, b) for a, b in zip(filtered.shape[1:], short.shape[1:], strict=True)]
        return (_filled(filtered, shape) + _filled(short, shape)).relu()


class DlibFaceNetwork(nn.Module):
    """From 150 × 150 pixels of an aligned face to 128 numbers; those of one person lie within 0.6."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, WIDTHS[0], 7, 2, 0)
        inputs = (WIDTHS[0], *WIDTHS[:-1])
        strides = [2 if number in HALVING else 1 for number in range(len(WIDTHS))]
        self.blocks = nn.Sequential(*map(Block, inputs, WIDTHS, strides))
        self.head = nn.Linear(WIDTHS[-1], EMBEDDING, bias=False)

    def forward(self, srgb: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 128"]:
        """Return the embeddings of sRGB pictures 0..1."""
        x = (255.0 * srgb - srgb.new_tensor(_MEAN_COLOR)[:, None, None]) / _COLOR_SCALE
        x = nn.functional.max_pool2d(self.entry(x).relu(), 3, 2)
        x = self.blocks(x).mean(dim=(2, 3))
        embedding: Tensor = self.head(x)
        return embedding


def read_dlib_network(path: str | os.PathLike[str]) -> DlibFaceNetwork:
    """Read ``dlib_face_recognition_resnet_model_v1.dat``.

    Weights below 1e-30 become zero: they change nothing, but numbers that small take a processor a hundred
    times as long.

    Raises
    ------
    BadInputError
        When the file is missing, cut off, or another network.
    """
    file, network = DlibFile.open(path), DlibFaceNetwork()
    for layer in network.modules():  # in the order in which they compute, which is the file's
        if isinstance(layer, nn.Conv2d):
            _read_convolution(file, layer)
    file.find_layer("fc_2")
    file.expect("the embedding's and its input's size", EMBEDDING, WIDTHS[-1])
    _assign(network.head.weight, torch.from_numpy(file.tensor(WIDTHS[-1], EMBEDDING)).T)
    return network.eval().requires_grad_(False)


def _read_convolution(file: DlibFile, convolution: nn.Conv2d) -> None:
    """Read a convolution and the scale and offset that follow it, folded into it."""
    outputs, inputs, height, width = convolution.weight.shape
    file.find_layer("con_4")
    values = torch.from_numpy(file.tensor(outputs * (inputs * height * width + 1)))
    steps = *convolution.stride, *(int(size) for size in convolution.padding)
    file.expect("a convolution's filters, size, stride and padding", outputs, height, width, *steps)
    weight, bias = torch.split(values, [convolution.weight.numel(), outputs])
    file.find_layer("affine_")
    scale, offset = torch.from_numpy(file.tensor(2, outputs))
    _assign(convolution.weight, weight.reshape(convolution.weight.shape) * scale[:, None, None, None])
    _assign(convolution.get_parameter("bias"), bias * scale + offset)


def _assign(parameter: Tensor, values: Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(torch.where(values.abs() < _NEGLIGIBLE, 0.0, values))


def _filled(x: Float[Tensor, "batch k h w"], shape: list[int]) -> Float[Tensor, "batch k2 h2 w2"]:
    channels, height, width = (wanted - have for wanted, have in zip(shape, x.shape[1:], strict=True))
    return nn.functional.pad(x, (0, width, 0, height, 0, channels))
