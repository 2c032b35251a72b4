"""Predictions of files by torch or ONNX Runtime, and exports checked against their model.

Imports config, data, models, phantom, pages and inference.
"""
