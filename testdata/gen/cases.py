"""The golden cases: one table of loss, batch size, padded length and the kind of each row.

Kinds: full (every token scored), padded (the tail is padding), short (one real token), single (one scored
token), repeated (one id everywhere), none (no scored token: loss and gradient 0), prefix (the first half is
not scored, as the source of table-to-text, and the tail is padding).
"""

from dataclasses import dataclass

SEVEN_LM = ("full", "padded", "single", "repeated", "none", "prefix", "short")
SEVEN_CLS = ("full", "padded", "short", "repeated", "padded", "full", "padded")


@dataclass(frozen=True)
class Case:
    """One golden batch; its name is the file's."""

    loss: str
    length: int
    rows: tuple
    sums: bool = False  # also store the clipped sums
    token_types: bool = False  # token_type_ids that are not all 0: only for models with that input

    @property
    def name(self):
        suffix = "-types" if self.token_types else ""
        return f"{self.loss}-b{len(self.rows)}-t{self.length}{suffix}"


def _lm(loss):
    """The batches of a loss over tokens."""
    return [
        Case(loss, 1, ("full",)),
        Case(loss, 2, ("full",)),
        Case(loss, 33, ("repeated",)),
        Case(loss, 64, ("full",)),
        Case(loss, 1, ("full", "short")),
        Case(loss, 5, ("full", "padded")),
        Case(loss, 16, ("single", "repeated"), sums=True),
        Case(loss, 64, ("padded", "prefix")),
        Case(loss, 2, ("full", "full", "short", "repeated", "none", "full", "full")),
        Case(loss, 16, SEVEN_LM),
        Case(loss, 33, SEVEN_LM, sums=True),
        Case(loss, 64, SEVEN_LM),
    ]


def _per_record(loss):
    """The batches of a loss with one target per record."""
    return [
        Case(loss, 1, ("full",)),
        Case(loss, 2, ("full",)),
        Case(loss, 64, ("full",)),
        Case(loss, 5, ("full", "padded")),
        Case(loss, 16, ("repeated", "padded"), sums=True),
        Case(loss, 33, ("padded", "short")),
        Case(loss, 1, ("full",) * 7),
        Case(loss, 16, SEVEN_CLS),
        Case(loss, 33, SEVEN_CLS, sums=True),
        Case(loss, 64, SEVEN_CLS),
    ]


CASES = {
    "gpt2": _lm("causal-lm"),
    "gpt2-default": [Case("causal-lm", 5, ("full", "padded")), Case("causal-lm", 33, SEVEN_LM)],
    "bert": [*_per_record("classify"), Case("classify", 33, SEVEN_CLS, token_types=True)],
    "bert-default": [Case("classify", 5, ("full", "padded")), Case("classify", 33, SEVEN_CLS)],
    "roberta": [
        *_lm("masked-lm"),
        Case("infill", 2, ("full",)),
        Case("infill", 16, ("repeated", "padded"), sums=True),
        Case("infill", 5, SEVEN_CLS),
        Case("infill", 33, SEVEN_CLS),
    ],
    "distilbert": _per_record("classify"),
    "distilbert-reg": [
        Case("mse", 1, ("full",)),
        Case("mse", 16, ("repeated", "padded"), sums=True),
        Case("mse", 33, SEVEN_CLS),
    ],
}
