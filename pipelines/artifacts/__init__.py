"""Files that stages hand on: where they lie (`paths`), how they are written (`io`), their types.

Imports `hgmnet.config` and `pipelines.system`. One module of types per writing stage.
"""
