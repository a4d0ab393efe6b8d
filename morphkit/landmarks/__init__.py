"""Landmarks in photos, and on scans through rendered views."""
