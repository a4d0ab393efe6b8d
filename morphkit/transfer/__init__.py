"""What one model knows, for another: the whole model or its parts, carried over a surface map."""

from __future__ import annotations

from morphkit.transfer.complete import complete_model
from morphkit.transfer.conversion import ConvertedCoefficients, convert_coefficients
from morphkit.transfer.correspond import correspond
from morphkit.transfer.embed import embed_model, lacking_landmarks
from morphkit.transfer.embeddings import find_embeddings, transfer_embeddings
from morphkit.transfer.expressions import (
    TransferredExpressions,
    transfer_expressions,
    transferred_offsets,
)
from morphkit.transfer.masks import transfer_masks
from morphkit.transfer.mirror import transfer_mirror
from morphkit.transfer.model import CARRIED, transfer_model
from morphkit.transfer.surface_map import SurfaceMap
from morphkit.transfer.uv import transfer_uv

__all__ = [
    "CARRIED",
    "ConvertedCoefficients",
    "SurfaceMap",
    "TransferredExpressions",
    "complete_model",
    "convert_coefficients",
    "correspond",
    "embed_model",
    "find_embeddings",
    "lacking_landmarks",
    "transfer_embeddings",
    "transfer_expressions",
    "transfer_masks",
    "transfer_mirror",
    "transfer_model",
    "transfer_uv",
    "transferred_offsets",
]
