"""The HTML report, the model card and the tables of the console.

Imports artifacts and hgmnet; templates lie in `templates/`.
"""
