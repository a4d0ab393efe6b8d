"""A source's regions on another head."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from morphkit.transfer.extension import extended
from morphkit.transfer.surface_map import SurfaceMap

_FADE = 6.0  # millimetres of the source: regions reach a little across its holes and borders


def transfer_masks(
    masks: Mapping[str, Bool[np.ndarray, " s"]], surface_map: SurfaceMap
) -> dict[str, Bool[np.ndarray, " v"]]:
    """Return the regions that the target has any vertex of.

    Parameters
    ----------
    masks : of the source's vertices, by name.
    surface_map : to the target.
    """
    if not masks:
        return {}
    shares = surface_map.carry(np.column_stack(list(masks.values())).astype(np.float64))
    shares = extended(shares, surface_map.valid, surface_map.target, _FADE * surface_map.scale)
    regions = dict(zip(masks, (shares > 0.5).T.copy(), strict=True))
    return {name: region for name, region in regions.items() if region.any()}
