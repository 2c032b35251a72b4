"""Questions that take many trainings: crossval, ablation, leakage, curve, external, seeds."""
