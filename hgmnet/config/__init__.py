"""params.yaml and pccp.yaml as typed, frozen sections: no defaults, no unknown keys.

Imports `hgmnet.errors` alone. One module per reader, so that a stage depends only on the sections
it takes.
"""
