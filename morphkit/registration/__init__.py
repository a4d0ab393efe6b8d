"""Deforming the template to a scan."""
