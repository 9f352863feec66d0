"""The exporters of the matrix by name: each gives an onnx.ModelProto of an architecture, or raises."""

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import onnx
import torch

from matrix_batch import draw, trace
from matrix_store import load
from matrix_wrap import axes, wrap


@dataclass(frozen=True)
class Exporter:
    """run(name, architecture) makes the model."""

    python: str  # the environment, "ts" or "dyn"
    run: Callable
    half: bool = False  # weights in half precision
    quantised: bool = False  # weights of four bits: PyTorch has no such model
    only: str = ""  # the loss of the architectures that it exports; "" all


def _traced(name, architecture):
    """Example inputs of the architecture, as NumPy arrays by name."""
    return trace(draw(name, architecture)[0])


def torchscript(opset, attn):
    def run(name, architecture):
        model = architecture.build(attn)
        inputs = _traced(name, architecture)
        dynamic = axes(inputs)
        dynamic["logits"] = {0: "batch"}
        if architecture.loss != "classify":
            dynamic["logits"][1] = list(dynamic.values())[-2][1]
        buffer = io.BytesIO()
        torch.onnx.export(
            wrap(model, inputs), tuple(torch.from_numpy(v) for v in inputs.values()), buffer, input_names=list(inputs),
            output_names=["logits"], dynamic_axes=dynamic, opset_version=opset, dynamo=False)
        return onnx.load_from_string(buffer.getvalue())

    return run


def dynamo(opset):
    def run(name, architecture):
        model = architecture.build()
        inputs = _traced(name, architecture)
        free = torch.export.Dim.DYNAMIC
        program = torch.onnx.export(
            wrap(model, inputs), tuple(torch.from_numpy(v) for v in inputs.values()), input_names=list(inputs),
            output_names=["logits"], dynamic_shapes={n: {k: free for k in a} for n, a in axes(inputs).items()},
            opset_version=opset, dynamo=True, verbose=False)
        return program.model_proto

    return run


def optimum(past=False, optimize=None):
    def run(name, architecture):
        from optimum.exporters.onnx import onnx_export_from_model

        task = architecture.optimum + ("-with-past" if past else "")
        model = architecture.build()
        model.config.use_cache = past
        with tempfile.TemporaryDirectory() as place:
            onnx_export_from_model(model, place, task=task, do_validation=False, monolith=True, optimize=optimize)
            return onnx.load(str(Path(place) / "model.onnx"))

    return run


def fused(source):
    """onnxruntime.transformers.optimizer over another exporter's model."""

    def run(name, architecture):
        from onnxruntime.transformers import optimizer

        with tempfile.TemporaryDirectory() as place:
            path = str(Path(place) / "model.onnx")
            onnx.save(load(name, source), path)
            return optimizer.optimize_model(path, model_type=architecture.fusion, num_heads=architecture.heads,
                                            hidden_size=architecture.hidden).model

    return run


def halved(source):
    """onnxruntime.transformers.float16 over another exporter's model; inputs and outputs keep their types."""

    def run(name, architecture):
        from onnxruntime.transformers.float16 import convert_float_to_float16

        return convert_float_to_float16(load(name, source), keep_io_types=True)

    return run


def quantised(source, qdq=False):
    """onnxruntime's four-bit weights over another exporter's model: MatMulNBits, or DequantizeLinear before each product."""

    def run(name, architecture):
        from onnxruntime.quantization import QuantFormat
        from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

        settings = DefaultWeightOnlyQuantConfig(
            block_size=16, is_symmetric=qdq, bits=4, quant_format=QuantFormat.QDQ if qdq else QuantFormat.QOperator)
        quantizer = MatMulNBitsQuantizer(load(name, source), algo_config=settings)
        quantizer.process()
        return quantizer.model.model

    return run


EXPORTERS = {
    "dyn18": Exporter("dyn", dynamo(18)),
    "ts17": Exporter("ts", torchscript(17, "sdpa")),
    "ts13": Exporter("ts", torchscript(13, "eager")),
    "ts14": Exporter("ts", torchscript(14, "eager")),  # the oldest in which a causal mask by triu can be written
    "optimum": Exporter("dyn", optimum()),
    "dyn23": Exporter("dyn", dynamo(23)),
    "dyn20": Exporter("dyn", dynamo(20)),
    "optimum-past": Exporter("dyn", optimum(past=True), only="causal-lm"),  # of text2text it would be several files
    "optimum-o2": Exporter("dyn", optimum(optimize="O2")),
    "ts17-ortopt": Exporter("dyn", fused("ts17")),
    "dyn18-ortopt": Exporter("dyn", fused("dyn18")),
    "ts17-fp16": Exporter("dyn", halved("ts17"), half=True),
    "dyn18-nbits": Exporter("dyn", quantised("dyn18"), quantised=True),
    "ts17-qdq4": Exporter("dyn", quantised("ts17", qdq=True), quantised=True),
    "dyn18-fp16": Exporter("dyn", halved("dyn18"), half=True),
}
