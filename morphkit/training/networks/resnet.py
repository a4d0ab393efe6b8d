"""ResNets with torchvision's weight names, so that ImageNet weights and others' backbones fit."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morphkit.torch_file import ensure_fits, read_torch_file

# What torchvision's ImageNet weights expect of sRGB 0..1.
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

_WIDTHS = (64, 128, 256, 512)
_SHALLOW_STEP = 8  # pixels of the picture between neighbours of the shallow features: 28 × 28 of 224


@dataclass(frozen=True, eq=False)
class Features:
    """What a backbone makes of pictures.

    Attributes
    ----------
    shallow : after the first layer, an eighth of the picture's side: 28 × 28 for 224 pixels.
    deep : after the last, averaged over the picture.
    middle : after the second layer, an eighth of the picture's side, too.
    """

    shallow: Float[Tensor, "batch k h w"]
    deep: Float[Tensor, "batch d"]
    middle: Float[Tensor, "batch k2 h2 w2"] | None = None


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions beside a short cut (He et al. 2016, figure 5, left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _short_cut(inputs, width, stride)

    def forward(self, x: Float[Tensor, "batch k h w"]) -> Float[Tensor, "batch k2 h2 w2"]:
        """Return the block's output."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        joined: Tensor = self.relu(out + (x if self.downsample is None else self.downsample(x)))
        return joined

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The normalisation before the short cut joins."""
        return self.bn2


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions; the 3 × 3 one takes the stride, as in torchvision."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _short_cut(inputs, outputs, stride)

    def forward(self, x: Float[Tensor, "batch k h w"]) -> Float[Tensor, "batch k2 h2 w2"]:
        """Return the block's output."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        joined: Tensor = self.relu(out + (x if self.downsample is None else self.downsample(x)))
        return joined

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The normalisation before the short cut joins."""
        return self.bn3


_KINDS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


class ResNet(nn.Module):
    """A ResNet (He et al. 2016) without its last, fully connected layer.

    Names and shapes of its weights are torchvision's; `load_backbone` reads such a file.

    Parameters
    ----------
    depth : 18 or 50.
    zero_gamma : let every block start as its short cut alone (Goyal et al. 2017, section 5.1), which eases
        training from scratch.

    Raises
    ------
    ValueError
        If there is no such depth.
    """

    def __init__(self, depth: int = 50, zero_gamma: bool = False) -> None:
        super().__init__()
        if depth not in _KINDS:
            raise ValueError(f"depth must be one of {', '.join(map(str, _KINDS))}, got {depth}")
        block, counts = _KINDS[depth]
        self.depth = depth
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = (_WIDTHS[0], *(block.expansion * width for width in _WIDTHS[:-1]))
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _layer(block, *sizes) for sizes in zip(inputs, _WIDTHS, counts, (1, 2, 2, 2), strict=True)
        )
        self.remember_colors()
        _initialise(self, zero_gamma)

    def remember_colors(self) -> None:
        """Set what pictures are normalised by, which is no part of the weights."""
        for name, values in (("mean", _IMAGENET_MEAN), ("deviation", _IMAGENET_DEVIATION)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    def load_backbone(self, path: str | os.PathLike[str]) -> None:
        """Take on the weights of a file of torchvision's, such as ImageNet's; its last layer is left out.

        Parameters
        ----------
        path : a state dict, ``.pth``; no code in it is run.

        Raises
        ------
        BadInputError
            When it is missing or damaged, or of another network; the first weight that differs is named.
        """
        needed = f"torchvision's state dict of a resnet{self.depth}"
        state = read_torch_file(path, needed, legacy=True)
        if isinstance(state, dict):
            named = {str(name).removeprefix("module."): value for name, value in state.items()}
            state = {name: value for name, value in named.items() if not name.startswith("fc.")}
        fitting = ensure_fits(path, state, self.state_dict(), needed, rest="num_batches_tracked")
        self.load_state_dict(fitting, strict=False)

    @property
    def shallow_channels(self) -> int:
        """How many channels the shallow features have: 64 or 256."""
        return _WIDTHS[0] * _KINDS[self.depth][0].expansion

    @property
    def middle_channels(self) -> int:
        """How many channels the middle features have: 128 or 512."""
        return _WIDTHS[1] * _KINDS[self.depth][0].expansion

    @property
    def deep_channels(self) -> int:
        """How many deep features there are: 512 or 2048."""
        return _WIDTHS[-1] * _KINDS[self.depth][0].expansion

    def forward(self, srgb: Float[Tensor, "batch 3 h w"]) -> Features:
        """Return the features of pictures, sRGB 0..1, normalised here as ImageNet's are."""
        x = (srgb - self.get_buffer("mean")) / self.get_buffer("deviation")
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        first = self.layer1(x)
        middle = self.layer2(first)
        deep = self.layer4(self.layer3(middle)).mean(dim=(2, 3))
        height, width = (max(1, side // _SHALLOW_STEP) for side in srgb.shape[2:])
        return Features(_pooled(first, (height, width)), deep, middle)


def _pooled(x: Tensor, size: tuple[int, int]) -> Tensor:
    if (2 * size[0], 2 * size[1]) == tuple(x.shape[2:]):
        return nn.functional.avg_pool2d(x, 2)  # the same as below, and faster
    return nn.functional.adaptive_avg_pool2d(x, size)


def _layer(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, width: int, count: int, stride: int
) -> nn.Sequential:
    outputs = width * block.expansion
    rest = (block(outputs, width, 1) for _ in range(count - 1))
    return nn.Sequential(block(inputs, width, stride), *rest)


def _short_cut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if inputs == outputs and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _initialise(network: ResNet, zero_gamma: bool) -> None:
    """Draw the convolutions after He et al. 2015; the normalisations start as they are."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif zero_gamma and isinstance(module, BasicBlock | Bottleneck):
            nn.init.zeros_(module.last_norm.weight)
