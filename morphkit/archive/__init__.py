"""Morphable models to files and back."""
