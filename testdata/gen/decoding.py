"""Writes ../decoding/{search,processors}.json: what transformers' generate chooses, and what its processors make of
scores, for a language model that is two tables, so that Go computes the same logits bit by bit.

Needs torch and transformers 4.57 (see requirements in README.md).
"""
import json
import math
import pathlib
import random

import torch
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import CausalLMOutput

HERE = pathlib.Path(__file__).parent
V = 23


class TableConfig(PretrainedConfig):
    model_type = "table"

    def __init__(self, vocab_size=V, **kw):
        self.vocab_size = vocab_size
        self.num_hidden_layers = 1
        super().__init__(**kw)


class TableLM(PreTrainedModel, GenerationMixin):
    """The logits behind a token are a row of `last`, plus a row of `before` for the token in front of it."""

    config_class = TableConfig

    def __init__(self, config):
        super().__init__(config)
        self.last = torch.nn.Parameter(torch.zeros(V, V))
        self.before = torch.nn.Parameter(torch.zeros(V, V))

    def prepare_inputs_for_generation(self, input_ids, **kw):
        return {"input_ids": input_ids}

    def forward(self, input_ids, **kw):
        logits = self.last[input_ids]
        if input_ids.shape[1] > 1:
            logits = logits.clone()
            logits[:, 1:] += self.before[input_ids[:, :-1]]
        return CausalLMOutput(logits=logits)


def model():
    torch.manual_seed(5)
    m = TableLM(TableConfig())
    with torch.no_grad():
        m.last.copy_(torch.randn(V, V) * 1.5)
        m.before.copy_(torch.randn(V, V))
    m.generation_config = GenerationConfig()
    return m.eval()


def searches():
    r = random.Random(3)
    base = [dict(max_new_tokens=10)]
    for beams in (2, 3, 5):
        for lp in (0.0, 0.6, 1.0, 2.0, -1.0):
            for es in (True, False, "never"):
                base.append(dict(num_beams=beams, length_penalty=lp, early_stopping=es, max_new_tokens=12))
    extra = [
        dict(min_new_tokens=5), dict(min_length=9), dict(repetition_penalty=1.4), dict(repetition_penalty=0.7), dict(no_repeat_ngram_size=1),
        dict(no_repeat_ngram_size=2), dict(no_repeat_ngram_size=3), dict(bad_words_ids=[[7], [3, 4], [1, 2, 3], [21]]),
        dict(suppress_tokens=[1, 5, 9]), dict(begin_suppress_tokens=[0, 4, 8]), dict(forced_eos_token_id=21), dict(renormalize_logits=True, repetition_penalty=1.3),
        dict(forced_bos_token_id=6), dict(max_length=9), dict(num_return_sequences=3),
        dict(no_repeat_ngram_size=2, repetition_penalty=1.2, bad_words_ids=[[2, 2], [9]], min_new_tokens=3),
    ]
    for e in extra:
        base.append({"max_new_tokens": 8, **e} if "max_length" not in e and "num_return_sequences" not in e else e)
        for beams in (2, 4):
            base.append({"max_new_tokens": 8, "num_beams": beams, "early_stopping": r.choice([True, False, "never"]), "length_penalty": r.choice([0.5, 1.0, 1.7]), **e})
    return [c for c in base if c.get("num_return_sequences", 1) <= c.get("num_beams", 1)]


def write_search():
    m, r, cases = model(), random.Random(11), []
    for i, c in enumerate(searches()):
        c = dict(c)
        if "max_length" in c:
            c.pop("max_new_tokens", None)
        c["eos_token_id"] = [[21], [21, 4], [20, 21, 22]][i % 3]
        for _ in range(4):
            prompt = [r.randrange(V - 3) for _ in range(1 if "forced_bos_token_id" in c else r.randint(1, 5))]
            n = c.get("num_return_sequences", 1)
            out = m.generate(torch.tensor([prompt]), pad_token_id=-7, return_dict_in_generate=True, output_scores=True, **c)
            rows = out.sequences[:, len(prompt):].tolist()
            new = []
            for row in rows:
                row = [t for t in row if t != -7]
                for k, t in enumerate(row):
                    if t in c["eos_token_id"]:
                        row = row[: k + 1]
                        break
                new.append(row)
            case = {"config": c, "prompt": prompt, "new": new}
            if c.get("num_beams", 1) > 1:
                case["scores"] = out.sequences_scores.tolist()
            assert len(new) == n
            cases.append(case)
    tables = {"last": m.last.detach().flatten().tolist(), "before": m.before.detach().flatten().tolist()}
    write("search.json", {"vocabulary": V, "tables": tables, "cases": cases})


def processors():
    """Configurations of single processors and of several together."""
    single = [
        dict(repetition_penalty=1.7), dict(no_repeat_ngram_size=2), dict(no_repeat_ngram_size=1), dict(bad_words_ids=[[3], [5, 6], [21]]),
        dict(min_length=20), dict(min_new_tokens=4), dict(suppress_tokens=[0, 22]), dict(begin_suppress_tokens=[1, 2]),
        dict(do_sample=True, temperature=0.7, top_k=0), dict(do_sample=True, temperature=1.9, top_k=0), dict(do_sample=True, top_k=5), dict(do_sample=True, top_k=1),
        dict(do_sample=True, top_k=0, top_p=0.9), dict(do_sample=True, top_k=0, top_p=0.3), dict(do_sample=True, top_k=0, top_p=0.0),
        dict(do_sample=True, top_k=0, min_p=0.1), dict(do_sample=True, top_k=0, min_p=0.5), dict(do_sample=True, top_k=0, typical_p=0.5),
        dict(do_sample=True, top_k=0, typical_p=0.95), dict(do_sample=True, top_k=0, epsilon_cutoff=0.03), dict(do_sample=True, top_k=0, eta_cutoff=0.05),
        dict(renormalize_logits=True), dict(forced_eos_token_id=21, max_new_tokens=3), dict(forced_bos_token_id=4),
    ]
    several = [
        dict(do_sample=True, temperature=0.8, top_k=10, top_p=0.8, repetition_penalty=1.2, no_repeat_ngram_size=2, bad_words_ids=[[3], [5, 6]]),
        dict(do_sample=True, temperature=1.3, top_k=12, top_p=0.95, min_p=0.02, typical_p=0.9, renormalize_logits=True),
        dict(do_sample=True, num_beams=3, top_k=2, top_p=0.2, min_p=0.9), dict(do_sample=True, num_beams=3, top_k=0, typical_p=0.1, epsilon_cutoff=0.5),
        dict(min_new_tokens=9, suppress_tokens=[2], repetition_penalty=0.8),
    ]
    return single + several


def write_processors():
    m, cases = model(), []
    torch.manual_seed(8)
    r = random.Random(4)
    for c in processors():
        for k in range(4):
            prompt = [r.randrange(V) for _ in range(1 if "forced_bos_token_id" in c and k % 2 else r.randint(1, 6))]
            new = [r.randrange(8) for _ in range([0, 2, 5, 1][k] if "forced_bos_token_id" not in c else k % 2)]
            ids = prompt + new
            if "no_repeat_ngram_size" in c or "bad_words_ids" in c:
                ids += [5]
            scores = torch.randn(1, V) * 3
            if k == 3 and "top_p" not in c:
                scores = (scores * 2).round() / 2  # with equal scores; which of them top-p drops first, torch.sort does not say
            g = GenerationConfig(eos_token_id=[21, 22], **c)
            g.max_length = len(prompt) + c.get("max_new_tokens", 20)
            m._prepare_special_tokens(g, False, device="cpu")
            chain = m._get_logits_processor(g, input_ids_seq_length=len(prompt), encoder_input_ids=None, logits_processor=[], device="cpu")
            out = chain(torch.tensor([ids]), scores.clone())
            cases.append({"config": {**c, "eos_token_id": [21, 22]}, "prompt": len(prompt), "ids": ids, "scores": scores[0].tolist(),
                          "processed": [None if math.isinf(x) else x for x in out[0].tolist()]})
    write("processors.json", {"cases": cases})


def write(name, value):
    path = HERE.parent / "decoding" / name
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(value, separators=(",", ":")).replace('{"config"', '\n{"config"')
    path.write_text(text + "\n")


if __name__ == "__main__":
    write_search()
    write_processors()
