"""Cleaning a raw scan: mend what can be mended, refuse the rest, say what was done."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from morphkit.errors import RejectedScanError
from morphkit.mesh import Mesh
from morphkit.scans import _repairs
from morphkit.scans._outward import turn_outward

# Units of scanners, in millimetres, their names in messages, and how many times better a rare one must fit.
_UNITS = (
    (1.0, "millimetres", 1.0),
    (10.0, "centimetres", 1.0),
    (100.0, "decimetres", 3.0),
    (1000.0, "metres", 1.0),
    (1e-3, "micrometres", 1.0),
)
_USUAL_DIAGONAL = 330.0  # mm, of a face with ears and neck
_DIAGONALS = (60.0, 2500.0)  # mm, from a crop of a child's face to a whole upper body


@dataclass(frozen=True)
class CleanSettings:
    """What counts as a defect.

    Attributes
    ----------
    min_component_area : components below this share of the largest one's area are dropped. The visible part
        of an eyeball, which many scanners deliver as a piece of its own, is 0.25 % of a head or more.
    spike_factor : a vertex is a spike when it stands out from its neighbours by more than this many times
        their edges' length.
    min_triangles : scans with fewer, once cleaned, are refused.
    min_depth : scans are refused as flat when their thinnest extent is below this share of the widest.
    scale : millimetres per unit of the scan, or None to guess it from the size.
    """

    min_component_area: float = 0.0015
    spike_factor: float = 2.0
    min_triangles: int = 500
    min_depth: float = 0.02
    scale: float | None = None


@dataclass(frozen=True)
class CleaningReport:
    """What cleaning did.

    Attributes
    ----------
    scale : millimetres per unit of the scan: cleaned = scale · raw.
    actions : one sentence each; empty for a scan that was in order.
    faces_before, faces_after : how many triangles there were and are.
    """

    scale: float
    actions: tuple[str, ...]
    faces_before: int
    faces_after: int

    @property
    def remarks(self) -> tuple[str, ...]:
        """The actions, and how much is left if something was removed."""
        if self.faces_before == self.faces_after:
            return self.actions
        return (*self.actions, f"{self.faces_after:,} of {self.faces_before:,} triangles are left.")


@dataclass(frozen=True, eq=False)
class CleanedScan:
    """A scan fit for use.

    Attributes
    ----------
    mesh : in millimetres, in the scan's own pose: divide by `report.scale` to go back to its units.
    report : what was done.
    """

    mesh: Mesh
    report: CleaningReport


def clean_scan(mesh: Mesh, settings: CleanSettings | None = None) -> CleanedScan:
    """Mend a raw scan.

    In this order: corners that are no vertices, NaN vertices, duplicate vertices (triangle soups are welded),
    faces without area or given twice, small components, edges with more than two faces, spikes, inconsistent
    and inward winding, unused vertices, units. All in time proportional to the scan's size.

    Parameters
    ----------
    mesh : any triangle mesh, in any unit and pose; vertices may be NaN.
    settings : what counts as a defect.

    Raises
    ------
    RejectedScanError
        If too little is left, it is flat, or its size is a face's in no known unit.
    """
    settings = settings or CleanSettings()
    name = str(mesh.source) if mesh.source is not None else "The scan"
    mended, actions = _mend(mesh, settings, name)
    scale, remark = _scale(mended, settings, name)
    mended = replace(mended, vertices=mended.vertices * scale)
    report = CleaningReport(
        scale=scale,
        actions=(*actions, *remark),
        faces_before=len(mesh.faces),
        faces_after=len(mended.faces),
    )
    return CleanedScan(mended, report)


def _mend(mesh: Mesh, settings: CleanSettings, name: str) -> tuple[Mesh, list[str]]:
    """Return the mended mesh in the scan's units, and a sentence for each thing done."""
    actions: list[str] = []

    def note(count: int, one: str, many: str) -> None:
        if count:
            actions.append(f"1 {one}." if count == 1 else f"{count} {many}.")

    mesh = replace(
        mesh,
        vertices=np.require(mesh.vertices, np.float64, ["C", "W"]),
        faces=np.require(mesh.faces, np.int32, ["C", "W"]),
    )
    mesh, count = _repairs.drop_stray_faces(mesh)
    note(
        count,
        "triangle had a corner that is no vertex and was removed",
        "triangles had corners that are no vertices and were removed",
    )
    mesh, count = _repairs.drop_nonfinite(mesh)
    note(count, "vertex that was not a number was removed", "vertices that were not numbers were removed")
    mesh, count = _repairs.merge_duplicate_vertices(mesh)
    note(count, "duplicate vertex was merged", "duplicate vertices were merged")
    mesh, count = _repairs.drop_degenerate_faces(mesh)
    note(count, "triangle without area was removed", "triangles without area were removed")
    mesh, count = _repairs.drop_duplicate_faces(mesh)
    note(count, "triangle given twice was removed", "triangles given twice were removed")
    mesh, pieces = _repairs.drop_small_components(mesh, settings.min_component_area)
    edges = _repairs.find_edges(mesh.faces)
    mesh, count = _repairs.open_nonmanifold_edges(mesh, edges)
    note(
        count,
        "edge with more than two triangles was opened",
        "edges with more than two triangles were opened",
    )
    if count:  # new pieces may have come loose
        mesh, more = _repairs.drop_small_components(mesh, settings.min_component_area)
        pieces += more
        edges = _repairs.find_edges(mesh.faces)
    note(pieces, "small loose piece was removed", "small loose pieces were removed")
    _ensure_enough(mesh, settings, name)
    mesh, count = _repairs.flatten_spikes(mesh, edges, settings.spike_factor)
    note(count, "spike was flattened", "spikes were flattened")
    mesh, count, one_sided = _repairs.unify_winding(mesh, edges)
    note(count, "triangle was turned to agree with the rest", "triangles were turned to agree with the rest")
    note(one_sided, "piece is one-sided, like a Möbius strip", "pieces are one-sided, like a Möbius strip")
    mesh, count, all_of_it = turn_outward(mesh, edges)
    if all_of_it:
        actions.append("The surface looked inwards and was turned over.")
    note(
        count - all_of_it,
        "loose piece looked inwards and was turned over",
        "loose pieces looked inwards and were turned over",
    )
    mesh, _ = _repairs.drop_unreferenced(mesh)
    _ensure_enough(mesh, settings, name)
    _ensure_depth(mesh, settings, name)
    return mesh, actions


def _ensure_enough(mesh: Mesh, settings: CleanSettings, name: str) -> None:
    if len(mesh.faces) < settings.min_triangles:
        raise RejectedScanError(
            f"{name} has {len(mesh.faces)} usable triangles; a scan needs {settings.min_triangles} or more."
        )


def _ensure_depth(mesh: Mesh, settings: CleanSettings, name: str) -> None:
    centered = mesh.vertices - mesh.vertices.mean(axis=0)
    axes = np.linalg.eigh(centered.T @ centered)[1]
    extents = np.ptp(centered @ axes, axis=0)
    if extents.min() < settings.min_depth * extents.max():
        raise RejectedScanError(f"{name} is flat: a plane, not a face.")


def _scale(mesh: Mesh, settings: CleanSettings, name: str) -> tuple[float, tuple[str, ...]]:
    """Return millimetres per unit, and a remark unless they are millimetres already."""
    if settings.scale is not None:
        return settings.scale, ()
    diagonal = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    scale, unit, _ = min(_UNITS, key=lambda entry: _misfit(diagonal * entry[0]) + math.log(entry[2]))
    if not _DIAGONALS[0] <= diagonal * scale <= _DIAGONALS[1]:
        raise RejectedScanError(
            f"{name} measures {diagonal:.4g} units across, which is no face in millimetres, centimetres, "
            "decimetres, metres or micrometres; scale it to millimetres."
        )
    if scale == 1.0:
        return scale, ()
    return scale, (f"Its size says that it is in {unit}; it was taken to millimetres.",)


def _misfit(diagonal: float) -> float:
    """Return how far a size in millimetres is from a scan's usual one."""
    return abs(math.log(diagonal / _USUAL_DIAGONAL))
