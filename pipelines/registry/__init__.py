"""MLflow: where decisions are recorded and versions registered.

`tracking_store` finds the store, `decision_run` says what is recorded, `versions` registers,
`verification` loads a version back in a fresh process, `history` and `aliases` say who serves.
"""
