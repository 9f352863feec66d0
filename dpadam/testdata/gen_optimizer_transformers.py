"""Writes optimizer_transformers.json: transformers' own AdamW (removed after 4.4x) with weight decay,
on the start and gradients of optimizer.json.
Run with torch and transformers 4.46:  python gen_optimizer_transformers.py > optimizer_transformers.json
"""
import json
import pathlib
import torch
import transformers
from transformers.optimization import AdamW

v = json.loads((pathlib.Path(__file__).parent / "optimizer.json").read_text())
p = torch.nn.Parameter(torch.tensor(v["start"]))
o = AdamW([p], lr=3e-3, eps=1e-6, weight_decay=0.05, no_deprecation_warning=True)
steps = []
for g in v["gradients"]:
    p.grad = torch.tensor(g)
    o.step()
    steps.append(p.detach().tolist())
print(json.dumps({"transformers": transformers.__version__, "torch": torch.__version__, "adamw-transformers": steps}, indent=1))
