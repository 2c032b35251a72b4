"""Predictions of files by torch or ONNX Runtime, and exports checked against their model."""
