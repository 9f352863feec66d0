"""Made-up names and common word lists of the demo's texts; nothing here names a real person."""

_ONSETS = "b br c cl d dr f fl g gr h k l m n p pr qu r s st t tr v w".split()
_VOWELS = "a e i o ai ea oo ou".split()
_CODAS = "d l ld ll n nd ng r rn th x".split()
_TAILS = "ton ley ford mere wick by ow ia en".split()

ADJECTIVES = "Silver Green Quiet Golden Northern Blue Hidden Old Bright Little Royal Stone Winter Copper".split()
NOUNS = "Lantern Harbour Garden Bridge Mill Crown Falcon Meadow Tower Anchor Orchard Compass River Gate".split()


def invented(rng):
    """A pronounceable word that starts with a capital, as Drenford or Quailley."""
    word = rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) + rng.choice(_TAILS)
    return word.capitalize()


def title(rng):
    """A name of one or two words: invented, or an adjective and a noun, or a mixture."""
    kind = rng.random()
    if kind < 0.4:
        return invented(rng)
    first = rng.choice(ADJECTIVES) if kind < 0.8 else invented(rng)
    return f"{first} {rng.choice(NOUNS)}"
