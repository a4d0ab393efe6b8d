"""
Complete a partial scan
=======================

A third of the face was not scanned. It is not known, but it is not arbitrary: a morphable model, conditioned
on what was seen, says which faces could have been there.
"""

import matplotlib.pyplot as plt
import numpy as np

import morphkit
from morphkit.building import load_template, register_scan
from morphkit.building.synthetic import scan_head
from morphkit.export.build_pictures import heat_colors, portrait
from morphkit.mesh import Mesh

# A made-up person, so that the truth is known. The scanner saw the face up to the left eye's middle.
rng = np.random.default_rng(4)
model = morphkit.load_default_model()
truth = model.mesh(rng.standard_normal(80))
kept = (truth.vertices[truth.faces][:, :, 0] < 25.0).all(axis=1)
scan = scan_head(Mesh(truth.vertices, truth.faces[kept]), model.face_middle, rng)
morphkit.write_mesh("partial.ply", scan.mesh)

# %%
# Register the scan. Where ``valid`` is false, the template was merely carried on. Then move it to the model.
registered = register_scan("partial.ply", load_template())
valid, points = registered.valid & model.face_mask, registered.mesh_mm.vertices
_, to_model = model.coefficients(points, noise_variance=1.0, weights=valid.astype(float))

# %%
# Condition the model. Neighbours err together, so every 25th vertex is enough, and is believed to 3 mm.
seen = np.flatnonzero(valid)[::25]
posterior = model.posterior(seen, to_model.apply(points)[seen], deviations=3.0)
spread = posterior.identity.vertex_deviations()

# %%
# How far off is it where nothing was scanned? Farther than the model expects: registration is unsure where
# the scan ends, and the model takes its word.
unseen = model.face_mask & (truth.vertices[:, 0] > 30.0)
true = to_model.apply(scan.pose.apply(truth.vertices))
for name, face in {"mean": model.instance(), "completed": posterior.instance()}.items():
    squares = np.sum((face - true)[unseen] ** 2, axis=1)
    print(f"The {name} face is {np.sqrt(np.mean(squares)):.2f} mm from the truth.")
print(f"The model itself expects {np.sqrt(np.mean(spread[unseen] ** 2)):.2f} mm.")

# %%
# The scan, the completed face, two others that fit as well, and how uncertain each point is (yellow: 3 mm).
completed = posterior.instance()
others = [posterior.sample(np.random.default_rng(i)).vertices for i in range(2)]
meshes = [Mesh(vertices, model.faces) for vertices in (completed, *others)]
meshes.append(Mesh(completed, model.faces, heat_colors(spread, limit=3.0)))
pictures = [portrait(scan.mesh, registered.rotation), *(portrait(mesh) for mesh in meshes)]
morphkit.write_image("completed.png", np.concatenate(pictures, axis=1))
plt.figure(figsize=(10, 2.1), layout="constrained").gca().imshow(morphkit.read_image("completed.png"))
plt.axis("off")
