"""Largest image file and image that are decoded: the same for every command and server."""

MAX_FILE_BYTES = 256 * 2**20
"""Of an encoded file; of a deflated DICOM file when it is inflated."""
MAX_PIXELS = 64_000_000
"""Of one image, read from its header before its pixels take memory."""
MAX_FRAMES = 4096
"""Of one file."""
