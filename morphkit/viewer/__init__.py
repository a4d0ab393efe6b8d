"""Sliders in a browser: `view` shows a model, or a fit, and whatever its coefficients make of it."""

from morphkit.viewer.session import Session
from morphkit.viewer.state import FaceCoefficients, FaceState
from morphkit.viewer.subject import Subject, open_subject
from morphkit.viewer.viewing import Viewer, view

__all__ = ["FaceCoefficients", "FaceState", "Session", "Subject", "Viewer", "open_subject", "view"]
