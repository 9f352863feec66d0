"""Writes the optimizer goldens: ten DP-Adam steps without noise on fixed batches, in double precision.

Step t, with per-example gradients g_i, clipping norm C and the expected batch size B (not the number of rows):

    g  = 1/B sum_i min(1, C/|g_i|) g_i
    m  = b1 m + (1-b1) g,   v = b2 v + (1-b2) g^2
    w -= lr (m/(1-b1^t)) / (sqrt(v/(1-b2^t)) + eps)

A single-precision run is made too, and its distance from the double-precision one printed: it must be under
1e-4 of the weights, outside the values listed as ill conditioned.
"""

import sys

import torch
from safetensors.torch import save_file

from batch import draw, to_json
from cases import Case
from families import FAMILIES
from pergrad import clip_factor, per_example
from store import ROOT, write_json

FOLDER = ROOT / "optimizer"
SETTINGS = {"optimizer": "adam", "lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0,
            "clip": "abadi", "clip_norm": 0.1, "expected_batch": 5, "noise_multiplier": 0.0}
KEY_BIAS = ("a key bias adds the same to all scores of a query, which softmax ignores: its gradient is 0 in exact "
            "arithmetic, and Adam blows the rounding error up to steps of the size of lr")

# (padded length, rows) of the ten batches: sizes around the expected batch, as Poisson sampling gives them.
_LM = [(12, ("full", "padded", "prefix", "padded", "full")), (17, ("padded", "single", "full")),
       (9, ("full", "none", "padded", "full", "repeated", "prefix")), (23, ("prefix", "prefix", "full", "padded"))]
_CLS = [(12, ("full", "padded", "padded", "full", "full")), (17, ("padded", "short", "full")),
        (9, ("full", "padded", "full", "repeated", "padded", "full")), (23, ("padded", "padded", "full", "full"))]
RUNS = {"gpt2": ("causal-lm", _LM), "bert": ("classify", _CLS), "distilbert": ("classify", _CLS)}
STEPS = 10


def ill_conditioned(family_name, model):
    """The values whose gradient is exactly 0 in exact arithmetic: [{name, first, last (excluded), reason}]."""
    listed = []
    for name, p in model.named_parameters():
        first = None
        if family_name == "gpt2" and name.endswith("c_attn.bias"):
            first, last = len(p) // 3, 2 * len(p) // 3
        elif name.endswith(("key.bias", "k_lin.bias")):
            first, last = 0, len(p)
        if first is not None:
            listed.append({"name": name, "first": first, "last": last, "reason": KEY_BIAS})
    return listed


def batches(family_name):
    """The ten batches: (inputs, targets)."""
    loss, shapes = RUNS[family_name]
    for step in range(STEPS):
        length, rows = shapes[step % len(shapes)]
        inputs, targets, optional = draw(FAMILIES[family_name], Case(loss, length, rows), salt=step + 1)
        yield inputs, targets, optional


def train(family_name, dtype):
    """The model after ten steps, everything computed in dtype."""
    model = FAMILIES[family_name].build().to(dtype)
    s = SETTINGS
    adam = torch.optim.Adam(model.parameters(), lr=s["lr"], betas=(s["beta1"], s["beta2"]), eps=s["eps"])
    for inputs, targets, _ in batches(family_name):
        tensors = [{k: torch.from_numpy(v) for k, v in d.items()} for d in (inputs, targets)]
        total = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
        for _, _, gradient in per_example(model, RUNS[family_name][0], *tensors):
            norm = sum(g.square().sum() for g in gradient.values()).sqrt().item()
            factor = clip_factor(s["clip"], s["clip_norm"], norm)
            for n, g in gradient.items():
                total[n] += factor * g
        for n, p in model.named_parameters():
            p.grad = total[n] / s["expected_batch"]
        adam.step()
    return {n: p.detach() for n, p in model.named_parameters()}


def compare(family_name, double, single, listed):
    """The largest distance of the two runs over the parameters, relative to the weights and to the update."""
    start = dict(FAMILIES[family_name].build().named_parameters())
    worst = {"of the largest weight": 0.0, "of the norm": 0.0, "of the update's norm": 0.0}
    for name, want in double.items():
        got, began = single[name].double(), start[name].detach().double()
        for item in (i for i in listed if i["name"] == name):
            keep = [i for i in range(len(want)) if not item["first"] <= i < item["last"]]
            want, got, began = want[keep], got[keep], began[keep]
        if want.numel() == 0:
            continue
        gap = got - want
        figures = (gap.abs().max() / want.abs().max(), gap.norm() / want.norm(), gap.norm() / (want - began).norm())
        worst = {k: max(v, f.item()) for (k, v), f in zip(worst.items(), figures)}
    print(f"{family_name}: float32 against float64, worst parameter:",
          ", ".join(f"{v:.1e} {k}" for k, v in worst.items()))
    if worst["of the norm"] > 1e-4 or worst["of the largest weight"] > 1e-4:
        sys.exit(f"{family_name}: the run is too ill conditioned for a golden")


def main():
    for family_name, (loss, _) in RUNS.items():
        listed = ill_conditioned(family_name, FAMILIES[family_name].build())
        double, single = train(family_name, torch.float64), train(family_name, torch.float32)
        compare(family_name, double, single, listed)
        steps = [{"batch": {"inputs": {k: to_json(v) for k, v in x.items()}, **{k: to_json(v) for k, v in y.items()}},
                  "optional_inputs": {k: to_json(v) for k, v in o.items()}} for x, y, o in batches(family_name)]
        write_json(FOLDER / f"{family_name}.json", {
            "family": family_name, "loss": loss, "settings": SETTINGS, "ill_conditioned": listed,
            "weights": f"{family_name}.safetensors", "steps": steps})
        save_file({n: p.float().contiguous() for n, p in double.items()}, FOLDER / f"{family_name}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
