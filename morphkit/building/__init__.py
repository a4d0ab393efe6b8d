"""Scans to model: the stages tied together, resumable."""
