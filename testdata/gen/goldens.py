"""Writes the golden cases of every family: losses, per-example norms, clip factors and clipped sums, by PyTorch."""

import json

import numpy as np
import torch
from safetensors.torch import save_file

from batch import draw, to_json
from cases import CASES
from families import FAMILIES
from pergrad import clip_factor, per_example
from store import CASES as FOLDER
from store import MODELS, write_json

SMALL_LOGITS = 1500  # more values than this are left out of the file


def digits(values):
    """Ten significant digits: far below any tolerance, and the same on every machine.

    What is under 1e-12 is the rounding error of a value that is 0 in exact arithmetic, as a key bias's norm.
    """
    return [float(f"{v:.10g}") if abs(v) > 1e-12 else 0.0 for v in values]


def golden(family_name, case):
    """One case's value for its file, and its clipped sums {file suffix: {parameter: tensor}}."""
    family = FAMILIES[family_name]
    inputs, targets, optional = draw(family, case)
    tensors = [{k: torch.from_numpy(v) for k, v in d.items()} for d in (inputs, targets)]
    examples = list(per_example(family.build().double(), case.loss, *tensors))
    losses, logits, gradients = zip(*examples)
    squared = {n: [g[n].square().sum().item() for g in gradients] for n in gradients[0]}
    norm = np.sqrt(np.sum(list(squared.values()), axis=0))
    value = {
        "loss": case.loss,
        "rows": list(case.rows),
        "batch": {"inputs": {k: to_json(v) for k, v in inputs.items()}, **{k: to_json(v) for k, v in targets.items()}},
        "optional_inputs": {k: to_json(v) for k, v in optional.items()},
    }
    stacked = torch.stack(logits)
    if stacked.numel() <= SMALL_LOGITS:
        value["logits"] = {"shape": list(stacked.shape), "data": digits(stacked.flatten().tolist())}
    value |= {"loss_values": digits(losses), "norm": digits(norm),
              "norms": {n: digits(np.sqrt(s)) for n, s in squared.items()}}
    if family.default_init:
        value["merged"] = merged(family_name, gradients)
    value["clips"], sums = clips(case, norm, gradients)
    return value, sums


def clips(case, norm, gradients):
    """The clip factors of three settings (the third clips about half of the rows) and the sums that are kept."""
    middle = float(f"{np.median(norm):.2g}")
    listed, sums = [], {}
    for clip, c in [("abadi", 0.1), ("auto", 1.0), ("abadi", middle)]:
        if c == 0:
            continue
        factor = [clip_factor(clip, c, n) for n in norm]
        entry = {"clip": clip, "clip_norm": c, "gamma": 0.01, "factor": digits(factor), "sum": None}
        if case.sums:
            entry["sum"] = f"{case.name}.{clip}-{c:g}.safetensors"
            sums[entry["sum"]] = {
                n: sum(f * g[n] for f, g in zip(factor, gradients)).float().contiguous() for n in gradients[0]
            }
        listed.append(entry)
    return listed, sums


def merged(family_name, gradients):
    """Norms per initializer, for each model of a default family, as if an initializer were one parameter.

    The gradients of the parameters that an exporter merged are added; those that it dropped are left out.
    """
    result = {}
    for folder in sorted(MODELS.glob("*")):
        if json.loads((folder / "model.json").read_text())["family"] != family_name:
            continue
        table = json.loads((folder / "names.json").read_text())
        groups = {}
        for name, entry in table.items():
            if entry["initializers"]:
                groups.setdefault(entry["initializers"][0]["name"], []).append(name)
        norms = {k: [sum(g[n] for n in names).norm().item() for g in gradients] for k, names in groups.items()}
        total = np.sqrt(np.sum(np.square(list(norms.values())), axis=0))
        result[folder.name] = {"norm": digits(total), "norms": {k: digits(v) for k, v in norms.items()}}
    return result


def list_cases():
    """Adds to each model.json the cases that the model's inputs allow."""
    for folder in sorted(MODELS.glob("*")):
        about = json.loads((folder / "model.json").read_text())
        about["cases"] = []
        for case in CASES[about["family"]]:
            value = json.loads((FOLDER / about["family"] / f"{case.name}.json").read_text())
            needed, known = set(value["batch"]["inputs"]), set(value["batch"]["inputs"]) | set(value["optional_inputs"])
            if needed <= set(about["inputs"]) <= known:
                about["cases"].append(case.name)
        write_json(folder / "model.json", about)


def main():
    for family_name, cases in CASES.items():
        for case in cases:
            value, sums = golden(family_name, case)
            write_json(FOLDER / family_name / f"{case.name}.json", value)
            for file, tensors in sums.items():
                save_file(tensors, FOLDER / family_name / file)
            print(f"{family_name} {case.name}: norm {[round(n, 4) for n in value['norm']]}")
    list_cases()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
