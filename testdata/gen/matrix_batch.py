"""The batch of an architecture: four records, one padded at its end, and what an export may ask for besides."""

import zlib

import numpy as np

UNSCORED = -100
START = 2  # the first token of a decoder
LOWEST = 3  # ids below are special somewhere: PyTorch gives the rows of a padding_idx no gradient
HIGHEST = 95
LENGTHS = (9, 9, 6, 9)
DECODER_LENGTHS = (7, 5, 7, 7)
WAVE = 131  # samples of a sound


def draw(name, architecture):
    """(inputs, labels) of the batch, NumPy arrays; inputs holds every input that PyTorch's model takes."""
    rng = np.random.default_rng([7, zlib.crc32(name.encode())])
    if architecture.loss == "classify" and "image" in architecture.optimum:
        size = architecture.config["image_size"]
        pixels = rng.standard_normal((4, architecture.config["num_channels"], size, size))
        return {"pixel_values": pixels.astype(np.float32)}, rng.integers(0, 3, 4)
    if "audio" in architecture.optimum:
        mel = architecture.config.get("num_mel_bins")
        name, shape = ("input_features", (4, mel, 2 * architecture.config["max_source_positions"])) if mel else ("input_values", (4, WAVE))
        return {name: rng.standard_normal(shape).astype(np.float32)}, rng.integers(0, 3, 4)
    ids, mask = _tokens(rng, LENGTHS, architecture.pad)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if architecture.token_types:
        inputs["token_type_ids"] = (np.arange(ids.shape[1]) >= rng.integers(2, 8, (4, 1))).astype(np.int64)
    if architecture.loss == "classify":
        return inputs, rng.integers(0, 3, 4)
    if architecture.loss == "causal-lm":
        return inputs, np.where(mask == 1, ids, UNSCORED)
    if architecture.loss == "masked-lm":
        chosen = (mask == 1) & (rng.random(ids.shape) < 0.5)
        chosen[:, 1] = True
        return inputs, np.where(chosen, rng.integers(LOWEST, HIGHEST + 1, ids.shape), UNSCORED)
    target, scored = _tokens(rng, DECODER_LENGTHS, architecture.pad)
    shifted = np.concatenate([np.full((4, 1), START), target[:, :-1]], axis=1)
    inputs["decoder_input_ids"] = np.where(scored == 1, shifted, architecture.pad)
    inputs["decoder_attention_mask"] = scored
    return inputs, np.where(scored == 1, target, UNSCORED)


def _tokens(rng, lengths, pad):
    """Ids and mask of rows with these lengths, padded to the longest."""
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    ids = rng.integers(LOWEST, HIGHEST + 1, mask.shape)
    return np.where(mask == 1, ids, pad), mask


def trace(inputs, batch=3, length=11, decoder=8):
    """Example inputs for a trace: as `inputs`, but of sizes that are no size of the model or of the batch."""
    rng = np.random.default_rng(5)
    out = {}
    for name, value in inputs.items():
        extent = decoder if name.startswith("decoder") else length
        if value.dtype == np.float32:
            shape = (WAVE + 30,) if value.ndim == 2 else value.shape[1:]
            out[name] = rng.standard_normal((batch, *shape)).astype(np.float32)
        elif name.endswith("mask"):
            out[name] = np.ones((batch, extent), np.int64)
            out[name][-1, -3:] = 0
        elif name == "token_type_ids":
            out[name] = np.tile((np.arange(extent) > 4).astype(np.int64), (batch, 1))
        else:
            out[name] = rng.integers(LOWEST, HIGHEST + 1, (batch, extent))
    return out


def feeds(graph, inputs):
    """What an exported graph declares: from `inputs`, position ids counted up, and an empty past."""
    known = dict(inputs)
    if "input_ids" in inputs:
        known["position_ids"] = np.tile(np.arange(inputs["input_ids"].shape[1]), (len(inputs["input_ids"]), 1))
        known["token_type_ids"] = inputs.get("token_type_ids", np.zeros_like(inputs["input_ids"]))
    constants = {i.name for i in graph.initializer}
    return {i.name: known[i.name] if i.name in known else _empty(i) for i in graph.input if i.name not in constants}


def _empty(value):
    """The past of a first step: length 0; raises for any other input that is not known."""
    if "past" not in value.name:
        raise ValueError(f"the export has an unknown input {value.name}")
    shape = [d.dim_value if d.HasField("dim_value") else 4 if "batch" in d.dim_param else 0
             for d in value.type.tensor_type.shape.dim]
    return np.zeros(shape, np.float32)
