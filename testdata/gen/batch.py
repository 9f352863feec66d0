"""Draws the batch of a case: a dictionary of NumPy arrays under the names of the batch file."""

import zlib

import numpy as np

UNSCORED = -100
LABEL_WORDS = (17, 71, 5)  # of the infill loss
MASK_ID = 93  # stands where a token is to be guessed; an ordinary id to the model


def draw(family, case, salt=0):
    """Inputs, labels and the neutral inputs that only some exports have.

    Returns (inputs, targets, optional): targets holds labels and, for infill, mask_position and label_words.
    """
    rng = np.random.default_rng([family.seed, zlib.crc32(case.name.encode()), salt])
    rows = [_row(rng, family, case, kind) for kind in case.rows]
    targets = _targets(rng, family, case, rows)  # before the ids are read: it puts the mask token into them
    inputs = {"input_ids": np.stack([r["ids"] for r in rows]), "attention_mask": np.stack([r["mask"] for r in rows])}
    shape = inputs["input_ids"].shape
    optional = {"position_ids": np.tile(np.arange(shape[1]), (shape[0], 1)), "token_type_ids": np.zeros(shape, np.int64)}
    if case.token_types:
        del optional["token_type_ids"]
        inputs["token_type_ids"] = (np.arange(shape[1]) >= rng.integers(0, shape[1], (shape[0], 1))).astype(np.int64)
    return inputs, targets, optional


def _row(rng, family, case, kind):
    """Ids, mask and the positions that may be scored of one row."""
    t = case.length
    real = {"short": 1, "padded": max(1, 2 * t // 3), "prefix": max(1, 3 * t // 4)}.get(kind, t)
    ids = rng.integers(family.lowest_id, family.highest_id + 1, t)
    if kind == "repeated":
        ids[:] = ids[0]
    mask = (np.arange(t) < real).astype(np.int64)
    ids[real:] = family.pad
    scored = mask.astype(bool)
    if kind == "none":
        scored[:] = False
    elif kind == "prefix":
        scored[: real // 2] = False
    elif kind == "single":
        scored[:] = False
        scored[rng.integers(1, t) if t > 1 else 0] = True
    return {"ids": ids.astype(np.int64), "mask": mask, "scored": scored, "kind": kind, "real": real}


def _targets(rng, family, case, rows):
    n = len(rows)
    if case.loss == "causal-lm":
        return {"labels": np.stack([np.where(r["scored"], r["ids"], UNSCORED) for r in rows])}
    if case.loss == "masked-lm":
        return {"labels": np.stack([_mask_tokens(rng, r) for r in rows])}
    if case.loss == "classify":
        return {"labels": rng.integers(0, family.config["num_labels"], n)}
    if case.loss == "mse":
        return {"labels": np.round(rng.standard_normal((n, 1)), 3).astype(np.float32)}
    if case.loss == "infill":
        position = np.array([rng.integers(0, r["real"]) for r in rows])
        for r, p in zip(rows, position):
            r["ids"][p] = MASK_ID
        return {"labels": rng.integers(0, len(LABEL_WORDS), n), "mask_position": position,
                "label_words": np.array(LABEL_WORDS)}
    raise ValueError(case.loss)


def _mask_tokens(rng, row):
    """Puts MASK_ID at about a third of the scored positions (one at least, if any); labels are the old ids there."""
    chosen = row["scored"] & (rng.random(len(row["ids"])) < 0.35)
    if row["scored"].any() and not chosen.any():
        chosen[np.flatnonzero(row["scored"])[0]] = True
    labels = np.where(chosen, row["ids"], UNSCORED)
    row["ids"][chosen] = MASK_ID
    return labels


def to_json(array):
    """An array as the batch file holds a tensor."""
    values = array.reshape(-1).tolist()
    if array.dtype.kind == "f":
        values = [float(np.float32(v)) if array.dtype == np.float64 else round(v, 7) for v in values]
    return {"dtype": "float32" if array.dtype.kind == "f" else "int64", "shape": list(array.shape), "data": values}
