"""Predict images: network, test-time augmentation, postprocessing; by torch or ONNX.

Imports data, models and config. Start with `predictor`; `postprocess` needs no torch.
"""
