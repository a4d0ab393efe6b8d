"""The networks: R-Net, which sees a face in a photo, and C-Net, which says how far to believe it."""
