"""New images compared with those that a model was made from.

Imports validation, artifacts and hgmnet.
"""
