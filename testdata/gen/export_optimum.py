"""Exports by optimum. Needs the environment of requirements-dyn.txt; works without a network."""

import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import onnx
from optimum.exporters.onnx import onnx_export_from_model

from families import FAMILIES
from store import store

EXPORTS = [(f"{f}-optimum", f) for f in ("gpt2", "bert", "roberta", "distilbert")]


def export(name, family_name):
    family = FAMILIES[family_name]
    model = family.build()
    with tempfile.TemporaryDirectory() as folder:
        # Its own validation is off: check.py compares with PyTorch on all the golden batches.
        onnx_export_from_model(model, folder, task=family.optimum_task, do_validation=False, monolith=True)
        proto = onnx.load(str(Path(folder) / "model.onnx"))
    store(name, family_name, "optimum", family.build(), proto,
          exporter_versions={"optimum": version("optimum"), "optimum-onnx": version("optimum-onnx")})


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for row in EXPORTS:
        export(*row)
