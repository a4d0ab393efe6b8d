"""The contract that every rasterizing backend fulfils, and the choice of one.

It is nvdiffrast's (Laine et al. 2020, "Modular Primitives for High-Performance Differentiable Rendering",
arXiv 2011.03277): tensors are NHWC, row 0 holds NDC y = -1, the centre of pixel (row j, column i) lies at NDC
(2 (i + 0.5) / width - 1, 2 (j + 0.5) / height - 1), a larger z/w is farther, nothing is culled by facing.
"""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class Rasterizer(Protocol):
    """Three differentiable operations from which a renderer is written in a few lines."""

    def rasterize(
        self,
        vertices_clip: Float[Tensor, "batch v 4"],
        faces: Int[Tensor, "f 3"],
        resolution: tuple[int, int],
    ) -> Float[Tensor, "batch h w 4"]:
        """Return (u, v, z/w, face index + 1) per pixel, zeros where nothing is seen.

        u and v are the perspective-correct weights of a face's first and second corner. Gradients reach x, y
        and w of `vertices_clip` through u and v, none passes through z/w or the index. `resolution` is
        (height, width).
        """
        ...

    def interpolate(
        self,
        attributes: Float[Tensor, "instances v c"],
        rast: Float[Tensor, "batch h w 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Return vertex attributes at each pixel, zeros where nothing is seen; one instance may serve all.

        Gradients reach the attributes and u, v of `rast`.
        """
        ...

    def antialias(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Blend pixels across silhouettes by where the silhouette edge passes between their centres.

        Gradients reach the colours, and x, y and w of the silhouette's vertices: the only way in which an
        outline pulls on a mesh. Vertices must be welded: an edge with one triangle counts as a silhouette.
        """
        ...


def get_rasterizer(device: Literal["cpu", "cuda"] = "cpu") -> Rasterizer:
    """Return the rasterizer for a device: numba on "cpu", nvdiffrast on "cuda". It is chosen, never guessed.

    Raises
    ------
    MissingDependencyError
        If `device` is "cuda" and nvdiffrast or a GPU is missing; the message says what to do.
    ValueError
        If `device` is neither.
    """
    if device == "cpu":
        from morphkit.rendering._cpu import CpuRasterizer

        return CpuRasterizer()
    if device == "cuda":
        from morphkit.rendering._nvdiffrast import NvdiffrastRasterizer

        return NvdiffrastRasterizer()
    raise ValueError(f'device must be "cpu" or "cuda", got {device!r}')
