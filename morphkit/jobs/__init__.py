"""Many tasks at once, and what tells whether the code behind an earlier result is still the same."""

from morphkit.jobs.code import code_digest
from morphkit.jobs.workers import Workers, map_unordered

__all__ = ["Workers", "code_digest", "map_unordered"]
