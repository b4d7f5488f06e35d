"""Judges photographs by an exported file, with NumPy, OpenCV and ONNX Runtime: torch need not be installed."""

from anomaly_diffusion.runtime.inspector import ExportedInspector
from anomaly_diffusion.runtime.onnx_engine import OnnxEngine
from anomaly_diffusion.runtime.openvino_engine import OpenVINOEngine

__all__ = ["ExportedInspector", "OnnxEngine", "OpenVINOEngine"]
