"""Statistics: registered meshes to a morphable model."""

from morphkit.basis.alignment import Alignment, align_shapes
from morphkit.basis.build import BuiltModel, build_model, fit_basis
from morphkit.basis.incremental import pca_of, update_pca
from morphkit.basis.linear import compactness, fit_albedo, fit_linear_model, linear_model
from morphkit.basis.metrics import Curve, Metric, generalization, leave_out_generalization, specificity
from morphkit.basis.mirroring import fit_mirrored
from morphkit.basis.missing import MissingPCA, fit_pca_with_missing
from morphkit.basis.outliers import Outlier, find_outliers
from morphkit.basis.pca import PCA, fit_pca
from morphkit.basis.settings import BasisSettings
from morphkit.basis.update import update_model

__all__ = [
    "PCA",
    "Alignment",
    "BasisSettings",
    "BuiltModel",
    "Curve",
    "Metric",
    "MissingPCA",
    "Outlier",
    "align_shapes",
    "build_model",
    "compactness",
    "find_outliers",
    "fit_albedo",
    "fit_basis",
    "fit_linear_model",
    "fit_mirrored",
    "fit_pca",
    "fit_pca_with_missing",
    "generalization",
    "leave_out_generalization",
    "linear_model",
    "pca_of",
    "specificity",
    "update_model",
    "update_pca",
]
