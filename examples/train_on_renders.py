"""
Train a network on renders
==========================

R-Net of Deng et al. 2019 learns to see a face in one pass, from rendered photos whose faces are known. This
run is tiny: it shows the way, not the result. :doc:`/training` has real ones.
"""

from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt

import morphkit
from morphkit.training import SynthesisSettings

small = SynthesisSettings(size=112)
morphkit.render_dataset("rendered", 128, settings=small, seed=1, jobs=1)
morphkit.render_dataset("held-out", 32, settings=small, seed=2, jobs=1)

# %%
# Settings are a TOML file; ``morphkit train --example`` prints all of them, commented.
Path("r-net.toml").write_text("""
data = { train = ["rendered"], validation = ["held-out"] }
network = { size = 64 }
losses = { perceptual = 0.0, weak_on_truth = false }
training = { epochs = 2, batch = 16, warmup = 4 }
output = { folder = "run", panels = 4 }
""")
run = morphkit.train("r-net.toml")
held_out = run.validation.values
print(f"{run.steps} steps; held-out faces are {held_out['identity_error_mm']:.2f} mm off")
print(f"the mean face is {held_out['mean_face_error_mm']:.2f} mm off")

# %%
# The network on a photo: all files of a fit, without fitting.
morphkit.predict(files("morphkit") / "data" / "astronaut.jpg", run.weights, "predicted")
plt.figure(figsize=(10, 2.1), layout="constrained").gca().imshow(
    morphkit.read_image("predicted/side_by_side.png")
)
plt.axis("off")
plt.savefig("predicted.png")
