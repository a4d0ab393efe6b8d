"""Writes ICT-FaceKit's folder from arrays, for tests of its reader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

HEADER = "##########\n# ICT FaceKit\n##########\n"


def write_obj(
    path: Path, vertices: np.ndarray, uv: np.ndarray, polygons: list[list[tuple[int, int]]]
) -> None:
    """Write vertices in centimetres, and polygons of (vertex, uv) corners, as the kit has them."""
    lines = ["v " + " ".join(f"{x:.6f}" for x in row) for row in vertices.tolist()]
    lines += ["vt " + " ".join(f"{x:.6f}" for x in row) for row in uv.tolist()]
    lines += ["g M_Face", "usemtl M_Face"]
    lines += ["f " + " ".join(f"{v + 1}/{t + 1}" for v, t in corners) for corners in polygons]
    path.write_text(HEADER + "mtllib ICTFaceModelMaterial.mtl\n" + "\n".join(lines) + "\n")


def write_folder(
    folder: Path,
    neutral: np.ndarray,
    modes: np.ndarray,
    expressions: dict[str, np.ndarray],
    uv: np.ndarray,
    polygons: list[list[tuple[int, int]]],
    indices: dict[str, list[int]],
) -> Path:
    """Write the folder; all shapes in millimetres, modes and expressions as offsets."""
    folder.mkdir(parents=True)
    shapes = {"generic_neutral_mesh": neutral}
    shapes |= {f"identity{i:03d}": neutral + mode for i, mode in enumerate(modes)}
    shapes |= {name: neutral + offset for name, offset in expressions.items()}
    for name, vertices in shapes.items():
        write_obj(folder / f"{name}.obj", vertices / 10, uv, polygons)
    (folder / "vertex_indices.json").write_text(json.dumps({"expressions": list(expressions)} | indices))
    return folder
