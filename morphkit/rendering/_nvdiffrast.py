"""The contract on a GPU, by nvdiffrast (NVIDIA Source Code License: non-commercial use)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.errors import MissingDependencyError

_REMEDY = (
    "install it with `pip install diffrp-nvdiffrast` (NVIDIA's licence: non-commercial use; it compiles "
    "at first use and needs nvcc and ninja), or choose 'torch' or 'numba'"
)


class NvdiffrastRasterizer:
    """The contract of `morphkit.rendering.rasterizer.Rasterizer`, computed on the GPU in float32.

    Tensors that live elsewhere, or in float64, are carried there and the results back, gradients included.

    Raises
    ------
    MissingDependencyError
        If there is no CUDA device or nvdiffrast cannot be imported.
    """

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            raise MissingDependencyError(
                "The rasterizer 'nvdiffrast' needs an NVIDIA GPU that torch can see; choose 'numba'."
            )
        try:
            import nvdiffrast.torch as dr
        except ImportError as error:
            raise MissingDependencyError(
                f"The rasterizer 'nvdiffrast' is not installed: {_REMEDY}."
            ) from error
        self._dr: Any = dr
        self._context: Any = dr.RasterizeCudaContext()

    def rasterize(
        self,
        vertices_clip: Float[Tensor, "batch v 4"],
        faces: Int[Tensor, "f 3"],
        resolution: tuple[int, int],
    ) -> Float[Tensor, "batch h w 4"]:
        """Return (u, v, z/w, face index + 1) per pixel."""
        pos, tri = _values(vertices_clip), _indices(faces)
        rast: Tensor = self._dr.rasterize(self._context, pos, tri, resolution, grad_db=False)[0]
        return rast.to(vertices_clip)

    def interpolate(
        self,
        attributes: Float[Tensor, "instances v c"],
        rast: Float[Tensor, "batch h w 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Return vertex attributes at each pixel."""
        values: Tensor = self._dr.interpolate(_values(attributes), _values(rast), _indices(faces))[0]
        return values.to(attributes)

    def antialias(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Blend pixels across silhouettes."""
        values = _values(color), _values(rast), _values(vertices_clip)
        blended: Tensor = self._dr.antialias(*values, _indices(faces))
        return blended.to(color)


def _values(tensor: Tensor) -> Tensor:
    return tensor.to("cuda", torch.float32).contiguous()


def _indices(tensor: Tensor) -> Tensor:
    return tensor.to("cuda", torch.int32).contiguous()
