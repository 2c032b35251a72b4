"""Predict files with torch or ONNX Runtime, and export models with a check of the export.

Imports inference, pages, phantom and data.
"""
