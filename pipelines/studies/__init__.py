"""Questions that take many trainings: cross-validation, ablation, leakage, curve, external, seeds.

Imports stages, registry and report; `runner` carries a study out.
"""
