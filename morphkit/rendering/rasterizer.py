"""The contract that every rasterizing backend fulfils, and the choice of one.

It is nvdiffrast's (Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
arXiv 2011.03277): tensors are NHWC, row 0 holds NDC y = -1, the centre of pixel (row j, column i) lies at NDC
(2 (i + 0.5) / width - 1, 2 (j + 0.5) / height - 1), a larger z/w is farther, nothing is culled by facing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

Backend = Literal["numba", "torch", "nvdiffrast"]
Filter = Literal["auto", "nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear"]
Boundary = Literal["wrap", "clamp", "zero"]


@runtime_checkable
class Rasterizer(Protocol):
    """Four differentiable operations from which a renderer is written in a few lines.

    Vertices come **instanced**, (batch, v, 4) with the same faces in every image, or, with `ranges`, as one
    set (v, 4) of which image i shows the faces ``ranges[i, 0]`` to ``ranges[i, 0] + ranges[i, 1]``.
    Attributes follow: (batch, v, c), (1, v, c) for the same in every image, or (v, c) with `ranges`.
    """

    def rasterize(
        self,
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
        resolution: tuple[int, int],
        ranges: Int[Tensor, "batch 2"] | None = None,
    ) -> Float[Tensor, "batch h w 4"]:
        """Return (u, v, z/w, face index + 1) per pixel, zeros where nothing is seen.

        u and v are the perspective-correct weights of a face's first and second corner. Gradients reach x, y
        and w of `vertices_clip` through u and v, none passes through z/w or the index. `resolution` is
        (height, width).
        """
        ...

    def rasterize_with_derivatives(
        self,
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
        resolution: tuple[int, int],
        ranges: Int[Tensor, "batch 2"] | None = None,
    ) -> tuple[Float[Tensor, "batch h w 4"], Float[Tensor, "batch h w 4"]]:
        """Return what `rasterize` does, and (du/dX, du/dY, dv/dX, dv/dY) by the pixel coordinates X and Y.

        Gradients reach `vertices_clip` through both.
        """
        ...

    def interpolate(
        self,
        attributes: Float[Tensor, "instances v c"] | Float[Tensor, "v c"],
        rast: Float[Tensor, "batch h w 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Return vertex attributes at each pixel, zeros where nothing is seen; one instance may serve all.

        Gradients reach the attributes and u, v of `rast`.
        """
        ...

    def interpolate_with_derivatives(
        self,
        attributes: Float[Tensor, "instances v c"] | Float[Tensor, "v c"],
        rast: Float[Tensor, "batch h w 4"],
        faces: Int[Tensor, "f 3"],
        rast_derivatives: Float[Tensor, "batch h w 4"],
        channels: Sequence[int] | None = None,
    ) -> tuple[Float[Tensor, "batch h w c"], Float[Tensor, "batch h w d"]]:
        """Return what `interpolate` does, and (da/dX, da/dY) of the named channels, or of all, side by side.

        Gradients reach the attributes, u, v of `rast`, and `rast_derivatives`.
        """
        ...

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
        """Return a texture's colours at given coordinates; one instance may serve all images.

        Row 0 of the texture lies at v = 0, the centre of texel (row j, column i) at
        ((i + 0.5) / tw, (j + 0.5) / th). With a mip-mapping filter the level is log2 of the longer axis of
        the pixel's footprint in texels, from `uv_derivatives` = (du/dX, du/dY, dv/dX, dv/dY), plus
        `mip_level_bias`; each level averages 2 x 2 texels of the one before, or is taken from `mip` (level 1
        on). "auto" is "linear" without derivatives and bias, else "linear-mipmap-linear". Gradients reach all
        four tensors, and `mip`.
        """
        ...

    def antialias(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Blend pixels across silhouettes by where the silhouette edge passes between their centres.

        Gradients reach the colours, and x, y and w of the silhouette's vertices: the only way in which an
        outline pulls on a mesh. Vertices must be welded: an edge with one triangle counts as a silhouette.
        """
        ...


def get_rasterizer(backend: Backend = "numba") -> Rasterizer:
    """Return a rasterizer. It is chosen, never guessed.

    Parameters
    ----------
    backend : "numba" draws CPU tensors in float32 or float64, exactly and the same for any number of threads;
        "torch" draws tensors where they are, on any device of torch, by torch's own operations;
        "nvdiffrast" draws on an NVIDIA GPU in float32, under a licence for non-commercial use.

    Raises
    ------
    MissingDependencyError
        If `backend` is "nvdiffrast" and it or a GPU is missing; the message says what to do.
    ValueError
        If `backend` is none of these.
    """
    if backend == "numba":
        from morphkit.rendering._cpu import CpuRasterizer

        return CpuRasterizer()
    if backend == "torch":
        from morphkit.rendering._torch import TorchRasterizer

        return TorchRasterizer()
    if backend == "nvdiffrast":
        from morphkit.rendering._nvdiffrast import NvdiffrastRasterizer

        return NvdiffrastRasterizer()
    raise ValueError(f"backend must be one of {', '.join(get_args(Backend))}, got {backend!r}")
