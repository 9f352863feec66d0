"""Writes names.json of every model: where each parameter of the state_dict lies in the ONNX file, found by content.

Exporters rename, transpose, duplicate and merge weights; equality of the values is the one trace that stays.
The dynamo exporter even drops a Gemm's bias that is all zero: such a parameter of a *-default model has no
initializer. With the random values of the other families that would be an error.
"""

import json
import sys

import numpy as np
import onnx
from onnx import numpy_helper

from families import FAMILIES
from store import MODELS, write_json


def names_of(model, proto):
    """Per parameter: its other state_dict names, its initializers with their transform, and who shares them."""
    floats = {i.name: a for i in proto.graph.initializer
              if (a := numpy_helper.to_array(i)).dtype == np.float32 and a.ndim > 0}
    table = {name: {"also": [], "initializers": _find(name, p.detach().numpy(), floats), "shared_with": []}
             for name, p in model.named_parameters()}
    first = {id(p): name for name, p in model.named_parameters()}
    for name, p in model.named_parameters(remove_duplicate=False):
        if first[id(p)] != name:
            table[first[id(p)]]["also"].append(name)
    _empty_dropped(table, proto)
    _note_sharing(table)
    return table


def _find(name, value, floats):
    """The initializers equal to the value or its transpose; by name if default values leave a choice."""
    found = [{"name": n, "transform": t} for n, a in floats.items()
             for t, v in (("identity", value), ("transpose", value.T))
             if (t == "identity" or value.ndim == 2) and a.shape == v.shape and np.array_equal(a, v)]
    if value.ndim == 1 and len(found) > 1:
        named = [f for f in found if f["name"] == name or f["name"].endswith("." + name)]
        if len(named) != 1:
            raise ValueError(f"{name}: {len(found)} initializers fit: {[f['name'] for f in found]}")
        return named
    return found


def _empty_dropped(table, proto):
    """Empties the entry of X.bias where X.weight goes into a Gemm without a bias: an equal zero tensor isn't it."""
    bare = {n.input[1] for n in proto.graph.node if n.op_type == "Gemm" and len(n.input) < 3}
    for name, entry in table.items():
        if name.endswith(".weight") and bare & {i["name"] for i in entry["initializers"]}:
            table[name.removesuffix("weight") + "bias"]["initializers"] = []


def _note_sharing(table):
    """Fills shared_with: the parameters whose default values an exporter merged into one initializer."""
    users = {}
    for name, entry in table.items():
        for initializer in entry["initializers"]:
            users.setdefault(initializer["name"], []).append(name)
    for names in users.values():
        for name in names:
            table[name]["shared_with"] = [n for n in names if n != name]


def main():
    for folder in sorted(MODELS.iterdir()):
        about = json.loads((folder / "model.json").read_text())
        table = names_of(FAMILIES[about["family"]].build(), onnx.load(str(folder / "model.onnx")))
        missing = [n for n, e in table.items() if not e["initializers"]]
        if missing and not FAMILIES[about["family"]].default_init:
            sys.exit(f"{folder.name}: no initializer holds {missing}")
        write_json(folder / "names.json", table)
        many = {n: [f"{i['name']} ({i['transform']})" for i in e["initializers"]]
                for n, e in table.items() if len(e["initializers"]) > 1}
        print(f"{folder.name}: {len(table)} parameters; held more than once: {many}; dropped: {missing}")


if __name__ == "__main__":
    main()
