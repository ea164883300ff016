"""The ONNX Runtime backend: models that turn texts into vectors."""
