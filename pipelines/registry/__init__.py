"""MLflow: where decisions are recorded and versions registered.

`tracking_store` finds the store, `decision_run` says what is recorded, `versions` registers,
`verification` predicts in a fresh process, `history` and `aliases` record which version serves.
"""
