"""Trained models for other runtimes: ONNX files, checked and compared with what they came from."""
