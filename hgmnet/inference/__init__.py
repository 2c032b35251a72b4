"""Prediction from an image, by torch or ONNX: `predictor`; `postprocess` needs no torch."""
