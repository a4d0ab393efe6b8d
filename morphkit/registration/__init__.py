"""Deforming the template to a scan: placement, a coarse low-rank stage, a fine stage, a verdict."""

from __future__ import annotations

from morphkit.registration.nicp_settings import NicpSettings
from morphkit.registration.pipeline import register
from morphkit.registration.result import Correspondence, RegistrationResult
from morphkit.registration.settings import (
    CoarseSettings,
    FineSettings,
    GateSettings,
    Method,
    PriorSettings,
    RegistrationSettings,
    SimilaritySettings,
)

__all__ = [
    "CoarseSettings",
    "Correspondence",
    "FineSettings",
    "GateSettings",
    "Method",
    "NicpSettings",
    "PriorSettings",
    "RegistrationResult",
    "RegistrationSettings",
    "SimilaritySettings",
    "register",
]
