"""A large GPT-2 with random weights, exported by torch's dynamo exporter with its weights in a file beside it.

    large.py FOLDER [LAYERS WIDTH HEADS]

Nothing reads it but whoever measures what training a large model takes: 36 layers of width 1280 (the default) are
GPT-2-large, 774 million parameters, 3 GB. The tokenizer is not made here: name one with --tokenizer.
"""

import sys
from pathlib import Path

import torch
import transformers

from matrix_wrap import axes, wrap


def main(folder, layers=36, width=1280, heads=20):
    config = transformers.GPT2Config(n_layer=layers, n_embd=width, n_head=heads, use_cache=False)
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():  # fresh biases and norms are equal, and the exporter merges equal initializers
        for p in model.parameters():
            if p.ndim == 1:
                p.add_(torch.randn_like(p) * 0.01)
    inputs = {"input_ids": torch.randint(0, 50257, (2, 11)), "attention_mask": torch.ones(2, 11, dtype=torch.int64)}
    free = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        wrap(model, inputs), tuple(inputs.values()), input_names=list(inputs), output_names=["logits"], dynamo=True, verbose=False,
        dynamic_shapes={n: {k: free for k in a} for n, a in axes(inputs).items()}, opset_version=18)
    del model
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    program.save(str(place / "model.onnx"), external_data=True)
    (place / "config.json").write_text(config.to_json_string())


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
