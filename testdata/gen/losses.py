"""The losses of `--loss`, per example, from the logits of a batch of one example.

    causal-lm  mean over t with labels[t+1] != -100 of CE(logits[t], labels[t+1]); 0 when there are none
    masked-lm  mean over t with labels[t] != -100 of CE(logits[t], labels[t]); 0 when there are none
    classify   CE(logits, label)
    infill     CE(logits[mask_position, label_words], label)
    mse        mean of (logits - labels)^2
"""

from torch.nn.functional import cross_entropy


def example_loss(loss, logits, targets):
    """The loss of one example: logits [1, ...], targets of torch tensors with a leading 1 (label_words [K])."""
    return _LOSSES[loss](logits, targets)


def _tokens(logits, labels):
    scored = labels != -100
    if not scored.any():
        return logits.sum() * 0
    return cross_entropy(logits[scored], labels[scored])


def _infill(logits, targets):
    row = logits[0].index_select(0, targets["mask_position"])
    return cross_entropy(row[:, targets["label_words"]], targets["labels"])


_LOSSES = {
    "causal-lm": lambda z, y: _tokens(z[:, :-1], y["labels"][:, 1:]),
    "masked-lm": lambda z, y: _tokens(z, y["labels"]),
    "classify": lambda z, y: cross_entropy(z, y["labels"]),
    "infill": _infill,
    "mse": lambda z, y: ((z - y["labels"]) ** 2).mean(),
}
