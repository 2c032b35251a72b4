"""Predictions of files and folders, in batches, by torch or ONNX Runtime.

Imports inference, artifacts and data.
"""
