"""Images, masks and metadata, from files to manifest rows and prepared arrays."""
