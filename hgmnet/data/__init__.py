"""Images, masks and what is known of them, from files to manifest rows and prepared arrays."""
