"""Three small simulated scans with a coarse template, for tests from the command line."""

from dataclasses import dataclass, replace
from pathlib import Path

import fast_simplification
import numpy as np
from click.testing import CliRunner, Result

from morphkit.archive import load_default_model
from morphkit.building.synthetic import ScannerSettings, scan_head
from morphkit.cli import main
from morphkit.errors import MorphkitError
from morphkit.geometry.similarity import Similarity
from morphkit.io.landmarks import write_landmarks
from morphkit.io.meshes import write_mesh
from morphkit.mesh import Mesh

SCANNER = ScannerSettings(faces=(9_000, 10_000), holes=(1, 2), spikes=(1, 2))
NAMES = ("ada", "ben", "cem")
INNER = tuple(str(i) for i in range(17, 68))  # without the jaw line, where the coarse template ends


@dataclass(frozen=True)
class Data:
    scans: Path
    template: Path
    template_landmarks: Path
    truth: dict[str, Similarity]

    @property
    def options(self) -> dict[str, Path]:
        return {"template": self.template, "template_landmarks": self.template_landmarks}

    @property
    def arguments(self) -> list[str]:
        return ["--template", str(self.template), "--template-landmarks", str(self.template_landmarks)]


def write_data(folder: Path) -> Data:
    """Write three scans of different heads (two with sidecars), and a coarse template with landmarks."""
    head = load_default_model()
    _write_template(folder, head)
    truth = {}
    for i, name in enumerate(NAMES):
        rng = np.random.default_rng(i)
        person = replace(head.mesh(rng.standard_normal(8), albedo=0.3 * rng.standard_normal(3)), uv=None)
        scan = scan_head(person, person.vertices[head.masks["face"]].mean(axis=0), rng, SCANNER)
        write_mesh(folder / "scans" / f"{name}.ply", scan.mesh)
        truth[name] = scan.pose
        if name != "cem":
            points = head.landmarks["ibug68"].landmarks(scan.pose.apply(person.vertices), head.faces)
            write_landmarks(folder / "scans" / f"{name}.landmarks.json", points)
    return Data(folder / "scans", folder / "template.ply", folder / "template.landmarks.json", truth)


def _write_template(folder: Path, head) -> None:
    mean = head.instance()
    near = mean[:, 2] > np.quantile(mean[:, 2], 0.45)
    faces = head.faces[near[head.faces].all(axis=1)]
    used, compact = np.unique(faces, return_inverse=True)
    vertices, faces = fast_simplification.simplify(
        mean[used].astype(np.float32), compact.reshape(-1, 3).astype(np.int32), target_count=4000
    )
    write_mesh(folder / "template.ply", Mesh(vertices.astype(np.float64), faces.astype(np.int32)))
    points = head.landmarks["ibug68"].landmarks(mean, head.faces).select(INNER)
    write_landmarks(folder / "template.landmarks.json", points)


def run(*arguments: object) -> Result:
    """Run morphkit's command line."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def never(*_: object) -> None:
    """Stand in for what must not be called."""
    raise MorphkitError("A scan was registered again.")
