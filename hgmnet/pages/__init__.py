"""Parts of HTML pages: templates, pictures as data URIs, overlays on images."""
