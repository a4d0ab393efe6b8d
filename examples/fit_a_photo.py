"""Fit the embedded head to a photo, and say how wide the face is: python examples/fit_a_photo.py PHOTO."""

import sys

import numpy as np

import morphkit

result = morphkit.fit(sys.argv[1], "fit")
print(f"Landmarks lie {result.landmark_error:.1%} of the eye distance off; see fit/report.html.")

ibug68 = result.model.landmarks["ibug68"].landmarks(result.neutral, result.model.faces)
left, right = ibug68.select(["16", "0"]).points
print(f"From jaw to jaw below the ears: {np.linalg.norm(left - right):.0f} mm (scale is the model's guess).")
