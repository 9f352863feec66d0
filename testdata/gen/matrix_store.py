"""Where an export of the matrix goes: OUT/ARCH-EXPORTER/ with model.onnx and case.json."""

import json
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import onnx

from batch import to_json
from scrub import scrub

OUT = Path(os.environ.get("OUT") or Path(__file__).resolve().parents[2] / "out" / "matrix")
_PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "optimum", "optimum-onnx")


def folder(arch, exporter):
    return OUT / f"{arch}-{exporter}"


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value) + "\n")


def store(arch, exporter, proto, loss, feeds, labels, half):
    """Writes the scrubbed model and its case; matrix_check.complete() adds the rest."""
    place = folder(arch, exporter)
    scrub(proto)
    place.mkdir(parents=True, exist_ok=True)
    (place / "model.onnx").write_bytes(proto.SerializeToString(deterministic=True))
    write(place / "case.json", {
        "arch": arch, "exporter": exporter, "versions": _versions(), "loss": loss, "output": "logits", "half": half,
        "opset": {o.domain: o.version for o in proto.opset_import}, "nodes": len(proto.graph.node),
        "batch": {"inputs": {k: to_json(v) for k, v in feeds.items()}, "labels": to_json(labels)}})


def store_error(arch, exporter, error):
    """Writes a case that only says why there is no model."""
    place = folder(arch, exporter)
    (place / "model.onnx").unlink(missing_ok=True)
    write(place / "case.json", {"arch": arch, "exporter": exporter, "versions": _versions(), "error": error})


def cases():
    """(folder, case) of everything that is there."""
    for path in sorted(OUT.glob("*/case.json")):
        yield path.parent, json.loads(path.read_text())


def update(place, **values):
    """Adds values to a case."""
    path = place / "case.json"
    write(path, json.loads(path.read_text()) | values)


def read_model(place):
    return (place / "model.onnx").read_bytes()


def load(arch, exporter):
    """The model that another exporter made, to be changed."""
    path = folder(arch, exporter) / "model.onnx"
    if not path.exists():
        raise FileNotFoundError(f"there is no {arch}-{exporter} to start from")
    return onnx.load(str(path))


def _versions():
    """The versions of the packages that are installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package).split("+")[0]
        except PackageNotFoundError:
            continue
    return found
