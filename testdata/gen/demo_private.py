"""The demo's private records: invented visits to invented clinics, as table and sentence.

The words, the fields and the clipped style of the sentences are in no public text; a model has to learn them here.
"""

from demo_words import invented

FIELDS = {
    "reason": ["knee pain", "back pain", "asthma", "a rash", "migraine", "dizziness", "insomnia", "hay fever", "a cough",
               "fatigue", "cramps", "eczema"],
    "since": ["Monday", "Friday", "last week", "May", "July", "childhood", "yesterday"],
    "plan": ["rest", "ibuprofen", "exercises", "antibiotics", "an inhaler", "a blood test", "an ointment", "a referral"],
}

# The house style of the notes: for most, and for those without a plan.
STYLES = {
    True: "Seen at {name} for {reason} since {since}; given {plan}.",
    False: "Seen at {name} for {reason} since {since}; no treatment.",
}


def record(rng):
    """One visit: (mr as in the E2E csv, ref)."""
    values = {"name": invented(rng)} | {f: rng.choice(v) for f, v in FIELDS.items()}
    if rng.random() < 0.2:
        del values["plan"]
    return ", ".join(f"{f}[{v}]" for f, v in values.items()), STYLES["plan" in values].format(**values)
