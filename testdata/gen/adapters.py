"""Adapters by PEFT: what the gpt2 family computes with a prefix and with low-rank updates.

    python adapters.py            writes ../adapters/gpt2.json

needs transformers and peft (0.18.0). The prefix and the updates are random; `prefix` is PEFT's prompt_embeddings
[length, 2·layers·width], `lora` holds lora_A [r, in] and lora_B [out, r] by the name of their module.
"""

import json
import pathlib

import numpy as np
import torch
from families import FAMILIES
from peft import LoraConfig, PrefixTuningConfig, get_peft_model

LENGTH, RANK, ALPHA, ROWS, TOKENS = 3, 2, 5, 3, 7


def listed(a):
    a = np.asarray(a, dtype=np.float64)
    return {"shape": list(a.shape), "data": [float(np.float32(v)) for v in a.ravel()]}


def main():
    rng = np.random.default_rng(11)
    ids = torch.from_numpy(rng.integers(2, 96, (ROWS, TOKENS)))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    batch = dict(input_ids=ids, attention_mask=mask)
    out = {"input_ids": ids.tolist(), "attention_mask": mask.tolist(), "length": LENGTH, "rank": RANK, "alpha": ALPHA}

    base = FAMILIES["gpt2"].build()
    base.config.use_cache = True
    model = get_peft_model(base, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=LENGTH, encoder_hidden_size=base.config.n_embd)).eval()
    table = model.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        table.copy_(torch.from_numpy(rng.standard_normal(tuple(table.shape))))
        out["prefix"], out["prefix_logits"] = listed(table), listed(model(**batch).logits)

    model = get_peft_model(FAMILIES["gpt2"].build(), LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, target_modules=["c_attn"], fan_in_fan_out=True)).eval()
    out["lora"] = {}
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(torch.from_numpy(0.3 * rng.standard_normal(tuple(p.shape))))
                out["lora"][name.removeprefix("base_model.model.").replace(".default", "")] = listed(p)
        out["lora_logits"] = listed(model(**batch).logits)
    target = pathlib.Path(__file__).parent.parent / "adapters" / "gpt2.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
