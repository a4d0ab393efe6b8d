"""Registered meshes to statistics."""
