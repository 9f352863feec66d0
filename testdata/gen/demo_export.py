"""Exports the demo's untrained model by the dynamo exporter into demo/init.

Biases and LayerNorm parameters begin as equal vectors, and the exporter merges equal initializers (and drops biases that
are 0): what came out would have one LayerNorm for all layers. So they are exported with distinct values, and the true ones
are put into the file afterwards.
"""

import warnings

import onnx
import torch
from onnx import numpy_helper

from demo_model import build
from demo_text import DEMO
from export_dynamo import to_onnx
from families import FAMILIES
from scrub import scrub
from store import plain_config, write_json
from wrap import Logits


def export_whole(model):
    """The exported model with an initializer of its own for every parameter."""
    vectors = {n: p.detach().clone() for n, p in model.named_parameters() if p.ndim == 1}
    with torch.no_grad():
        for n, p in model.named_parameters():
            if n in vectors:
                p.add_(torch.randn_like(p))
    proto = to_onnx(Logits(model), FAMILIES["gpt2"], 18, "logits")
    found = 0
    for initializer in proto.graph.initializer:
        name = initializer.name.removeprefix("model.")
        if name in vectors:
            initializer.CopyFrom(numpy_helper.from_array(vectors[name].numpy(), initializer.name))
            found += 1
    assert found == len(vectors), f"{found} of {len(vectors)} vectors have an initializer of their own"
    return proto


def main():
    warnings.filterwarnings("ignore")
    model = build()
    proto = export_whole(model)
    scrub(proto)
    onnx.checker.check_model(proto, full_check=True)
    folder = DEMO / "init"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(proto.SerializeToString(deterministic=True))
    write_json(folder / "config.json", plain_config(model.config))
    print(f"{folder.name}: {sum(p.numel() for p in model.parameters())} parameters, "
          f"{(folder / 'model.onnx').stat().st_size} bytes")


if __name__ == "__main__":
    main()
