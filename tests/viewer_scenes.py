"""Models and fits for the tests of the viewer."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from morphkit.io.images import write_image
from morphkit.io.meshes import write_mesh
from morphkit.linear import LinearModel
from morphkit.mesh import LandmarkEmbedding, Mesh
from morphkit.morphable import MorphableModel


def round_model(n: int = 24, components: int = 6, seed: int = 0) -> MorphableModel:
    """Return a ball of n² vertices with smooth random components, and nothing else."""
    around, down = np.meshgrid(np.linspace(0, 2 * np.pi, n), np.linspace(0.05, np.pi - 0.05, n))
    ball = np.stack([np.sin(down) * np.sin(around), np.cos(down), np.sin(down) * np.cos(around)], axis=-1)
    index = np.arange(n * n).reshape(n, n)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, c, d), (a, d, b))])
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((3 * n * n, components)))[0]
    deviations = np.linspace(9.0, 2.0, components) * n
    group = LinearModel(
        (80.0 * ball.reshape(-1, 3)).astype(np.float32), np.asfortranarray(basis, np.float32), deviations
    )
    return MorphableModel(faces.astype(np.int32), group)


HOSTILE = (
    "<iframe srcdoc=\"<script>parent.document.title='RAN'</script>\"></iframe>"
    "<img src=x onerror=\"document.title='RAN'\"><b>bold</b> *a* _b_ `c` [d](javascript:alert(1)) "
    "![e](http://evil.example/e.png) https://evil.example/f www.evil.example # g | h {i} ~~j~~ \\"
)


def hostile_model(name: str = HOSTILE) -> MorphableModel:
    """Return a ball with a mask of all vertices, and landmarks all over it, of this name."""
    ball = round_model(60)
    corners = np.tile([1.0, 0.0, 0.0], (len(ball.faces), 1))
    where = np.arange(len(ball.faces), dtype=np.int32)
    landmarks = LandmarkEmbedding(tuple(f"{name} {i}" for i in where), where, corners)
    masks = {name: np.ones(ball.n_vertices, bool)}
    return dataclasses.replace(ball, masks=masks, landmarks={name: landmarks})


def write_fit_folder(folder: Path, model: MorphableModel, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Write what the viewer reads of a fit, and return its coefficients."""
    groups = {"identity": model.identity, "expression": model.expression, "albedo": model.albedo}
    found = {
        name: 0.5 * rng.standard_normal(0 if group is None else group.n_components)
        for name, group in groups.items()
    }
    expression = found["expression"] if len(found["expression"]) else None
    vertices = model.instance(found["identity"], expression)
    colors = rng.uniform(0.2, 0.8, vertices.shape).astype(np.float32)
    folder.mkdir(parents=True)
    write_mesh(folder / "mesh.ply", Mesh(vertices, model.faces, colors=colors))
    write_image(folder / "overlay.png", np.full((40, 30, 3), 128, np.uint8))
    light = np.zeros((9, 3))
    light[0] = 3.0
    values = {name: array.tolist() for name, array in found.items()}
    posterior = {
        f"{name}_deviations": (0.1 + 0 * found[name]).tolist() for name in ("identity", "expression")
    }
    said = {**values, "photo": "nobody.jpg", "posterior": posterior, "sh_coefficients": light.tolist()}
    (folder / "params.json").write_text(json.dumps(said))
    camera = {"K": [[50.0, 0, 15], [0, 50.0, 20], [0, 0, 1]], "R": np.diag([1.0, -1, -1]).tolist()}
    (folder / "camera.json").write_text(json.dumps({**camera, "t": [0, 0, 900.0], "width": 30, "height": 40}))
    return found
