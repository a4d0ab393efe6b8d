"""The contract on a GPU, by nvdiffrast (NVIDIA Source Code License: non-commercial use).

Its tensors are ours: NHWC, the same row order, the same ids, the same coordinates of textures. So each
method is one call between two conversions, and those do nothing where tensors are contiguous float32 on the
GPU already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.errors import MissingDependencyError
from morphkit.rendering._texture_arguments import level_count, resolved_filter
from morphkit.rendering.rasterizer import Boundary, Filter

_REMEDY = (
    "install it with `pip install diffrp-nvdiffrast` (NVIDIA's licence: non-commercial use; it compiles "
    "at first use and needs nvcc and ninja), or choose 'torch' or 'numba'"
)


class NvdiffrastRasterizer:
    """The contract of `morphkit.rendering.rasterizer.Rasterizer`, computed on the GPU in float32.

    Tensors that live elsewhere, or in float64, are carried there and the results back, gradients included.
    Silhouettes are sought among the edges of visible triangles only, as by
    ``TorchRasterizer(silhouette_steps=1)``. Pictures of any size need nvdiffrast 0.3.3 or later.

    Parameters
    ----------
    device : which GPU.

    Raises
    ------
    MissingDependencyError
        If there is no CUDA device or nvdiffrast cannot be imported.
    """

    def __init__(self, device: str | torch.device = "cuda") -> None:
        self._device = torch.device(device)
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise MissingDependencyError(
                "The rasterizer 'nvdiffrast' needs an NVIDIA GPU that torch sees; choose 'torch' or 'numba'."
            )
        try:
            import nvdiffrast.torch as dr
        except ImportError as error:
            raise MissingDependencyError(
                f"The rasterizer 'nvdiffrast' is not installed: {_REMEDY}."
            ) from error
        self._dr: Any = dr
        self._context: Any = dr.RasterizeCudaContext(device=self._device)
        self._last: _Topology | None = None

    def rasterize(
        self,
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
        resolution: tuple[int, int],
        ranges: Int[Tensor, "batch 2"] | None = None,
    ) -> Float[Tensor, "batch h w 4"]:
        """Return (u, v, z/w, face index + 1) per pixel."""
        rast, _ = self._rasterize(vertices_clip, faces, resolution, ranges, derivatives=False)
        return rast.to(vertices_clip)

    def rasterize_with_derivatives(
        self,
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
        resolution: tuple[int, int],
        ranges: Int[Tensor, "batch 2"] | None = None,
    ) -> tuple[Float[Tensor, "batch h w 4"], Float[Tensor, "batch h w 4"]]:
        """Return what `rasterize` does, and (du/dX, du/dY, dv/dX, dv/dY) by the pixel coordinates."""
        rast, by_pixel = self._rasterize(vertices_clip, faces, resolution, ranges, derivatives=True)
        return rast.to(vertices_clip), by_pixel.to(vertices_clip)

    def interpolate(
        self,
        attributes: Float[Tensor, "instances v c"] | Float[Tensor, "v c"],
        rast: Float[Tensor, "batch h w 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Return vertex attributes at each pixel."""
        tri = self._topology(faces).tri
        values: Tensor = self._dr.interpolate(self._values(attributes), self._values(rast), tri)[0]
        return values.to(attributes)

    def interpolate_with_derivatives(
        self,
        attributes: Float[Tensor, "instances v c"] | Float[Tensor, "v c"],
        rast: Float[Tensor, "batch h w 4"],
        faces: Int[Tensor, "f 3"],
        rast_derivatives: Float[Tensor, "batch h w 4"],
        channels: Sequence[int] | None = None,
    ) -> tuple[Float[Tensor, "batch h w c"], Float[Tensor, "batch h w d"]]:
        """Return what `interpolate` does, and (da/dX, da/dY) of the named channels, side by side."""
        values, derivatives = self._dr.interpolate(
            self._values(attributes),
            self._values(rast),
            self._topology(faces).tri,
            rast_db=self._values(rast_derivatives),
            diff_attrs="all" if channels is None else list(channels),
        )
        return values.to(attributes), derivatives.to(attributes)

    def texture(
        self,
        texture: Float[Tensor, "instances th tw c"],
        uv: Float[Tensor, "batch h w 2"],
        uv_derivatives: Float[Tensor, "batch h w 4"] | None = None,
        mip_level_bias: Float[Tensor, "batch h w"] | None = None,
        *,
        mip: Sequence[Tensor] | None = None,
        filter_mode: Filter = "auto",
        boundary: Boundary = "wrap",
        max_mip_level: int | None = None,
    ) -> Float[Tensor, "batch h w c"]:
        """Return a texture's colours at given coordinates."""
        filter_mode = resolved_filter(filter_mode, uv_derivatives is not None or mip_level_bias is not None)
        options: dict[str, Any] = {"filter_mode": filter_mode, "boundary_mode": boundary}
        if "mipmap" in filter_mode:
            levels = level_count(texture, mip, max_mip_level)
            options["max_mip_level"] = levels
            options["mip"] = [self._values(level) for level in mip[:levels]] if mip and levels else None
            options["uv_da"] = None if uv_derivatives is None else self._values(uv_derivatives)
            options["mip_level_bias"] = None if mip_level_bias is None else self._values(mip_level_bias)
        colors: Tensor = self._dr.texture(self._values(texture), self._values(uv), **options)
        return colors.to(texture)

    def antialias(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Blend pixels across silhouettes."""
        topology = self._topology(faces)
        edges = topology.edges
        if edges is None:
            edges = self._dr.antialias_construct_topology_hash(topology.tri)
            if self._last is topology:
                self._last = topology._replace(edges=edges)
        blended: Tensor = self._dr.antialias(
            self._values(color),
            self._values(rast),
            self._values(vertices_clip),
            topology.tri,
            topology_hash=edges,
        )
        return blended.to(color)

    def _rasterize(
        self,
        vertices_clip: Tensor,
        faces: Tensor,
        resolution: tuple[int, int],
        ranges: Tensor | None,
        derivatives: bool,
    ) -> tuple[Tensor, Tensor]:
        rast, by_pixel = self._dr.rasterize(
            self._context,
            self._values(vertices_clip),
            self._topology(faces).tri,
            resolution,
            ranges=None if ranges is None else ranges.to("cpu", torch.int32).contiguous(),
            grad_db=derivatives,
        )
        return rast, by_pixel

    def _values(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, torch.float32).contiguous()

    def _topology(self, faces: Tensor) -> _Topology:
        # A fit shows the same faces again and again. They count as the same while the tensor is, and nobody
        # has written into it as far as torch counts that: not through `faces.data`, nor through numpy.
        version = None if faces.is_inference() else faces._version
        last = self._last
        if last is None or last.faces is not faces or last.version != version:
            last = _Topology(faces, version, faces.to(self._device, torch.int32).contiguous(), None)
            if faces.device.type == self._device.type and version is not None:
                self._last = last
        return last


class _Topology(NamedTuple):
    """Faces as they were given, how often they had been written into, and nvdiffrast's forms of them."""

    faces: Tensor
    version: int | None
    tri: Tensor
    edges: Any
