"""
Build your own basis
====================

From raw scans to a morphable model. Give a folder of your own scans (``python build_a_basis.py SCANS``),
or nothing: then six raw scans are made up first.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import morphkit
from morphkit.building.synthetic import scan_head
from morphkit.export.build_pictures import portrait

scans = Path(sys.argv[1] if len(sys.argv) > 1 else "scans")
if len(sys.argv) == 1:  # random people, each with its own triangles, noise, holes and pose
    head = morphkit.load_default_model()
    for i in range(6):
        rng = np.random.default_rng(i)
        person = head.mesh(rng.standard_normal(20), albedo=0.5 * rng.standard_normal(5))
        scan = scan_head(person, person.vertices[head.face_mask].mean(axis=0), rng)
        morphkit.write_mesh(scans / f"person_{i}.ply", scan.mesh)

# %%
# Every scan is cleaned, placed, registered to the template and judged. What fails is named, and left out.
built = morphkit.build_basis(scans, "model.h5", work_dir="work", jobs=1)
for outcome in built.scans:
    print(f"{outcome.name}: {outcome.verdict}", *outcome.reasons)
print(f"{built.model.identity.n_components} modes of shape; pictures of every scan: {built.report}")

# %%
# The model's first mode: two standard deviations to either side of the mean.
fig, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for ax, sigma in zip(axes, (-2.0, 0.0, 2.0), strict=True):
    ax.imshow(portrait(built.model.mesh(identity=np.array([sigma])), size=300))
    ax.set(title=f"first mode, {sigma:+.0f} σ", xticks=[], yticks=[])
fig.savefig("first_mode.png")
