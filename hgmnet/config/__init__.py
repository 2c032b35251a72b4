"""params.yaml and pccp.yaml as typed, frozen sections: no defaults, no unknown keys.

One module per reader, so that a stage depends only on its own sections.
"""
