"""PyTorch's loss and gradient norm of every record: one at a time, in double precision where the model allows it."""

import json

import torch

from losses import example_loss
from matrix_batch import draw
from matrix_all import ARCHITECTURES
from matrix_store import OUT, write

_FORMULA = {"seq2seq": "masked-lm"}  # the same, on a decoder


def golden(name, half=False):
    """{"loss", "norm", "numbers" trained} of the architecture, kept in a file; half: its weights rounded to half precision first."""
    path = OUT / ".golden" / f"{name}{'-fp16' if half else ''}.json"
    if not path.exists():
        try:
            values = compute(name, half, torch.float64)
        except RuntimeError:  # MPT's mask does not fit its own type in double precision
            values = compute(name, half, torch.float32)
        write(path, values)
    return json.loads(path.read_text())


def compute(name, half, dtype):
    architecture = ARCHITECTURES[name]
    model = architecture.build()
    model = (model.half() if half else model).to(dtype)
    inputs, labels = draw(name, architecture)
    parameters = [p.requires_grad_() for p in (*model.parameters(), *(model.get_buffer(b) for b in architecture.buffers))]
    values = {"loss": [], "norm": [], "numbers": 0}
    for i in range(len(labels)):
        row = {k: torch.from_numpy(v[i : i + 1]) for k, v in inputs.items()}
        row = {k: v.to(dtype) if v.is_floating_point() else v for k, v in row.items()}
        loss = score(architecture.loss, model(**row).logits, labels[i : i + 1])
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        values["loss"].append(loss.item())
        values["numbers"] = sum(g.numel() for g in gradients if g is not None)
        values["norm"].append(sum(g.square().sum().item() for g in gradients if g is not None) ** 0.5)
    return values


def score(loss, logits, labels):
    """The loss of one record, from its logits [1, ...] and its NumPy labels [1, ...]."""
    return example_loss(_FORMULA.get(loss, loss), logits, {"labels": torch.from_numpy(labels)})
