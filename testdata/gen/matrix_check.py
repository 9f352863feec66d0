"""Completes the cases: the goldens, and whether the export's own forward pass in onnxruntime gives their losses."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import numpy as np
import onnxruntime
import torch

from matrix_all import ARCHITECTURES
from matrix_export import EXPORTERS
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
        if EXPORTERS[case["exporter"]].quantised:
            update(place, **_pool(_own, place, case))
            continue
        case["golden"] = golden(case["arch"], case["half"])
        update(place, golden=case["golden"], forward=_apart(place, case))


def _own(place, case):
    """The goldens of a model that PyTorch hasn't: onnxruntime's losses, and no norms."""
    try:
        losses = _losses(place, case)
    except Exception as error:  # whatever the runtime says
        return {"golden": {"loss": [], "norm": [], "numbers": 0}, "forward": f"onnxruntime: {str(error).splitlines()[0]}"[:300]}
    return {"golden": {"loss": losses.tolist(), "norm": [], "numbers": 0}, "forward": ""}


def _apart(place, case):
    try:
        return _pool(_forward, place, case)
    except BrokenProcessPool:
        return "onnxruntime crashes on it"


def _pool(run, *arguments):
    """Runs it in a process of its own: what an optimizer broke may take the runtime down with it."""
    context = get_context("forkserver")  # a plain fork inherits the locks of PyTorch's threads
    context.set_forkserver_preload(["matrix_check"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(run, *arguments).result()


def _forward(place, case):
    want = np.array(case["golden"]["loss"])
    try:
        got = _losses(place, case)
    except Exception as error:  # whatever the runtime says
        return f"onnxruntime: {str(error).splitlines()[0]}"[:300]
    worst = float(np.max(np.abs(got - want) / np.abs(want)))
    return "" if worst <= _TOLERANCE[case["half"]] else f"its own losses are {worst:.1e} off PyTorch's"


def _losses(place, case):
    """The losses of the export's own forward pass."""
    feeds = {k: _array(v) for k, v in case["batch"]["inputs"].items()}
    labels = _array(case["batch"]["labels"])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")  # without it activations are rounded to 8 bits
    session = onnxruntime.InferenceSession(read_model(place), options, providers=["CPUExecutionProvider"])
    (logits,) = session.run([case["output"]], feeds)
    return np.array([score(case["loss"], torch.from_numpy(logits[i : i + 1]).double(), labels[i : i + 1]).item() for i in range(len(labels))])


def _array(tensor):
    return np.array(tensor["data"], tensor["dtype"]).reshape(tensor["shape"])
