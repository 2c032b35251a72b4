"""MLflow: where decisions are recorded and models registered.

`store` finds the tracking store, `decision` says what is recorded, `record` writes the run,
`versions` registers and verifies, `elsewhere` loads a version back in a fresh process.
"""
