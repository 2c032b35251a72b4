"""From an image to a prediction: network, test-time augmentation, postprocessing; torch or ONNX.

Imports data, models and config. `predictor` is the way in; `postprocess` needs no torch.
"""
