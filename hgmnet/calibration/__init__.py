"""The operating point of a trained model, chosen on val: thresholds, temperature, referral."""
