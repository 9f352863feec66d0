"""Where a model goes and what stands beside it."""

import json
from pathlib import Path

import onnx
import torch
import transformers

from scrub import scrub

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
CASES = ROOT / "cases"


def write_json(path, value):
    """Writes one JSON value, dictionaries and lists of dictionaries a line each, numbers compact."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_lines(value, 0) + "\n")


def _lines(value, depth):
    if depth > 3 or not isinstance(value, dict) or not value:
        return json.dumps(value, separators=(", ", ": "), ensure_ascii=False)
    pad = "  " * (depth + 1)
    inner = ",\n".join(f"{pad}{json.dumps(str(k))}: {_lines(v, depth + 1)}" for k, v in value.items())
    return "{\n" + inner + "\n" + "  " * depth + "}"


def store(name, family_name, exporter, model, proto, output="logits", head=None, exporter_versions=None):
    """Writes model.onnx (scrubbed and checked), config.json and model.json of one exported model."""
    folder = MODELS / name
    folder.mkdir(parents=True, exist_ok=True)
    scrub(proto)
    onnx.checker.check_model(proto, full_check=True)
    (folder / "model.onnx").write_bytes(proto.SerializeToString(deterministic=True))
    write_json(folder / "config.json", plain_config(model.config))
    write_json(folder / "model.json", {
        "family": family_name,
        "exporter": exporter,
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__,
                     "onnx": onnx.__version__, **(exporter_versions or {})},
        "opset": next(o.version for o in proto.opset_import if o.domain == ""),
        "inputs": [i.name for i in proto.graph.input],
        "output": output,
        "head": head,
    })
    print(f"{name}: {(folder / 'model.onnx').stat().st_size} bytes, {len(proto.graph.node)} nodes")


def plain_config(config):
    """The configuration as config.json holds it, without transformers' private keys."""
    return {k: v for k, v in sorted(config.to_diff_dict().items()) if not k.startswith("_")}
