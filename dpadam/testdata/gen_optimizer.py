"""Writes optimizer.json: parameters after each of 12 steps of torch's optimizers in float32, on
fixed gradients over several magnitudes. Run with torch:  python gen_optimizer.py > optimizer.json
"""
import json
import torch

torch.manual_seed(11)
p0 = torch.randn(9) * torch.tensor([1e-3, 1e-2, .1, 1, 1, 1, 10, 100, 0])
grads = [torch.randn(9) * torch.tensor([1e-6, 1e-4, 1e-2, 1, 1e-8, 0, 10, 1, 1e-3]) for _ in range(12)]
cases = {
    "adam": (torch.optim.Adam, dict(lr=2e-3)),
    "adam-decay": (torch.optim.Adam, dict(lr=2e-3, weight_decay=0.1)),
    "adam-betas": (torch.optim.Adam, dict(lr=1e-2, betas=(0.5, 0.7), eps=1e-4)),
    "adamw": (torch.optim.AdamW, dict(lr=2e-3, weight_decay=0.05)),
    "sgd": (torch.optim.SGD, dict(lr=0.1)),
    "sgd-momentum": (torch.optim.SGD, dict(lr=0.05, momentum=0.9)),
    "sgd-momentum-decay": (torch.optim.SGD, dict(lr=0.05, momentum=0.8, weight_decay=0.01)),
}
out = {"torch": torch.__version__, "start": p0.tolist(), "gradients": [g.tolist() for g in grads], "cases": {}}
for name, (cls, kw) in cases.items():
    p = torch.nn.Parameter(p0.clone())
    o = cls([p], foreach=False, **kw)
    steps = []
    for g in grads:
        p.grad = g.clone()
        o.step()
        steps.append(p.detach().tolist())
    out["cases"][name] = steps
print(json.dumps(out, indent=1))
