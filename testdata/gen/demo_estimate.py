"""Tries the demo in PyTorch: pretraining on the public text, then private fine-tuning, with what held-out rows say.

Not part of golden.sh; it only shows which settings make the demo convincing. The privacy accounting here is a
noise multiplier given by hand, found with `ghostwriter privacy sigma` for the sampling rate, steps and epsilon.
"""

import argparse
import csv
import json
import time
from collections import Counter

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from demo_model import build
from demo_text import BOS, DEMO


def source(mr):
    """name[A], type[B] -> name : A | type : B"""
    return mr.replace("[", " : ").replace("],", " |").rstrip("]")


def load(tokenizer, file):
    """Rows as (ids, number of source ids up to and including BOS, reference)."""
    bos, rows = tokenizer.token_to_id(BOS), []
    for row in csv.DictReader(open(DEMO / file, newline="")):
        ids = tokenizer.encode(f" {source(row['mr'])} {BOS} {row['ref']} {BOS}").ids
        rows.append((ids, ids.index(bos) + 1, row["ref"]))
    return rows


def table_row(tokenizer, ids):
    """A public record as a row of load(), or None if it is plain text."""
    bos = tokenizer.token_to_id(BOS)
    return (ids, ids.index(bos) + 1, tokenizer.decode(ids[ids.index(bos) + 1 :]).strip()) if ids.count(bos) == 2 else None


def pad(rows, scored_from=lambda row: row[1]):
    """ids [B,T], mask [B,T] and labels [B,T] of rows."""
    t = max(len(r[0]) for r in rows)
    ids = torch.zeros(len(rows), t, dtype=torch.long)
    labels = torch.full((len(rows), t), -100)
    for i, r in enumerate(rows):
        ids[i, : len(r[0])] = torch.tensor(r[0])
        labels[i, scored_from(r) : len(r[0])] = ids[i, scored_from(r) : len(r[0])]
    return ids, labels


def pretrain(model, rows, epochs, lr, batch=32):
    """Adam with linear decay on the mean over examples of the mean loss per token, as `train --no-privacy` does."""
    adam = torch.optim.Adam(model.parameters(), lr=lr)
    rng, began = np.random.default_rng(0), time.time()
    steps = epochs * len(rows) // batch
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = lr * (1 - step / steps)
        ids, labels = pad([rows[i] for i in rng.choice(len(rows), batch, replace=False)], lambda r: 0)
        logits = model(ids).logits
        scored = labels[:, 1:] != -100
        nll = cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none")
        loss = (nll.sum(1) / scored.sum(1)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        if step % (steps // 10) == 0:
            print(f"  step {step}/{steps} loss {loss.item():.3f} {time.time() - began:.0f} s", flush=True)


def clipped_sum(model, c):
    """A function of (parameters, ids, labels) to the sum of clipped gradients, by vmap."""
    def loss(p, ids, labels):
        logits = functional_call(model, p, (ids[None],)).logits[0, :-1]
        scored = labels[1:] != -100
        nll = -logits.log_softmax(-1).gather(-1, labels[1:].clamp(min=0)[:, None])[:, 0]
        return (nll * scored).sum() / scored.sum()
    per_example = vmap(grad(loss), in_dims=(None, 0, 0))

    def run(p, ids, labels):
        g = per_example(p, ids, labels)
        norm = sum(v.flatten(1).square().sum(1) for v in g.values()).sqrt()
        factor = (c / norm).clamp(max=1)
        return {n: torch.einsum("b,b...->...", factor, v) for n, v in g.items()}
    return run


def finetune(model, rows, sigma, args):
    """DP-Adam with Poisson sampling; returns the seconds taken."""
    run = clipped_sum(model, args.clip_norm)
    adam = torch.optim.Adam(model.parameters(), lr=args.lr)
    rng, began = np.random.default_rng(1), time.time()
    for step in range(args.steps):
        chosen = [rows[i] for i in np.flatnonzero(rng.random(len(rows)) < args.batch / len(rows))]
        p = {n: v.detach() for n, v in model.named_parameters()}
        total = {n: torch.zeros_like(v) for n, v in p.items()}
        for i in range(0, len(chosen), 64):
            for n, v in run(p, *pad(chosen[i : i + 64])).items():
                total[n] += v
        for n, v in model.named_parameters():
            v.grad = (total[n] + sigma * args.clip_norm * torch.randn_like(v)) / args.batch
        if args.decay:
            for group in adam.param_groups:
                group["lr"] = args.lr * (1 - step / args.steps)
        adam.step()
    return time.time() - began


@torch.no_grad()
def evaluate(model, tokenizer, rows, shown=3, generated=60):
    """Loss per target token on all rows; BLEU-4 and exact matches of greedy outputs on some."""
    loss = count = 0
    for i in range(0, len(rows), 64):
        ids, labels = pad(rows[i : i + 64])
        logits = model(ids).logits[:, :-1].flatten(0, 1)
        loss += cross_entropy(logits, labels[:, 1:].flatten(), ignore_index=-100, reduction="sum").item()
        count += (labels[:, 1:] != -100).sum().item()
    outputs = [greedy(model, tokenizer, r) for r in rows[:generated]]
    same = sum(o == r[2] for o, r in zip(outputs, rows))
    print(f"  loss per token {loss / count:.3f}, BLEU {bleu(outputs, [r[2] for r in rows]):.3f}, exact {same}/{generated}")
    for o, r in list(zip(outputs, rows))[:shown]:
        print(f"    want {r[2]!r}\n    got  {o!r}")


def greedy(model, tokenizer, row):
    ids, bos = list(row[0][: row[1]]), tokenizer.token_to_id(BOS)
    while len(ids) < 128:
        ids.append(model(torch.tensor([ids])).logits[0, -1].argmax().item())
        if ids[-1] == bos:
            break
    return tokenizer.decode(ids[row[1] :], skip_special_tokens=True).strip()


def bleu(outputs, references):
    """Corpus BLEU-4 with one reference, words and punctuation split at spaces only."""
    matched, total, out_length, ref_length = np.zeros(4), np.zeros(4), 0, 0
    for o, r in zip(outputs, references):
        o, r = (s.replace(";", " ;").replace(".", " .").split() for s in (o, r))
        out_length, ref_length = out_length + len(o), ref_length + len(r)
        for n in range(4):
            a, b = (Counter(tuple(s[i : i + n + 1]) for i in range(len(s) - n)) for s in (o, r))
            matched[n] += sum((a & b).values())
            total[n] += sum(a.values())
    if not matched.all():
        return 0.0
    return float(np.exp(np.log(matched / total).mean()) * min(1, np.exp(1 - ref_length / max(1, out_length))))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--pretrain-lr", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--clip-norm", type=float, default=0.1)
    parser.add_argument("--sigma", type=float, nargs="*", default=[0.62])
    parser.add_argument("--decay", action="store_true")
    parser.add_argument("--cache", help="keep the pretrained weights in this file")
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(DEMO / "init" / "tokenizer.json"))
    public = [(tokenizer.encode(json.loads(line)["text"]).ids, 0, "") for line in open(DEMO / "public.jsonl")]
    train, test = load(tokenizer, "private-train.csv"), load(tokenizer, "private-test.csv")
    print(f"public: {sum(len(r[0]) for r in public)} tokens; private rows: {np.mean([len(r[0]) for r in train]):.1f} tokens")
    model = build("eager")
    try:
        model.load_state_dict(torch.load(args.cache))
    except (FileNotFoundError, AttributeError):
        pretrain(model, public, args.epochs, args.pretrain_lr)
        if args.cache:
            torch.save(model.state_dict(), args.cache)
    print("pretrained, on public tables (seen):")
    seen = [r for r in (table_row(tokenizer, r[0]) for r in public) if r]
    evaluate(model, tokenizer, seen[:200], shown=2)
    print("pretrained, on private rows:")
    evaluate(model, tokenizer, test)
    start = {k: v.clone() for k, v in model.state_dict().items()}
    for sigma in args.sigma:
        model.load_state_dict(start)
        seconds = finetune(model, train, sigma, args)
        print(f"fine-tuned, sigma {sigma}: {seconds:.0f} s")
        evaluate(model, tokenizer, test)


if __name__ == "__main__":
    main()
