"""Exports by PyTorch's dynamo exporter. Needs the environment of requirements-dyn.txt."""

import warnings

import onnxscript
import torch

from families import FAMILIES
from store import store
from wrap import INPUTS, Hidden, Logits, trace_inputs

# (model, family, opset, wrapper, output)
EXPORTS = [
    *((f"{f}-dyn18", f, 18, Logits, "logits")
      for f in ("gpt2", "bert", "roberta", "distilbert", "distilbert-reg", "bert-default")),
    ("gpt2-dyn23", "gpt2", 23, Logits, "logits"),
    ("gpt2-base-dyn18", "gpt2", 18, Hidden, "last_hidden_state"),
]


def export(name, family_name, opset, wrapper, output):
    family = FAMILIES[family_name]
    model = family.build()
    proto = to_onnx(wrapper(model), family, opset, output)
    store(name, family_name, "dynamo", model, proto, output, "tied" if wrapper is Hidden else None,
          {"onnxscript": onnxscript.__version__})


def to_onnx(module, family, opset, output):
    """The exported model with dynamic batch and sequence axes.

    Dim.DYNAMIC, not named Dims: with bounds, torch 2.15 rejects the guards of transformers' mask code.
    """
    dynamic = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        module, trace_inputs(family), input_names=list(INPUTS), output_names=[output],
        dynamic_shapes={n: {0: dynamic, 1: dynamic} for n in INPUTS}, opset_version=opset, dynamo=True, verbose=False,
    )
    return program.model_proto


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for row in EXPORTS:
        export(*row)
