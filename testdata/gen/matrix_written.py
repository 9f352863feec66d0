"""Checks the models that Ghostwriter wrote back into the matrix against the exporters' own: exits 1 if anything is off.

    matrix_written.py            (after exportmatrix --write --keep)

    - onnx.checker accepts every written model whose export it accepts, and onnxruntime loads it where it loads the export
    - apart from the numbers of initializers the two files are equal; an Identity over an initializer, TorchScript's way of
      writing a parameter whose first values equal another's, may have become an initializer of its own
"""

import sys

import onnx
import onnxruntime

from matrix_store import cases


def checked(model):
    """What onnx.checker says against a model; "" for nothing."""
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # whatever it raises
        return str(error).splitlines()[0]
    return ""


def loaded(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever the runtime says
        return str(error).splitlines()[0]
    return ""


_NUMBERS = ("raw_data", "float_data", "int32_data", "double_data")


def without_numbers(graph, changed):
    """Empties the floating initializers of a graph and of its branches; their numbers go to `changed` by place."""
    for place, tensor in enumerate(graph.initializer):
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE):
            changed.append((place, onnx.numpy_helper.to_array(tensor).tobytes()))
            for field in _NUMBERS:
                tensor.ClearField(field)
    for node in graph.node:
        for attribute in node.attribute:
            for branch in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                without_numbers(branch, changed)


def split_identities(old, new):
    """Undoes in both files what became of identities; the names."""
    gone = {n.name for n in new.graph.initializer} - {n.name for n in old.graph.initializer}
    for node in [n for n in old.graph.node if n.op_type == "Identity" and n.output[0] in gone]:
        old.graph.node.remove(node)
    for tensor in [t for t in new.graph.initializer if t.name in gone]:
        new.graph.initializer.remove(tensor)
    return gone


def difference(old, new):
    """(what differs beside numbers, tensors with other numbers, identities split)."""
    gone = split_identities(old, new)
    before, after = [], []
    without_numbers(old.graph, before)
    without_numbers(new.graph, after)
    changed = sum(a != b for a, b in zip(before, after))
    same = old.SerializeToString(deterministic=True) == new.SerializeToString(deterministic=True) and len(before) == len(after)
    return "" if same else "something beside the weights changed", changed, len(gone)


def compare(old, new):
    """(what is wrong with a written model, tensors with other numbers, identities split); changes both."""
    wrong = [w for w in (checked(new) if not checked(old) else "", loaded(new) if not loaded(old) else "") if w]
    beside, changed, split = difference(old, new)
    wrong += [beside] if beside else []
    wrong += [] if changed + split else ["no weight changed"]
    return wrong, changed, split


def main():
    checks, failures, tensors, identities, unchecked = 0, 0, 0, 0, 0
    for place, _ in cases():
        path = place / "written.onnx"
        if not path.exists():
            continue
        old, new = onnx.load(str(place / "model.onnx")), onnx.load(str(path))
        unchecked += bool(checked(old))
        wrong, changed, split = compare(old, new)
        checks, tensors, identities = checks + 1, tensors + changed, identities + split
        if wrong:
            failures += 1
            print(f"{place.name}: {'; '.join(wrong)}")
    print(f"{checks} written models, {failures} wrong; {tensors} tensors with other numbers, {identities} identities made initializers; "
          f"onnx.checker refuses the export itself {unchecked} times")
    sys.exit(1 if failures or not checks else 0)


if __name__ == "__main__":
    main()
