"""Times training steps of PyTorch and Opacus on the shapes that `ghostwriter bench` measures.

Run by `ghostwriter bench --peers 'python reference.py'` it answers requests on its standard input (the protocol is
described at runtime.BenchPeer), so that its steps are timed in the same rounds as Ghostwriter's. Alone it writes a
bench.json that `ghostwriter bench --merge` reads:

    python reference.py --model DIR --loss causal-lm --length 100 --microbatch 8 --rounds 5 --out peers.json
    python reference.py --model DIR --loss causal-lm --length 9 --microbatch 3 --check

DIR is a model directory with a config.json; weights are drawn at random, dropout is off, attention is eager. A step
is the forward and backward pass of one microbatch, without optimizer and noise:

    eager              the gradient of the batch, not private
    ghost              GradSampleModuleFastGradientClipping with ghost clipping: two backward passes
    per-sample         GradSampleModule: every record's own gradient by hooks, then clipped and summed
"""

import argparse
import copy
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from importlib.metadata import version

import torch
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings("ignore")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

CLIP_NORM = 0.1
BY = {"eager": "pytorch", "ghost": "opacus", "per-sample": "opacus"}
WHAT = {
    "eager": "not private, eager attention: forward, backward",
    "ghost": "private, ghost clipping: norms by one backward pass, the clipped sum by another",
    "per-sample": "private, per-sample gradients by hooks, clipped and summed",
}


class Step:
    """One variant of a training step, ready to be run again and again."""

    def __init__(self, variant, spec):
        self.variant, self.spec = variant, spec
        torch.set_num_threads(spec["threads"])
        torch.manual_seed(0)
        self.model = build_model(spec, tied=variant != "ghost")
        self.inputs, self.labels = records(self.model.config, spec)
        self.model.train()  # Opacus's hooks ask for it; every dropout is 0
        if variant == "ghost":
            self.ghost()
        elif variant == "per-sample":
            self.per_sample()

    def ghost(self):
        from opacus.grad_sample import GradSampleModuleFastGradientClipping
        from opacus.optimizers import DPOptimizerFastGradientClipping

        linear_for_conv1d(self.model)
        self.model = GradSampleModuleFastGradientClipping(
            self.model, loss_reduction="sum", strict=False, max_grad_norm=CLIP_NORM, use_ghost_clipping=True)
        self.optimizer = DPOptimizerFastGradientClipping(
            torch.optim.SGD(self.model.parameters(), lr=0.1), noise_multiplier=1.0, max_grad_norm=CLIP_NORM,
            expected_batch_size=self.spec["microbatch"], loss_reduction="sum")

    def per_sample(self):
        from opacus.grad_sample import GradSampleModule
        from opacus.optimizers import DPOptimizer

        linear_for_conv1d(self.model)
        self.model = GradSampleModule(self.model, loss_reduction="sum", strict=False)
        self.optimizer = DPOptimizer(
            torch.optim.SGD(self.model.parameters(), lr=0.1), noise_multiplier=1.0, max_grad_norm=CLIP_NORM,
            expected_batch_size=self.spec["microbatch"], loss_reduction="sum")

    def losses(self):
        logits = self.model(**self.inputs).logits
        if self.spec["loss"] == "classify":
            return F.cross_entropy(logits, self.labels, reduction="none")
        each = F.cross_entropy(logits.flatten(0, 1), self.labels.flatten(), ignore_index=-100, reduction="none")
        scored = (self.labels != -100).sum(dim=1).clamp(min=1)
        return each.view(self.labels.shape).sum(dim=1) / scored

    def clear(self):
        for p in self.model.parameters():
            p.grad = None
            for name in ("grad_sample", "summed_grad", "_norm_sample"):
                if hasattr(p, name):
                    setattr(p, name, None)

    def run(self):
        """Computes the sum of the records' gradients, clipped where the variant is private."""
        if self.variant == "eager":
            self.losses().sum().backward()
        elif self.variant == "ghost":
            from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

            DPTensorFastGradientClipping(self.model, self.optimizer, self.losses(), "sum").backward()
        else:
            self.losses().sum().backward()
            self.optimizer.clip_and_accumulate()

    def norms(self):
        """The records' gradient norms, as the variant's step has found them."""
        if self.variant == "ghost":
            return self.model.get_norm_sample()
        squares = sum(p.grad_sample.flatten(1).square().sum(1) for p in self.model.parameters())
        return squares.sqrt()

    def timed(self):
        self.clear()
        cpu, begin = time.process_time(), time.perf_counter()
        self.run()
        return time.perf_counter() - begin, time.process_time() - cpu


def build_model(spec, tied=True):
    """The model of a config.json with random weights. Opacus's ghost clipping refuses a parameter that two layers share
    ("Parameter tying is not supported"); for it the head of a language model gets a matrix of its own."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(spec["model"])
    for name in vars(config):
        if "dropout" in name or name.endswith("pdrop"):
            if isinstance(getattr(config, name), float):
                setattr(config, name, 0.0)
    if not tied:
        config.tie_word_embeddings = False
    config.use_cache = False
    kind = AutoModelForSequenceClassification if spec["loss"] == "classify" else AutoModelForCausalLM
    model = kind.from_config(config, attn_implementation="eager")
    for module in model.modules():  # DistilBERT is given no positions: its own get the batch axis that Opacus needs
        if config.model_type == "distilbert" and hasattr(module, "position_ids"):
            module.position_ids = module.position_ids[:, :spec["length"]].expand(spec["microbatch"], -1).contiguous()
    return model


def linear_for_conv1d(model):
    """Opacus has rules for nn.Linear and none for GPT-2's Conv1D, which is the same layer with the matrix transposed."""
    from transformers.pytorch_utils import Conv1D

    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Conv1D):
                linear = nn.Linear(child.weight.shape[0], child.weight.shape[1])
                with torch.no_grad():
                    linear.weight.copy_(child.weight.t())
                    linear.bias.copy_(child.bias)
                setattr(module, name, linear)


def records(config, spec):
    """Random records of full length. Positions are given for every record: Opacus needs the batch axis on every input
    of an embedding."""
    b, t = spec["microbatch"], spec["length"]
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(8, config.vocab_size, (b, t), generator=draw)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    first = {"gpt2": 0, "roberta": 2, "bert": 0}.get(config.model_type)
    if first is not None:
        inputs["position_ids"] = torch.arange(first, first + t).expand(b, t).contiguous()
    if config.model_type in ("roberta", "bert"):
        inputs["token_type_ids"] = torch.zeros_like(ids)
    if spec["loss"] == "classify":
        return inputs, torch.zeros(b, dtype=torch.long)
    labels = torch.cat([ids[:, 1:], torch.full((b, 1), -100)], dim=1)
    return inputs, labels


def software():
    return {name: version(name) for name in ("torch", "transformers", "opacus")}


def peak_bytes():
    """The largest resident set of this process."""
    try:
        with open("/proc/self/status") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def peak_of(variant, spec):
    """The peak memory of a process that runs the variant twice and nothing else."""
    command = [sys.executable, os.path.abspath(__file__), "--peak-of", variant, "--spec", json.dumps(spec)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def run_peak(variant, spec):
    step = Step(variant, spec)
    for _ in range(2):
        step.timed()
    print(peak_bytes())


class Worker:
    """One variant in a process of its own, asked by the same protocol: the heap that another variant has grown would
    save it page faults that it has when it runs alone."""

    def __init__(self, variant):
        self.process = subprocess.Popen([sys.executable, "-B", os.path.abspath(__file__), "--variants", variant],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline() or '{"error": "the process of the variant ended"}')


def spread(request, workers):
    """Answers for several workers: what is asked of one variant goes to its own, the rest to all."""
    if "variant" in request:
        return workers[request["variant"]].ask(request)
    replies = [w.ask(request) for w in workers.values()]
    failed = [r for r in replies if "error" in r]
    merged = failed[0] if failed else replies[0]
    if request["do"] == "open" and not failed:
        merged["variants"] = [v for r in replies for v in r["variants"]]
    return merged


def answer(request, state):
    do = request["do"]
    if do == "open":
        state["spec"] = {k: request[k] for k in ("model", "loss", "length", "microbatch", "threads")}
        state["steps"], variants = {}, []
        for name in state["variants"]:
            try:
                state["steps"][name] = Step(name, state["spec"])
                variants.append({"name": name, "what": WHAT[name], "by": BY[name]})
            except NotImplementedError as error:
                variants.append({"name": name, "skipped": str(error)})
        return {"by": "pytorch", "software": software(), "variants": variants}
    if do == "round":
        step = state["steps"][request["variant"]]
        seconds, cpu = step.timed()
        step.clear()
        return {"seconds": seconds, "cpu_seconds": cpu}
    if do == "peak":
        return {"peak_bytes": peak_of(request["variant"], state["spec"])}
    if do == "close":
        state["steps"] = {}
        return {}
    return {"error": f"unknown request {do!r}"}


def serve(variants):
    """Answers a request a line until the input ends."""
    out, state = sys.stdout, {"variants": variants}
    workers = {v: Worker(v) for v in variants} if len(variants) > 1 else {}
    sys.stdout = sys.stderr  # what libraries print is no answer
    for line in sys.stdin:
        try:
            request = json.loads(line)
            reply = spread(request, workers) if workers else answer(request, state)
        except Exception as error:  # whatever it is, the other side has to know
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=out, flush=True)


def measure(spec, variants, rounds):
    """Times the variants in turn, each in a process of its own, and returns a cell of bench.json."""
    workers = {name: Worker(name) for name in variants}
    opened = spread(dict(spec, do="open"), workers)
    if "error" in opened:
        raise SystemExit(opened["error"])
    for v in opened["variants"]:
        if "skipped" in v:
            print(f"{v['name']} is left out: {v['skipped']}", file=sys.stderr)
            variants.remove(v["name"])
    seconds, cpu = {n: [] for n in variants}, {n: [] for n in variants}
    for turn in range(rounds + 1):
        for name in variants[turn % len(variants):] + variants[:turn % len(variants)]:
            reply = workers[name].ask({"do": "round", "variant": name})
            if "error" in reply:
                raise SystemExit(reply["error"])
            if turn > 0:
                seconds[name].append(reply["seconds"])
                cpu[name].append(reply["cpu_seconds"])
    spread({"do": "close"}, workers)
    measured = []
    for name in variants:
        measured.append({"name": name, "by": BY[name], "what": WHAT[name], "seconds": seconds[name], "cpu_seconds": cpu[name],
                         "median": statistics.median(seconds[name]), "peak_bytes": peak_of(name, spec)})
    return {"model": os.path.basename(os.path.normpath(spec["model"])), "loss": spec["loss"], "length": spec["length"],
            "microbatch": spec["microbatch"], "tokens": spec["length"] * spec["microbatch"], "variants": measured}


def check(spec, variants):
    """Compares the norms that Opacus finds with those of one record at a time, on the very model that is timed."""
    differences = []
    for name in (v for v in variants if v != "eager"):
        step = Step(name, spec)
        plain = copy.deepcopy(step.model._module)
        for module in plain.modules():
            module._forward_hooks.clear()
            module._backward_hooks.clear()
        step.timed()
        norms = step.norms()
        alone = Step.__new__(Step)
        alone.spec, alone.model = spec, plain
        for i in range(spec["microbatch"]):
            alone.inputs = {k: v[i:i + 1] for k, v in step.inputs.items()}
            alone.labels = step.labels[i:i + 1]
            for module in plain.modules():
                if hasattr(module, "position_ids") and isinstance(module.position_ids, torch.Tensor):
                    module.position_ids = module.position_ids[:1]
            alone.clear()
            alone.losses().sum().backward()
            want = sum(p.grad.square().sum() for p in plain.parameters() if p.grad is not None).sqrt()
            differences.append(abs(norms[i].item() / want.item() - 1))
            print(f"{name}: record {i}: norm {norms[i].item():.9g}, alone {want.item():.9g}")
    print(f"largest relative difference {max(differences):.2e}")
    return 0 if all(d < 1e-3 for d in differences) else 1


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", help="model directory; without it requests are read from standard input")
    p.add_argument("--loss", default="causal-lm", choices=["causal-lm", "classify"])
    p.add_argument("--length", type=int, default=100)
    p.add_argument("--microbatch", type=int, default=8)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--variants", default=",".join(WHAT), help="of " + ", ".join(WHAT))
    p.add_argument("--out", help="the file to write (default: standard output)")
    p.add_argument("--check", action="store_true", help="compare Opacus's norms with one record at a time; time nothing")
    p.add_argument("--peak-of", help=argparse.SUPPRESS)
    p.add_argument("--spec", type=json.loads, help=argparse.SUPPRESS)
    a = p.parse_args()
    variants = a.variants.split(",")
    unknown = [v for v in variants if v not in WHAT]
    if unknown:
        p.error(f"unknown variants {unknown}")
    if a.peak_of:
        return run_peak(a.peak_of, a.spec)
    if not a.model:
        return serve(variants)
    spec = {"model": a.model, "loss": a.loss, "length": a.length, "microbatch": a.microbatch, "threads": a.threads}
    if a.check:
        return check(spec, variants)
    report = {"version": 1, "rounds": a.rounds, "cells": [measure(spec, variants, a.rounds)],
              "machine": {"os": platform.system().lower(), "arch": platform.machine(), "threads": a.threads, "software": software()}}
    text = json.dumps(report, indent=1) + "\n"
    if a.out:
        with open(a.out, "w") as f:
            f.write(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
