"""Deterministic weights: drawn by NumPy from the seed and the parameter's name.

They depend neither on PyTorch's generator nor on the order of the parameters, so that two versions of
transformers get the same model. No two values of different parameters are equal (LayerNorm scales and
biases included), so that no exporter can merge two parameters and every initializer is found by content.
"""

import zlib

import numpy as np
import torch


def fill(model, seed, default_init):
    """Overwrites every parameter of the model in place (a tied one once, under its first name)."""
    padding = {id(m.weight): m.padding_idx for m in model.modules()
               if isinstance(m, torch.nn.Embedding) and m.padding_idx is not None}
    with torch.no_grad():
        for name, p in model.named_parameters():
            value = _default(name, p, seed, padding.get(id(p))) if default_init else _random(name, p, seed)
            p.copy_(torch.from_numpy(value))


def _rng(name, seed):
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _is_scale(name, p):
    return p.ndim == 1 and name.endswith(".weight")


def _random(name, p, seed):
    """Scales around 1, shifts and biases around 0, tables and matrices wide enough for lively gradients."""
    draw = _rng(name, seed).standard_normal(tuple(p.shape))
    if _is_scale(name, p):
        value = 1 + 0.2 * draw
    elif p.ndim == 1:
        value = 0.1 * draw
    elif "embeddings" in name or ".wte." in name or ".wpe." in name:
        value = 0.3 * draw
    else:
        value = 0.2 * draw
    return value.astype(np.float32)


def _default(name, p, seed, padding_idx):
    """transformers' initial values: normal(0, 0.02), scales 1, biases and the padding row 0."""
    if p.ndim == 1:
        return np.full(tuple(p.shape), 1.0 if _is_scale(name, p) else 0.0, np.float32)
    value = (0.02 * _rng(name, seed).standard_normal(tuple(p.shape))).astype(np.float32)
    if padding_idx is not None:
        value[padding_idx] = 0
    return value
