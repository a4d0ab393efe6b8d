"""Deforming the template to a scan: placement, a coarse elastic stage, a fine stage, a verdict."""

from __future__ import annotations

from morphkit.registration.nicp_settings import NicpSettings
from morphkit.registration.pipeline import register
from morphkit.registration.result import Correspondence, Diagnosis, RegistrationResult
from morphkit.registration.settings import (
    CoarseSettings,
    FineSettings,
    GateSettings,
    Method,
    RegistrationSettings,
    SimilaritySettings,
)

__all__ = [
    "CoarseSettings",
    "Correspondence",
    "Diagnosis",
    "FineSettings",
    "GateSettings",
    "Method",
    "NicpSettings",
    "RegistrationResult",
    "RegistrationSettings",
    "SimilaritySettings",
    "register",
]
