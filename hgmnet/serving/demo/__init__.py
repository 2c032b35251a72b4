"""A page on this machine to look at images with the model."""
