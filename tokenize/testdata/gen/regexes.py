#!/usr/bin/env python3
"""Writes ../regexes.json: what regular expressions match in the reference (Oniguruma), or that it refuses them.

    pip install tokenizers==0.22.2 && python regexes.py
"""

import json
import pathlib

from tokenizers import Regex, pre_tokenizers

from kinds import CL100K, O200K, QWEN

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DEEPSEEK = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = [
    GPT2, CL100K, QWEN, O200K, DEEPSEEK, r"[一-龥぀-ゟ゠-ヿ]+", r"\p{N}{1,3}", r"\s+", " {2,}", r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", r"(?=(\d{3})+(?!\d))",
    r"^", r"$", r"\A.", r".\z", r".\Z", r"^.", r".$", r"a{2}+", r"a{2}?", r"a{1,2}?", r"a{1,2}+", r"a{,2}", r"a++a", r"a*+b", r"a?+a", r"\h+", r"\H+", r"(?i)hello", r"(?i:'s)", r"a(?i)b|C", r"a(?i:b)c",
    r"(?i)[^k]", r"(?i)[k-m]+", r"(?i:\p{Lu})+", r"[a-z&&[^aeiou]]+", r"[\w&&[^\d_]]+", r"[^a-z&&aeiou]", r"[[:punct:]]+", r"[[:^alpha:]]+", r"[[:upper:][:digit:]]+", r"\p{Han}+", r"\p{^L}+", r"\P{L}+", r"\p{Uppercase_Letter}",
    r"\p{Hiragana}|\p{Katakana}", r"\p{greek}+", r"\p{Alphabetic}+", r"\p{Emoji}", r"\d+", r"\D+", r"\w+", r"\W+", r"\S+", r"\bfoo\b", r"\Boo", r"\b", r"(?<!a)b", r"(?<=\s)a", r"(?<=a|bc)d", r"(?m:.)+", r"(?m).+", r".+", r"\N+", r"\R", r"x*", r"(?:)", r"a|", r"\x41", r"\x{1F600}", r"\u0041",
    r"\.", r"[.]", r"[\]\-a]", r"[]a]", r"[a-]", r"[-a]", r"[a\-c]", r"[\n\t ]+", r"[^\n]+", "(?x: a b # c\n )", r"(?#comment)ab", r"a{", r"a{x", r"a{1", r"{", "}", "]", r"(a|ab)(c|bcd)", r"(?>a+)ab", r"(?:a+?)b", r"[\p{L}--a]", r"[^\s\p{L}]", r"[\s\S]", r"\p{M}+", r"\p{Cn}", r"\p{Cs}", r"\\", r"/", r"#", r"a b", r"~", r"[ -~]+", r"[\x00-\x7f]+", r"[^\x00-\x7f]+",
    r"(", r")", r"[a", r"a**", r"*a", r"[z-a]", r"\p{Nope}", r"(?<name>a)b", r"a{2,1}", r"\K", r"(a)\1", r"(?i)ss", r"(?i:ß)", r"\Gab", r"\X", r"(?~a)", r"(?i)ſ+", r"(?i)[ſ]+", r"(?i)K+", r"İ(?i:i)", r"[\d\-x]+", r"[a-z-9]+", r"[a-\d]",
    r"(?i)[\p{Lu}]+", r"(?i)[[:upper:]]+", r"(?i)[^\p{Lu}]+", r"(?i)[\x00-\x50]+", r"\p{Word}+", r"[\w]+", r"[^\W]+", r"\P{Word}+", r"\p{Punct}+", r"[\p{punct}]", r"\p{L}\p{M}*|\S", r"(?i)\w+",
]
TEXTS = [
    "", "a", "aa", "aaaaaaa", "ab aab aaab b", "a\n", "a\nb\n\nc", "\n", "\n\n", "a\r\nb", "Hello HELLO hello", "'s 'S 'ſ 'll 'LL 'Re", "KK kſ", "foo food afoo foo.", "abc abcd bcd ad bcd", "x1y22z333 4444 55555",
    "12,345 ٣٤٥ ½ Ⅷ", "中文 日本語 カタカナ ひらがな 한국어", "αβγ ΑΒΓ ς", "e\u0301 café İi ß ss SS", "😀 👩\u200d👩 🇫🇷", "a\u00a0b\u2028c\u3000d\u0085e", "$€ +-= <>~^`|", "tab\tend  two   three ", "don't I'M we'll THEY'RE", "[a]-{b} (c) \\ / # . * + ? a{ a{x a{1 a b",
    "MixedCASEWords HTTPServer v2", "\u0378\u0530 \U0001fbff \ue000 \ufffd", "_under_score9", "\x00\x07\x1b\x7f", "abca ababc", "ſs ſ K k",
]


def matches(pattern, text):
    return [n for _, span in pre_tokenizers.Split(Regex(pattern), "removed", invert=True).pre_tokenize_str(text) for n in span]


out = []
for pattern in PATTERNS:
    try:
        out.append({"pattern": pattern, "matches": [matches(pattern, t) for t in TEXTS]})
    except Exception:
        out.append({"pattern": pattern, "matches": None})
rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in out)
path = pathlib.Path(__file__).parent.parent / "regexes.json"
path.write_text('{"texts": ' + json.dumps(TEXTS) + ',\n"patterns": [\n' + rows + "\n]}\n")
