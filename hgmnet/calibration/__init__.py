"""The operating point of a trained model, chosen on val: thresholds, temperature, referral.

Imports data, models, metrics, inference and training; provides `operating_point` and
`mask_threshold`.
"""
