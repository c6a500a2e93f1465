"""Trained models as ONNX files, for runtimes without Python.

A model (a module, an `Elman` or a `SequenceModel`) comes in; an ONNX file goes out, checked by onnx and compared
with the model by onnxruntime. Start with `export_onnx` in `file`; `layers` writes a recurrent layer as ONNX nodes,
and `graph` collects the nodes. `bptt export` writes one of the `scripts` beside the file: they predict with
numpy and onnxruntime alone. The folder needs the extra: `pip install bptt[onnx]`.
"""
