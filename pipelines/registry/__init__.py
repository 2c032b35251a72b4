"""MLflow: where decisions are recorded and versions registered.

`tracking_store` opens the store, `database` checks it, `decision_run` records a decision,
`versions` registers, `verification` predicts in a fresh process, `history` and `aliases` record
which version serves, `loading` loads a version after verifying it, `copying` copies one to another
store.
"""
