"""Files passed between stages: their paths (`paths`), reading and writing (`io`), their types.

Imports `hgmnet.config` and `pipelines.system`. One module of types per writing stage.
"""
