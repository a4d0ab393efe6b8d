"""The statistics of faces at rest: alignment, shape and albedo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np

from morphkit.basis.alignment import Alignment, align_shapes
from morphkit.basis.gram import Mapper
from morphkit.basis.linear import fit_albedo, fit_incomplete_shapes, fit_shapes
from morphkit.basis.mirroring import symmetric
from morphkit.basis.missing import MissingPCA
from morphkit.basis.pca import PCA
from morphkit.basis.settings import BasisSettings
from morphkit.mesh import Template
from morphkit.morphable import LinearModel


@dataclass(frozen=True, eq=False)
class Neutral:
    """Faces at rest, and what they count.

    Attributes
    ----------
    shapes : (m, v, 3), an array or a data set.
    valid : (m, v), or None.
    weights : (m,), or None.
    mirror : (v,) if mirror images count too, else None.
    output : an open group for results that are data sets, or None.
    """

    shapes: Any
    valid: Any
    weights: np.ndarray | None
    mirror: np.ndarray | None
    output: h5py.Group | None

    def align(self, reference: np.ndarray, face: np.ndarray | None, settings: BasisSettings) -> Alignment:
        """Bring the shapes into the reference's frame; with mirror images, onto a symmetric mean."""
        options: dict[str, Any] = {
            "scale": settings.scale,
            "weights": face,
            "scan_weights": self.weights,
            "valid": self.valid,
            "robust": settings.robust,
        }
        if self.mirror is None:
            return align_shapes(self.shapes, reference, output=self.output, **options)
        group = None if self.output is None else self.output.create_group("before_mirroring")
        first = align_shapes(self.shapes, symmetric(reference, self.mirror), output=group, **options)
        mean = symmetric(first.mean, self.mirror)
        if self.output is not None:
            del self.output["before_mirroring"]
        # on a symmetric mean, mirror images need no fit of their own: they lie as mirror images
        rounds = 1 if settings.robust is None else 2  # doubts come from a first fit
        last = align_shapes(self.shapes, mean, output=self.output, max_iterations=rounds, **options)
        return replace(last, iterations=first.iterations + 1, converged=first.converged)

    def fit(
        self, alignment: Alignment, settings: BasisSettings, mapper: Mapper
    ) -> tuple[PCA, tuple[str, ...]]:
        """Return the shapes' principal components, and notes."""
        count = settings.identity_components
        if settings.missing == "statistics" and self.valid is not None:
            valid = np.asarray(self.valid[:], bool)
            fit, scarce = fit_incomplete_shapes(
                alignment.shapes,
                valid,
                count,
                weights=self.weights,
                mirror=self.mirror,
                output=self.output,
            )
            return fit.pca, _incomplete_notes(fit, scarce)
        pca = fit_shapes(
            alignment.shapes,
            count,
            weights=self.weights,
            mirror=self.mirror,
            method=settings.method,
            output=self.output,
            mapper=mapper,
        )
        return pca, tuple(f"Shape: {note}" for note in pca.notes)

    def albedo(
        self, colors: Any, template: Template, settings: BasisSettings
    ) -> tuple[LinearModel | None, tuple[str, ...]]:
        """Return the albedo group where at least two scans have colours, and notes."""
        if colors is None:
            return None, ()
        known = np.array([not np.isnan(colors[i]).all() for i in range(len(colors))])
        colored = int(known.sum())
        if np.count_nonzero(known if self.weights is None else known * self.weights) < 2:
            return None, (
                f"No albedo: {colored} of {len(colors)} scans have colours; it needs two that count.",
            )
        model, fit = fit_albedo(
            colors,
            template.mesh.faces,
            settings.albedo_components,
            weights=self.weights,
            mirror=self.mirror,
            output=None if self.output is None else self.output.require_group("albedo"),
        )
        return model, _albedo_notes(fit, len(colors), colored)


def _incomplete_notes(fit: MissingPCA, scarce: int) -> tuple[str, ...]:
    notes = [f"Shape: {note}" for note in fit.pca.notes]
    if scarce:
        notes.append(f"Shape: {scarce} vertices were found on too few scans and count as registered.")
    if not fit.converged:
        notes.append(f"Shape: not quite converged after {fit.iterations} rounds.")
    return tuple(notes)


def _albedo_notes(fit: MissingPCA, scans: int, colored: int) -> tuple[str, ...]:
    notes = [f"Albedo: {note}" for note in fit.pca.notes]
    if colored < scans:
        notes.append(f"Albedo: {scans - colored} of {scans} scans have no colours.")
    unseen = int((~fit.observed.reshape(-1, 3).all(axis=1)).sum())
    if unseen:
        notes.append(f"Albedo: {unseen} vertices were seen on too few scans and continue their neighbours.")
    if not fit.converged:
        notes.append(f"Albedo: not quite converged after {fit.iterations} rounds.")
    return tuple(notes)
