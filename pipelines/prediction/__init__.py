"""Predictions of large folders and tables, and exports in 8 bits that were judged on val.

Imports hgmnet.prediction and artifacts.
"""
