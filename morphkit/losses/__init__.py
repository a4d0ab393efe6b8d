"""Pure functions of tensors that fitting and training minimise."""

from morphkit.losses.landmark import ibug68_weights, landmark_loss
from morphkit.losses.photometric import attention, photometric_loss
from morphkit.losses.regularization import coefficient_loss

__all__ = ["attention", "coefficient_loss", "ibug68_weights", "landmark_loss", "photometric_loss"]
