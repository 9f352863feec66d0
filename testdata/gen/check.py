"""Checks models and goldens by a second road; exits 1 if anything is off.

    - every exported file in onnxruntime: logits against double-precision PyTorch at all unpadded positions, 1e-4
    - per-example norms of every case again with torch.func (vmap over grad) on the whole batch at once, 1e-8
    - no file names a folder of the machine that made it
"""

import json
import re
import sys

import numpy as np
import onnxruntime as ort
import torch
from torch.func import functional_call, grad, vmap

import demo_model
from batch import draw
from cases import CASES
from families import FAMILIES
from losses import example_loss
from store import CASES as CASE_FOLDER
from store import MODELS, ROOT

FAILED = []


def expect(ok, text):
    """Prints what was measured and remembers a failure."""
    print(("ok   " if ok else "FAIL ") + text)
    if not ok:
        FAILED.append(text)


def logits_of(session, about, model, inputs):
    """The logits of the exported file; a base model's hidden states go through the tied head."""
    names = [i.name for i in session.get_inputs()]
    (out,) = session.run([about["output"]], {n: inputs[n] for n in names})
    return out @ model.get_input_embeddings().weight.detach().numpy().T if about["head"] == "tied" else out


def check_model(folder):
    about = json.loads((folder / "model.json").read_text())
    family = FAMILIES[about["family"]]
    model = family.build()
    double = family.build().double()
    session = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    worst = 0.0
    for case in (c for c in CASES[about["family"]] if c.name in about["cases"]):
        inputs, _, optional = draw(family, case)
        got = logits_of(session, about, model, {**optional, **inputs})
        with torch.no_grad():
            want = double(**{k: torch.from_numpy(v) for k, v in inputs.items()}).logits.numpy()
        real = inputs["attention_mask"].astype(bool) if want.ndim == 3 else np.ones(len(want), bool)
        worst = max(worst, float(np.abs(got - want)[real].max()))
    expect(about["cases"] and worst <= 1e-4, f"{folder.name}: {len(about['cases'])} cases, logits differ by {worst:.1e}")


def check_demo():
    """The demo's untrained model: logits at the smallest and the largest size."""
    session = ort.InferenceSession(str(ROOT / "demo" / "init" / "model.onnx"), providers=["CPUExecutionProvider"])
    model, worst = demo_model.build(), 0.0
    for shape in ((1, 1), (1, 128), (3, 60)):
        ids = np.arange(shape[0] * shape[1]).reshape(shape) * 7 % demo_model.VOCAB
        (got,) = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        worst = max(worst, float(np.abs(got - model(torch.from_numpy(ids)).logits.detach().numpy()).max()))
    expect(worst <= 1e-4, f"demo/init: logits differ by {worst:.1e}")


def vmap_norms(model, case, inputs, targets):
    """Per-example norms by parameter, the whole batch at once."""
    parameters = {n: p.detach() for n, p in model.named_parameters()}
    shared = {k: v for k, v in targets.items() if k == "label_words"}
    single = {k: v for k, v in targets.items() if k not in shared}

    def loss(p, x, y):
        out = functional_call(model, p, kwargs={k: v[None] for k, v in x.items()})
        return masked_loss(case.loss, out.logits, {k: v[None] for k, v in y.items()} | shared)

    gradients = vmap(grad(loss), in_dims=(None, 0, 0), randomness="error")(parameters, inputs, single)
    return {n: g.flatten(1).norm(dim=1).numpy() for n, g in gradients.items()}


def masked_loss(loss, logits, targets):
    """The token losses without indexing by a mask, which vmap cannot do; the others as in losses.py."""
    if loss not in ("causal-lm", "masked-lm"):
        return example_loss(loss, logits, targets)
    labels = targets["labels"]
    if loss == "causal-lm":
        logits, labels = logits[:, :-1], labels[:, 1:]
    scored = labels != -100
    log_p = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return -(log_p * scored).sum() / scored.sum().clamp(min=1)


def check_norms(family_name):
    family = FAMILIES[family_name]
    model = family.build("eager").double()
    worst = 0.0
    for case in CASES[family_name]:
        inputs, targets, _ = draw(family, case)
        tensors = [{k: torch.from_numpy(v) for k, v in d.items()} for d in (inputs, targets)]
        got = vmap_norms(model, case, *tensors)
        want = json.loads((CASE_FOLDER / family_name / f"{case.name}.json").read_text())
        total = np.maximum(want["norm"], 1e-12)
        worst = max(worst, *(float((np.abs(got[n] - want["norms"][n]) / total).max()) for n in want["norms"]))
    expect(worst <= 1e-8, f"{family_name}: {len(CASES[family_name])} cases, norms by vmap differ by {worst:.1e} of the total")


def check_paths():
    path = re.compile(rb"site-packages|(?<![\w.])/(tmp|root|home|usr|work)/")
    named = [str(f.relative_to(ROOT)) for folder in ("models", "cases", "optimizer", "demo")
             for f in (ROOT / folder).rglob("*") if f.is_file() and path.search(f.read_bytes())]
    expect(not named, f"files that name a machine's folders: {named}")


def main():
    for folder in sorted(MODELS.iterdir()):
        check_model(folder)
    check_demo()
    for family_name in CASES:
        check_norms(family_name)
    check_paths()
    sys.exit(f"{len(FAILED)} checks failed" if FAILED else 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
