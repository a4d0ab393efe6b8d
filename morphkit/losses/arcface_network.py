"""The face-recognition ResNets that ArcFace made common (Deng et al. 2019b, arXiv 1801.07698): layout only.

Their weights come with licences of their own, mostly for research; morphkit brings none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morphkit.errors import BadInputError
from morphkit.torch_file import ensure_fits, read_torch_file

CHIP = 112  # pixels
_WIDTHS = (64, 128, 256, 512)
_LAST_CELLS = (CHIP // 16) ** 2
_EMBEDDING = 512
_NEEDED = "the state dict of an iresnet18, 34, 50 or 100"


class Block(nn.Module):
    """Normalise, filter, normalise, bend, filter, normalise; and a short cut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None if stride == 1 else _short_cut(inputs, outputs, stride)

    def forward(self, x: Float[Tensor, "batch k h w"]) -> Float[Tensor, "batch k2 h2 w2"]:
        """Return the block's output."""
        filtered: Tensor = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return filtered + (x if self.downsample is None else self.downsample(x))


class ArcFaceNetwork(nn.Module):
    """From 112 × 112 pixels of an aligned face to 512 numbers.

    Parameters
    ----------
    depths : blocks in each of the four layers: 2 2 2 2 is r18, 3 4 6 3 r34, 3 4 14 3 r50, 3 13 30 3 r100.
    """

    def __init__(self, depths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.prelu = nn.PReLU(_WIDTHS[0])
        inputs = (_WIDTHS[0], *_WIDTHS[:-1])
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(Block(a, b, 2), *(Block(b, b, 1) for _ in range(depth - 1)))
            for a, b, depth in zip(inputs, _WIDTHS, depths, strict=True)
        )
        self.bn2 = nn.BatchNorm2d(_WIDTHS[-1])
        self.fc = nn.Linear(_WIDTHS[-1] * _LAST_CELLS, _EMBEDDING)
        self.features = nn.BatchNorm1d(_EMBEDDING)

    def forward(self, srgb: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 512"]:
        """Return the embeddings of sRGB pictures 0..1."""
        x = self.prelu(self.bn1(self.conv1(2.0 * srgb - 1.0)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        embedding: Tensor = self.features(self.fc(self.bn2(x).flatten(1)))
        return embedding


def read_arcface_network(path: str | os.PathLike[str]) -> ArcFaceNetwork:
    """Read the state dict of an ``iresnet`` of any depth, a ``.pt`` or ``.pth`` file; no code in it is run.

    Raises
    ------
    BadInputError
        When the file is missing or holds something else; the message names the first thing that doesn't fit.
    """
    values = read_torch_file(path, _NEEDED, legacy=True)
    if not isinstance(values, Mapping):
        raise BadInputError(f"{path}: no mapping from names to tensors; {_NEEDED} is needed.")
    state = {str(name).removeprefix("module."): value for name, value in values.items()}
    numbers = [_block_count(state, layer) for layer in (1, 2, 3, 4)]
    if 0 in numbers:
        raise BadInputError(f"{path}: no weights of layer{numbers.index(0) + 1}; {_NEEDED} is needed.")
    with torch.device("meta"):  # no memory, no random numbers: all values come from the file
        network = ArcFaceNetwork((numbers[0], numbers[1], numbers[2], numbers[3]))
    fitting = ensure_fits(path, state, network.state_dict(), _NEEDED)
    network.load_state_dict(fitting, assign=True)
    return network.float().eval().requires_grad_(False)


def _block_count(state: Mapping[str, object], layer: int) -> int:
    matches = (re.match(rf"layer{layer}\.(\d{{1,3}})\.", name) for name in state)
    return 1 + max((int(match[1]) for match in matches if match), default=-1)


def _short_cut(inputs: int, outputs: int, stride: int) -> Any:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
