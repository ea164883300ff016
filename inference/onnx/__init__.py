"""The ONNX Runtime backend: models that turn texts into vectors, and models that chat."""

from __future__ import annotations

import os

#: From 1.29 on onnxruntime's Linux builds send Microsoft what runs where, under an id they keep in ~/.cache, unless
#: this is set before the library is loaded (github.com/microsoft/onnxruntime, #27379). Nothing leaves the house.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
