"""Images from elsewhere: one file a format, each from a source's files to what becomes of them."""
