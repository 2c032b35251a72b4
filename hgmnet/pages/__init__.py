"""Parts of HTML pages: templates, pictures as addresses, what is laid over an image."""
