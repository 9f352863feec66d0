"""Exports the matrix of architectures and exporters, each with PyTorch's losses and norms, into OUT (out/matrix).

    matrix.py --python dyn|ts [PATTERN ...]

does the exporters of one environment, where `ARCH-EXPORTER` matches a pattern (all, if none is given). What is there is
left alone unless FORCE=1. An export that fails leaves a case.json with its error and stops nothing.
"""

import argparse
import contextlib
import fnmatch
import io
import logging
import os
import re
import time
import traceback
import warnings

import torch

from matrix_batch import draw, feeds
from matrix_export import EXPORTERS
from matrix_all import ARCHITECTURES, takes
from matrix_store import folder, store, store_error


def wanted(python, patterns):
    """(architecture, exporter) of everything this environment has to do, exporter by exporter."""
    for exporter, how in EXPORTERS.items():
        for arch, architecture in ARCHITECTURES.items():
            name = f"{arch}-{exporter}"
            if how.python != python or not takes(arch, exporter) or how.only not in ("", architecture.loss):
                continue
            if patterns and not any(fnmatch.fnmatch(name, p) for p in patterns):
                continue
            if os.environ.get("FORCE") == "1" or not (folder(arch, exporter) / "case.json").exists():
                yield arch, exporter


def export(arch, exporter):
    architecture, how = ARCHITECTURES[arch], EXPORTERS[exporter]
    proto = how.run(arch, architecture)
    inputs, labels = draw(arch, architecture)
    store(arch, exporter, proto, architecture.loss, feeds(proto.graph, inputs), labels, how.half)


def cause(error):
    """One line for an exporter's error: that of the deepest cause that says something."""
    while error.__cause__ is not None and str(error.__cause__).strip():
        error = error.__cause__
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {lines[0] if lines else f'in {where.name}: {where.line}'}"[:300]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", choices=("dyn", "ts"), required=True)
    parser.add_argument("patterns", nargs="*")
    arguments = parser.parse_args()
    for arch, exporter in wanted(arguments.python, arguments.patterns):
        began = time.time()
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # TorchScript prints its graph when it fails
                export(arch, exporter)
            said = "ok"
        except Exception as error:  # whatever an exporter raises: the row says it, the others go on
            said = cause(error)
            store_error(arch, exporter, said)
        print(f"{arch}-{exporter}: {said} ({time.time() - began:.0f} s)", flush=True)
    if arguments.python == "dyn":  # the goldens come from one environment, and the other has no onnxruntime
        from matrix_check import complete

        complete()


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    main()
