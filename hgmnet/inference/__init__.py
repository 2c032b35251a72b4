"""From an image to a prediction, by torch or ONNX: `predictor`; `postprocess` needs no torch."""
