"""The rasterizer contract on a CPU: numba loops inside torch autograd functions, float32 or float64.

Results and gradients are the same, bit for bit, for any number of threads: forward passes write each pixel
once; backward passes sum in buffers whose number and order depend on the sizes alone, or into rows that one
thread owns.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from morphkit.rendering import _cpu_interpolate, _cpu_rasterize, _cpu_texture
from morphkit.rendering._cpu_antialias import Antialiaser


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

    rasterize = staticmethod(_cpu_rasterize.rasterize)
    rasterize_with_derivatives = staticmethod(_cpu_rasterize.rasterize_with_derivatives)
    interpolate = staticmethod(_cpu_interpolate.interpolate)
    interpolate_with_derivatives = staticmethod(_cpu_interpolate.interpolate_with_derivatives)
    texture = staticmethod(_cpu_texture.texture)

    def antialias(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Blend pixels across silhouettes."""
        return self._antialias(color, rast, vertices_clip, faces)
