"""The command line: parse, call one public function, report. No algorithm lives here."""

from morphkit.cli.app import main

__all__ = ["main"]
