from .dataset import RenderedDataset, render_dataset
from .settings import SynthesisSettings

__all__ = [
    "RenderedDataset",
    "SynthesisSettings",
    "render_dataset",
]
