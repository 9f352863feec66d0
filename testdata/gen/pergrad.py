"""Per-example gradients by the plainest way there is: one example at a time, in double precision."""

import torch

from losses import example_loss


def one(targets, i):
    """The targets of example i, with a leading axis of 1; label_words belong to all."""
    return {k: v if k == "label_words" else v[i : i + 1] for k, v in targets.items()}


def per_example(model, loss, inputs, targets):
    """Yields (loss value, logits of the example, {parameter: gradient}) for each example of the batch.

    inputs and targets are dictionaries of torch tensors. A tied parameter appears once, under its first name,
    with its whole gradient. The example keeps the batch's padded length.
    """
    parameters = dict(model.named_parameters())
    for i in range(len(inputs["input_ids"])):
        logits = model(**{k: v[i : i + 1] for k, v in inputs.items()}).logits
        value = example_loss(loss, logits, one(targets, i))
        gradients = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
        yield value.item(), logits.detach()[0], {
            n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(parameters.items(), gradients)
        }


def clip_factor(clip, clip_norm, norm, gamma=0.01):
    """abadi: min(1, C/|g|); auto: C/(|g| + gamma)."""
    if clip == "abadi":
        return min(1.0, clip_norm / norm) if norm > 0 else 1.0
    return clip_norm / (norm + gamma)
