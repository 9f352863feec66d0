"""Exports by PyTorch's TorchScript exporter, opset 13 and 17. Needs the environment of requirements-ts.txt."""

import io
import warnings

import onnx
import torch

from families import FAMILIES
from store import store
from wrap import INPUTS, Hidden, Logits, trace_inputs

# (model, family, opset, attention, wrapper, output). Opset 13 cannot express the SDPA of sequence masks.
EXPORTS = [
    *((f"{f}-ts13", f, 13, "eager", Logits, "logits") for f in ("gpt2", "bert", "roberta", "distilbert")),
    *((f"{f}-ts17", f, 17, "sdpa", Logits, "logits") for f in ("gpt2", "bert", "roberta", "distilbert")),
    ("gpt2-base-ts17", "gpt2", 17, "sdpa", Hidden, "last_hidden_state"),
    ("gpt2-default-ts17", "gpt2-default", 17, "sdpa", Logits, "logits"),
]


def export(name, family_name, opset, attn, wrapper, output):
    family = FAMILIES[family_name]
    model = family.build(attn)
    sequence = {0: "batch", 1: "sequence"}
    axes = {n: sequence for n in INPUTS}
    axes[output] = sequence if wrapper is Hidden else dict(enumerate(family.logits_axes))
    buffer = io.BytesIO()
    torch.onnx.export(
        wrapper(model), trace_inputs(family), buffer, input_names=list(INPUTS), output_names=[output],
        dynamic_axes=axes, opset_version=opset, dynamo=False,
    )
    proto = onnx.load_from_string(buffer.getvalue())
    store(name, family_name, "torchscript", model, proto, output, "tied" if wrapper is Hidden else None)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for row in EXPORTS:
        export(*row)
