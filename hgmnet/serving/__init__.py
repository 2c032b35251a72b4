"""A model over HTTP: `api` for programs, `demo` a page for readers."""
