"""
Fit one photo
=============

From a photo to a face: mesh, camera, light, texture, and how sure all of it is. Give your own photo
(``python fit_a_photo.py PHOTO``), or none: then it is the astronaut's.
"""

import sys
from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np

import morphkit
from morphkit.export.build_pictures import portrait

astronaut = str(files("morphkit") / "data" / "astronaut.jpg")
photo = sys.argv[1] if len(sys.argv) > 1 else astronaut
result = morphkit.fit(photo, "fit")
print(f"Landmarks lie {result.landmark_error:.1%} of the eye distance off; see fit/report.html.")

# %%
# Lengths are millimetres, so the face can be measured. A photo does not tell its scale; the model guesses it.
ibug68 = result.model.landmarks["ibug68"].landmarks(result.neutral, result.model.faces)
right, left = ibug68.select(["0", "16"]).points
print(f"From jaw to jaw below the ears: {np.linalg.norm(left - right):.0f} mm")
expected = np.median(result.vertex_deviations[result.model.face_mask])
print(f"A point of the face may be off by {expected:.1f} mm (standard deviation)")

# %%
# The photo, the fitted face over it, its bare shape, and two views from the side.
fig, ax = plt.subplots(figsize=(10, 2.1), layout="constrained")
ax.imshow(morphkit.read_image("fit/side_by_side.png"))
ax.axis("off")
fig.savefig("views.png")

# %%
# How far each point may be off: dark blue where the photo told most, yellow where it told least.
fig, ax = plt.subplots(figsize=(4, 4), layout="constrained")
ax.imshow(portrait(morphkit.read_mesh("fit/uncertainty.ply"), size=400))
ax.axis("off")
fig.savefig("sureness.png")
