"""Commented settings to start from; `morphkit train --example` prints them."""

from __future__ import annotations

TRAIN_EXAMPLE = """\
# morphkit train config.toml: every line but data.train and one of epochs and steps may be left out.
# Paths are taken from this file's folder (output.folder from where the command runs).

[data]
train = ["data/rendered"]                  # from `morphkit render-dataset` and `morphkit prepare`, or both
validation = ["data/rendered-held-out"]    # of other people
balance = "none"                           # none | pose | tone | both: draw rare ones more often

[model]
# path = "model.h5"                        # the embedded head if left out
# identity = 80                            # components to train; all if left out
# expression = 64
# albedo = 80

[network]
depth = 18                                 # 18 | 50
preset = "morphkit"                        # morphkit | deng-paper | deep3d-tf | deep3d-pt
size = 112                                 # pixels that the network sees; the paper's is 224
# weights = "resnet18-imagenet.pth"        # a torchvision state dict to start from
# initial = "earlier/weights.pt"           # or an earlier run
# guided = true                            # begin at the face that explains the landmarks (morphkit alone)

[losses]
preset = "morphkit"                        # morphkit | deng2019 | deep3d_tf | deep3d_pt
perceptual = 0.0                           # in place of the preset's; above 0 needs the extra `perceptual`
supervised = 1.0                           # of the terms that know the truth of rendered photos
weak_on_truth = true                       # compare pictures of rendered photos, too; without, it is faster

[augmentation]
shift = 10.0                               # pixels of 224
scale = 0.1
angle = 10.0                               # degrees
flip = true
occlusion = 0.15                           # share of photos with patches over them
landmarks = 1.0                            # pixels of 224 by which a guided network's landmarks are moved

[training]
epochs = 20                                # or: steps = 10000
batch = 32
accumulate = 1
optimizer = "adamw"                        # adamw | adam, the papers'
learning_rate = 1e-3                       # from scratch; 1e-4 from ImageNet's weights or an earlier run
weight_decay = 0.05
schedule = "cosine"                        # cosine | step | constant
warmup = 60                                # steps
ema = 0.99
precision = "bf16-mixed"                   # bf16-mixed | 32-true | 16-mixed (GPU)
gradient_clip = 5.0
seed = 0

[output]
folder = "runs/first"
log_every = 10                             # steps
checkpoint_every = 200                     # steps
validate_every = 1                         # epochs
panels = 6
"""

C_NET_EXAMPLE = """\
# morphkit train-cnet config.toml: learns how far to trust each photo of a person.

[data]
train = ["data/people"]                    # with people told apart: of them, or rendered with --people
validation = ["data/people-held-out"]

[network]
r_net = "runs/first/weights.pt"            # trained by `morphkit train`; it stays as it is

[sets]
photos = 5                                 # of a person
corrupted = 0.5                            # share that is blurred, darkened, covered … on purpose

[losses]
perceptual = 0.0                           # in place of the preset's; above 0 needs the extra `perceptual`
supervised = 1.0                           # of the terms that know the truth of rendered photos
weak_on_truth = false                      # compare no pictures of rendered photos

[training]
epochs = 12                                # or: steps = 10000
batch = 8                                  # sets
learning_rate = 1e-4                       # the paper's is 2e-5, from far more photos
schedule = "cosine"
precision = "bf16-mixed"                   # bf16-mixed | 32-true | 16-mixed (GPU)

[output]
folder = "runs/c-net"
"""
