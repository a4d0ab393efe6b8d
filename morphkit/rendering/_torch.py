"""The rasterizer contract by torch's own operations, on whatever device the tensors are."""

from __future__ import annotations

from typing import cast

from jaxtyping import Float, Int
from torch import Tensor

from morphkit.rendering import _torch_interpolate, _torch_rasterize, _torch_texture
from morphkit.rendering._torch_antialias import Antialiaser
from morphkit.rendering._torch_lists import usual_length


class TorchRasterizer:
    """The contract of `morphkit.rendering.rasterizer.Rasterizer` on any device of torch, float32 or float64.

    It needs nothing but torch. What a pixel sees is decided in double precision, by the same arithmetic as
    in `CpuRasterizer`, and comes out the same bit for bit; only on Apple's MPS, which has no double, in
    single precision, where a pixel whose centre lies within rounding of an edge may go to the other side.
    Forward passes are the same in every run. Sums of gradients are too on a CPU; on a GPU their order, and so
    their last digits, vary unless ``torch.use_deterministic_algorithms(True)`` is set.

    Parameters
    ----------
    silhouette_steps : how many triangles `antialias` walks over between two pixel centres to find the
        silhouette edge. With 1 only the visible triangle's own edges count, as in nvdiffrast; more lets
        meshes whose triangles are smaller than a pixel feel their outline.
    list_length : how many triangles, rows or pixels are worked on at a time. Working memory is some 500 bytes
        for each; results don't depend on it. If None, 65,536 on a CPU, so that most of it stays in the
        caches, and a million elsewhere.
    """

    def __init__(self, silhouette_steps: int = 1000, list_length: int | None = None) -> None:
        if list_length is not None and list_length < 1:
            raise ValueError(f"list_length must be positive, got {list_length}")
        self._list_length = list_length
        self._antialias = Antialiaser(silhouette_steps, list_length)

    def rasterize(
        self,
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
        resolution: tuple[int, int],
        ranges: Int[Tensor, "batch 2"] | None = None,
    ) -> Float[Tensor, "batch h w 4"]:
        """Return (u, v, z/w, face index + 1) per pixel."""
        arguments = vertices_clip, faces, resolution, ranges
        rast, _ = _torch_rasterize.rasterize(*arguments, derivatives=False, limit=self._limit(faces))
        return rast

    def rasterize_with_derivatives(
        self,
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
        resolution: tuple[int, int],
        ranges: Int[Tensor, "batch 2"] | None = None,
    ) -> tuple[Float[Tensor, "batch h w 4"], Float[Tensor, "batch h w 4"]]:
        """Return what `rasterize` does, and (du/dX, du/dY, dv/dX, dv/dY) by the pixel coordinates."""
        arguments = vertices_clip, faces, resolution, ranges
        both = _torch_rasterize.rasterize(*arguments, derivatives=True, limit=self._limit(faces))
        return cast("tuple[Tensor, Tensor]", both)

    interpolate = staticmethod(_torch_interpolate.interpolate)
    interpolate_with_derivatives = staticmethod(_torch_interpolate.interpolate_with_derivatives)
    texture = staticmethod(_torch_texture.texture)

    def antialias(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Blend pixels across silhouettes."""
        return self._antialias(color, rast, vertices_clip, faces)

    def _limit(self, faces: Tensor) -> int:
        return self._list_length or usual_length(faces.device)
