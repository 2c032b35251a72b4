"""Predictions of files, by torch or ONNX Runtime; exports that were compared with their model."""
