"""What one model knows, for another: expressions, masks, mirror map and landmarks over a surface map."""

from __future__ import annotations

from morphkit.transfer.complete import complete_model
from morphkit.transfer.correspond import correspond
from morphkit.transfer.embeddings import find_embeddings, transfer_embeddings
from morphkit.transfer.expressions import (
    TransferredExpressions,
    transfer_expressions,
    transferred_offsets,
)
from morphkit.transfer.masks import transfer_masks
from morphkit.transfer.mirror import transfer_mirror
from morphkit.transfer.surface_map import SurfaceMap

__all__ = [
    "SurfaceMap",
    "TransferredExpressions",
    "complete_model",
    "correspond",
    "find_embeddings",
    "transfer_embeddings",
    "transfer_expressions",
    "transfer_masks",
    "transfer_mirror",
    "transferred_offsets",
]
