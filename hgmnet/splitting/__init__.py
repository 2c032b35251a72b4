"""Groups of images that belong together (near-duplicates, pairs), and each image's split."""
