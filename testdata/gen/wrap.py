"""Wrappers that give an export exactly two inputs and one output, and the example inputs of the trace."""

import torch

INPUTS = ("input_ids", "attention_mask")


class Logits(torch.nn.Module):
    """The model's logits from input_ids and attention_mask."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


class Hidden(torch.nn.Module):
    """The last hidden states of a model's base, without its head."""

    def __init__(self, model):
        super().__init__()
        self.model = model.base_model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def trace_inputs(family, batch=3, length=11):
    """Ids and a mask whose sizes are no size of the model; the last row is padded."""
    ids = torch.arange(batch * length).reshape(batch, length) % 80 + 5
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[-1, -3:] = 0
    ids[-1, -3:] = family.pad
    return ids, mask
