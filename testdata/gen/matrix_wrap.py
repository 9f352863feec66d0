"""The modules handed to an exporter: named inputs, one output."""

import torch


class Text(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


class TypedText(Text):
    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits


class TextToText(Text):
    def forward(self, input_ids, attention_mask, decoder_input_ids, decoder_attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=decoder_input_ids,
                          decoder_attention_mask=decoder_attention_mask).logits


class Image(Text):
    def forward(self, pixel_values):
        return self.model(pixel_values=pixel_values).logits


class Sound(Text):
    def forward(self, input_values):
        return self.model(input_values=input_values).logits


class Spectrum(Text):
    def forward(self, input_features):
        return self.model(input_features=input_features).logits


def wrap(model, inputs):
    """The wrapper that takes these inputs, in their order."""
    for name, kind in (("pixel_values", Image), ("input_values", Sound), ("input_features", Spectrum)):
        if name in inputs:
            return kind(model)
    if "decoder_input_ids" in inputs:
        return TextToText(model)
    return TypedText(model) if "token_type_ids" in inputs else Text(model)


def axes(inputs):
    """The names of the inputs' dynamic axes: the batch, and the length of text."""
    return {n: {0: "batch"} if v.ndim != 2 else {0: "batch", 1: "decoder_sequence" if n.startswith("decoder") else "sequence"}
            for n, v in inputs.items()}
