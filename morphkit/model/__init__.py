"""The morphable model in torch."""
