"""Triangle meshes from files and back: PLY, OBJ, STL, OFF, glTF."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from morphkit.errors import BadInputError
from morphkit.io._obj import read_obj, write_obj
from morphkit.io._parts import MeshParts
from morphkit.io._ply import read_ply, write_ply
from morphkit.io._stl_off import read_off, read_stl, write_off, write_stl
from morphkit.io.atomic import atomic_path
from morphkit.io.color import srgb_to_linear
from morphkit.io.glb import write_glb
from morphkit.io.images import read_image
from morphkit.mesh import Mesh


def _read_glb(path: Path) -> MeshParts:
    from morphkit.io._glb import read_glb  # trimesh takes half a second to import, and few need it

    return read_glb(path)


_READERS: dict[str, Callable[[Path], MeshParts]] = {
    ".ply": read_ply,
    ".obj": read_obj,
    ".stl": read_stl,
    ".off": read_off,
    ".glb": _read_glb,
    ".gltf": _read_glb,
}
MESH_SUFFIXES = tuple(_READERS)


def read_mesh(path: str | os.PathLike[str], *, allow_nonfinite: bool = False) -> Mesh:
    """Read a triangle mesh.

    Vertices come in the file's order and number, also where an OBJ's texture seams run (STL, which has no
    shared vertices, is welded; glTF is split by its writers). Polygons are cut into fans. Units and frame are
    left as they are in the file.

    Parameters
    ----------
    path : ``.ply`` (ascii or binary), ``.obj`` (with its material file and textures), ``.stl``, ``.off``,
        ``.glb`` or ``.gltf``.
    allow_nonfinite : let NaN and infinite vertices pass, for a caller that cleans them away.

    Returns
    -------
    Mesh
        Colours linear RGB 0..1: decoded from sRGB, save for glTF, whose colours are linear. Vertices whose
        colour is unknown (alpha 0 in a PLY where others are opaque) have NaN.

    Warns
    -----
    UserWarning
        If a material file or texture is missing; the shape is then read without.

    Raises
    ------
    BadInputError
        If the file is missing, damaged, of another kind, or has no triangles.
    """
    source = Path(path)
    reader = _READERS.get(source.suffix.lower())
    if reader is None:
        raise BadInputError(f"{source}: meshes are read from {', '.join(MESH_SUFFIXES)} files.")
    _ensure_file(source)
    try:
        parts = reader(source)
        _check(parts, allow_nonfinite)
    except BadInputError:
        raise
    except MemoryError as error:
        raise BadInputError(f"{source} does not fit into memory; decimate it first.") from error
    except Exception as error:  # parsers of damaged files fail in every way there is
        raise BadInputError(f"{source} cannot be read as a mesh: {_reason(error)}.") from error
    return _assemble(parts, source)


def write_mesh(
    path: str | os.PathLike[str], mesh: Mesh, *, picture: str | os.PathLike[str] | None = None
) -> None:
    """Write a triangle mesh, atomically; the suffix chooses the format.

    ``.ply`` keeps vertices exactly (binary, double) and colours as sRGB bytes; ``.obj`` writes the texture as
    ``.mtl`` and ``.png`` beside it, or else colours on the vertex lines; ``.glb`` keeps colours or texture;
    ``.stl`` and ``.off`` keep the shape only. Units are written as they are.

    Parameters
    ----------
    path : the file.
    mesh : what to write.
    picture : for ``.obj``, a file in the same folder that holds the texture already: it is named, and none
        is written.

    Raises
    ------
    ValueError
        If the suffix is none of these.
    MorphkitError
        If the file cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in (".ply", ".obj", ".stl", ".off", ".glb"):
        raise ValueError(f"path must end in .ply, .obj, .stl, .off or .glb, got {target.name}")
    with atomic_path(target) as temporary:
        if suffix == ".ply":
            write_ply(temporary, mesh)
        elif suffix == ".obj":
            write_obj(temporary, mesh, target, None if picture is None else Path(picture))
        elif suffix == ".stl":
            write_stl(temporary, mesh)
        elif suffix == ".off":
            write_off(temporary, mesh)
        else:
            write_glb(temporary, mesh)


def _ensure_file(source: Path) -> None:
    try:
        if source.is_dir():
            raise BadInputError(f"{source} is a folder; give a mesh inside it.")
        with source.open("rb") as file:
            if not file.read(1):
                raise BadInputError(f"{source} is empty.")
    except FileNotFoundError:
        raise BadInputError(f"There is no file {source}; check the path.") from None
    except OSError as error:
        raise BadInputError(f"{source} cannot be opened: {error.strerror}.") from error


def _check(parts: MeshParts, allow_nonfinite: bool) -> None:
    vertex_count = len(parts.vertices)
    if not vertex_count:
        raise ValueError("it has no vertices")
    if not len(parts.faces):
        raise ValueError("it is a point cloud without triangles; mesh it first (Poisson reconstruction, say)")
    low, high = int(parts.faces.min()), int(parts.faces.max())
    if low < 0 or high >= vertex_count:
        raise ValueError(f"a face refers to vertex {high if low >= 0 else low} of {vertex_count}")
    if not allow_nonfinite and not np.isfinite(parts.vertices).all():
        bad = int((~np.isfinite(parts.vertices)).any(axis=1).sum())
        raise ValueError(f"{bad} of its {vertex_count} vertices are NaN or infinite")


def _assemble(parts: MeshParts, source: Path) -> Mesh:
    texture = parts.texture
    if isinstance(texture, str):  # named in the file
        picture = source.parent / Path(texture.replace("\\", "/")).name
        if not picture.is_file():
            warnings.warn(f"{source}: its texture {picture.name} is missing; read without it", stacklevel=3)
        texture = read_image(picture) if picture.is_file() else None
    keep_uv = parts.uv is not None and texture is not None and np.isfinite(parts.uv).all()
    return Mesh(
        np.ascontiguousarray(parts.vertices, dtype=np.float64),
        np.ascontiguousarray(parts.faces, dtype=np.int32),
        _linear(parts),
        parts.uv if keep_uv else None,
        texture if keep_uv else None,
        source,
    )


def _linear(parts: MeshParts) -> np.ndarray | None:
    colors = parts.colors
    if colors is None:
        return None
    if not parts.colors_are_linear:
        codes = colors if colors.dtype == np.uint8 else colors.astype(np.float32)
        colors = srgb_to_linear(codes)
    return np.clip(colors.astype(np.float32), 0.0, 1.0)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200].rstrip(".")
    return text or type(error).__name__
