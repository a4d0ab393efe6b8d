"""Build a model from raw scans and walk along its first mode: python examples/build_a_basis.py SCANS."""

import sys

import numpy as np

import morphkit

built = morphkit.build_basis(sys.argv[1], "model.h5", work_dir="work")
for scan in built.scans:
    print(scan.name, scan.verdict, *scan.reasons)

model = built.model
for sigma in (-3, 0, 3):
    mesh = model.mesh(identity=np.array([float(sigma)]))
    morphkit.write_mesh(f"mode1_{sigma:+d}.ply", mesh)
