"""Images, masks and what is known of them, from files to prepared arrays.

Imports config. Provides decoded images, manifest rows (`image_record`) and `prepared`.
"""
