"""Pure functions of tensors that fitting and training minimise."""
