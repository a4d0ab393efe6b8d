"""The rasterizer contract on a CPU: numba loops inside torch autograd functions, float32 or float64.

Results and gradients are the same, bit for bit, for any number of threads: forward passes write each pixel
once; backward passes sum in buffers whose number and order depend on the sizes alone, or into rows that one
thread owns.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from morphkit.rendering import _cpu_interpolate, _cpu_rasterize, _cpu_texture
from morphkit.rendering._cpu_antialias import Antialiaser
from morphkit.rendering.rasterizer import Boundary, Filter


class CpuRasterizer:
    """The contract of `morphkit.rendering.rasterizer.Rasterizer` on CPU tensors in float32 or float64.

    Parameters
    ----------
    silhouette_steps : how many triangles `antialias` walks over between two pixel centres to find the
        silhouette edge. With 1 only the visible triangle's own edges count, as in nvdiffrast; more lets
        meshes whose triangles are smaller than a pixel feel their outline.
    """

    def __init__(self, silhouette_steps: int = 1000) -> None:
        self._antialias = Antialiaser(silhouette_steps)

    def rasterize(
        self,
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
        resolution: tuple[int, int],
        ranges: Int[Tensor, "batch 2"] | None = None,
    ) -> Float[Tensor, "batch h w 4"]:
        """Return (u, v, z/w, face index + 1) per pixel."""
        return _cpu_rasterize.rasterize(vertices_clip, faces, resolution, ranges)

    def rasterize_with_derivatives(
        self,
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
        resolution: tuple[int, int],
        ranges: Int[Tensor, "batch 2"] | None = None,
    ) -> tuple[Float[Tensor, "batch h w 4"], Float[Tensor, "batch h w 4"]]:
        """Return `rasterize`'s and (du/dX, du/dY, dv/dX, dv/dY) by the pixel coordinates."""
        return _cpu_rasterize.rasterize_with_derivatives(vertices_clip, faces, resolution, ranges)

    def interpolate(
        self,
        attributes: Float[Tensor, "instances v c"] | Float[Tensor, "v c"],
        rast: Float[Tensor, "batch h w 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Return vertex attributes at each pixel."""
        return _cpu_interpolate.interpolate(attributes, rast, faces)

    def interpolate_with_derivatives(
        self,
        attributes: Float[Tensor, "instances v c"] | Float[Tensor, "v c"],
        rast: Float[Tensor, "batch h w 4"],
        faces: Int[Tensor, "f 3"],
        rast_derivatives: Float[Tensor, "batch h w 4"],
        channels: Sequence[int] | None = None,
    ) -> tuple[Float[Tensor, "batch h w c"], Float[Tensor, "batch h w d"]]:
        """Return vertex attributes at each pixel, and (da/dX, da/dY) of some channels or all."""
        return _cpu_interpolate.interpolate_with_derivatives(
            attributes, rast, faces, rast_derivatives, channels
        )

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
        return _cpu_texture.texture(
            texture,
            uv,
            uv_derivatives,
            mip_level_bias,
            mip=mip,
            filter_mode=filter_mode,
            boundary=boundary,
            max_mip_level=max_mip_level,
        )

    def antialias(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Blend pixels across silhouettes."""
        return self._antialias(color, rast, vertices_clip, faces)
