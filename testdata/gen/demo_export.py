"""Exports the demo's untrained model by the dynamo exporter into demo/init."""

import warnings

import onnx

from demo_model import build
from demo_text import DEMO
from export_dynamo import to_onnx
from families import FAMILIES
from scrub import scrub
from store import plain_config, write_json
from wrap import Logits


def main():
    warnings.filterwarnings("ignore")
    model = build()
    proto = to_onnx(Logits(model), FAMILIES["gpt2"], 18, "logits")
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
