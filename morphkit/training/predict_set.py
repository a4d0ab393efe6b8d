"""One person in several photos, by networks: each photo's identity, weighed by C-Net."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import torch

from morphkit.errors import BadInputError, MorphkitError
from morphkit.landmarks.given import GivenPoints
from morphkit.training.networks.c_net import CNet, aggregate
from morphkit.training.networks.weights import load_network, network_digest
from morphkit.training.photo_crops import AlignedPhoto, GivenPhoto
from morphkit.training.predict import Predictor, paired
from morphkit.training.prediction import PersonPrediction


def predict_set(
    predictor: Predictor,
    photos: Sequence[GivenPhoto],
    landmarks: Sequence[GivenPoints | None] | None = None,
    c_net: CNet | str | os.PathLike[str] | None = None,
) -> PersonPrediction:
    """Return one person seen in several photos: identity by C-Net's confidences, or the plain mean.

    Parameters
    ----------
    predictor : R-Net with its model.
    photos, landmarks : as for one photo, as many of each; photos that cannot be used are left out.
    c_net : trained on this R-Net's features, or its weights' file; None for the mean.

    Raises
    ------
    ValueError
        Without photos, or when there are not as many landmarks.
    BadInputError
        When C-Net's weights cannot be used, or are for another R-Net.
    MorphkitError
        The first photo's, when none can be used.
    """
    if not photos:
        raise ValueError("photos: expected at least one, got none")
    weigher = load_c_net(c_net, predictor) if isinstance(c_net, str | os.PathLike) else c_net
    found = [predictor.tried(*pair) for pair in paired(photos, landmarks)]
    usable = {i: one for i, one in enumerate(found) if isinstance(one, AlignedPhoto)}
    failures = tuple((i, one) for i, one in enumerate(found) if isinstance(one, MorphkitError))
    if not usable:
        raise failures[0][1]
    begun, aligned = time.perf_counter(), list(usable.values())
    output = predictor.seen(aligned)
    single = output.heads["identity"].float()
    confidence = torch.ones_like(single)
    if weigher is not None:
        with torch.no_grad():
            confidence = weigher(output.features).float()
    shared = aggregate(confidence[None], single[None])
    heads = {**output.heads, "identity": shared.expand(len(single), -1)}
    predictions = predictor.told(aligned, heads, time.perf_counter() - begun)
    share = (confidence / confidence.sum(dim=0)).double().mean(dim=1)
    return PersonPrediction(
        tuple(predictions), tuple(usable), predictions[0].identity, share.cpu().numpy(), failures
    )


def load_c_net(weights: str | os.PathLike[str], predictor: Predictor) -> CNet:
    """Read a C-Net that goes with an R-Net.

    Raises
    ------
    BadInputError
        When the file cannot be used, or holds one that was trained on another R-Net's features.
    """
    network, meta = load_network(weights)
    if not isinstance(network, CNet):
        raise BadInputError(f"{weights}: no C-Net; give weights that `morphkit train-cnet` wrote.")
    layout, r_net = predictor.layout, predictor.network
    own = (layout.name, layout.size, predictor.digest, layout.heads.get("identity"), network_digest(r_net))
    theirs = (meta["preset"], meta["size"], meta["model_digest"], network.k, meta["r_net_digest"])
    channels = (r_net.backbone.shallow_channels, r_net.deep_channels)
    if own != theirs or network.channels != channels:
        raise BadInputError(
            f"{weights}: trained on the features of another network than {predictor.name}; give the C-Net "
            "that was trained with it."
        )
    return network.to(predictor.device).eval()
