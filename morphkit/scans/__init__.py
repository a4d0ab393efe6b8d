"""Raw scans: which files they are, and what must be mended before they can be used."""

from morphkit.io.files import file_hash
from morphkit.scans.clean import CleanedScan, CleaningReport, CleanSettings, clean_scan
from morphkit.scans.discover import ScanFile, discover, find_landmarks

__all__ = [
    "CleanSettings",
    "CleanedScan",
    "CleaningReport",
    "ScanFile",
    "clean_scan",
    "discover",
    "file_hash",
    "find_landmarks",
]
