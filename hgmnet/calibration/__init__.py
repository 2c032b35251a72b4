"""The operating point of a trained model, chosen on val: thresholds, temperature, referral.

Imports config, data, models, metrics and inference.
"""
