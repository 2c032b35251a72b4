"""Predictions of files, by torch or ONNX Runtime, and exports that were compared with their model.

Imports inference, pages, phantom and data.
"""
