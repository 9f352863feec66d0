"""Completes the cases: the goldens, and whether the export's own forward pass in onnxruntime gives their losses."""

import numpy as np
import onnxruntime
import torch

from matrix_all import ARCHITECTURES
from matrix_golden import golden, score
from matrix_store import cases, read_model, update

_TOLERANCE = {False: 1e-4, True: 2e-2}  # of the relative difference; half precision or not


def complete():
    """Adds to every case that lacks them "golden" and "forward": "" for a good forward pass, else what is wrong with it."""
    for place, case in cases():
        if case["arch"] in ARCHITECTURES and case.get("freeze") != list(ARCHITECTURES[case["arch"]].fixed):
            update(place, freeze=list(ARCHITECTURES[case["arch"]].fixed))
        if "error" in case or "forward" in case and "numbers" in case["golden"]:
            continue
        case["golden"] = golden(case["arch"], case["half"])
        update(place, golden=case["golden"], forward=_forward(place, case))


def _forward(place, case):
    feeds = {k: _array(v) for k, v in case["batch"]["inputs"].items()}
    labels, want = _array(case["batch"]["labels"]), np.array(case["golden"]["loss"])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(read_model(place), options, providers=["CPUExecutionProvider"])
        (logits,) = session.run([case["output"]], feeds)
    except Exception as error:  # whatever the runtime says
        return f"onnxruntime: {str(error).splitlines()[0]}"[:300]
    got = [score(case["loss"], torch.from_numpy(logits[i : i + 1]).double(), labels[i : i + 1]).item() for i in range(len(want))]
    worst = float(np.max(np.abs(got - want) / np.abs(want)))
    return "" if worst <= _TOLERANCE[case["half"]] else f"its own losses are {worst:.1e} off PyTorch's"


def _array(tensor):
    return np.array(tensor["data"], tensor["dtype"]).reshape(tensor["shape"])
