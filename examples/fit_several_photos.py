"""
Fit several photos of one person
================================

One face for all photos: they share identity and skin; each has its own pose, expression and light. Give
photos (``python fit_several_photos.py PHOTO PHOTO ...``), or none: then four of a made-up face are rendered.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import morphkit
from morphkit.fitting import fit_images, write_subject
from morphkit.geometry.procrustes import fit_similarity
from morphkit.training import SynthesisSettings

photos = sys.argv[1:]
if not photos:
    usual = SynthesisSettings(glasses=0.0, occluders=0.0, photo_sizes=(360, 420), max_yaw=40.0)
    rendered = morphkit.render_dataset("made-up", 4, people=1, photos=True, settings=usual, seed=7, jobs=1)
    photos = sorted(str(path) for path in rendered.photos.glob("*.jpg"))

# %%
# A photo that contradicts the others, such as a stranger's, counts little and is named.
person = fit_images(photos)
for index, weight in zip(person.indices, person.weights, strict=True):
    print(f"{photos[index]} counts {weight:.0%}")
print(*person.notes, sep="\n")
write_subject(person, "person")

# %%
# Of rendered photos the true face is known. One photo against all of them, aligned over the face.
if len(sys.argv) == 1:
    face = person.photos[0].model.face_mask
    truth = np.load("made-up/photos/truth/photo_000000.npz")["neutral"]
    fits = {"all photos": person.neutral, "one photo": morphkit.fit(photos[0]).neutral}
    fits["no photo, the mean face"] = person.photos[0].model.instance()
    for name, fitted in fits.items():
        aligned = fit_similarity(fitted[face], truth[face]).apply(fitted[face])
        print(f"{name}: {np.linalg.norm(aligned - truth[face], axis=1).mean():.2f} mm off")
    print("This person is near the average, which one photo hardly beats; several do.")

# %%
# Each photo with the person's face over it.
fig, axes = plt.subplots(len(person.photos), 1, figsize=(10, 2.1 * len(person.photos)), squeeze=False)
for ax, fit in zip(axes[:, 0], person.photos, strict=True):
    ax.imshow(morphkit.read_image(f"person/{fit.source.stem}/side_by_side.png"))
    ax.axis("off")
fig.tight_layout()
fig.savefig("person.png")
