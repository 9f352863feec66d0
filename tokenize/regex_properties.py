#!/usr/bin/env python3
"""Writes regex_properties.txt: what \\p{…}, \\w and [[:…:]] match in the reference's regular expressions (Oniguruma).

    pip install tokenizers==0.22.2 && python regex_properties.py > regex_properties.txt

A line is a property's name and its ranges of code points in hexadecimal. Names the reference does not know are left out.
"""

from tokenizers import Regex, pre_tokenizers

# One text of all characters, and where each starts: the reference counts characters.
POINTS = [cp for cp in range(0x110000) if not 0xD800 <= cp < 0xE000]
TEXT = "".join(map(chr, POINTS))

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cn Co Cs".split()
POSIX = "alnum alpha ascii blank cntrl digit graph lower print punct space upper xdigit word".split()
OTHERS = "Alphabetic White_Space Emoji Emoji_Presentation Extended_Pictographic Ideographic Uppercase Lowercase ID_Start ID_Continue XID_Start XID_Continue Default_Ignorable_Code_Point".split()
SCRIPTS = """Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi
Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform
Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic
Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew
Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kayah_Li
Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani
Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive
Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nandinagari New_Tai_Lue Newa Nko Nushu
Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian
Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician
Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo
Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan
Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square""".split()


def ranges(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return [(POINTS[lo], POINTS[hi - 1]) for _, (lo, hi) in split.pre_tokenize_str(TEXT)]


for name in CATEGORIES + OTHERS + SCRIPTS + POSIX:
    pattern = f"[[:{name}:]]+" if name in POSIX else rf"\p{{{name}}}+"
    try:
        found = ranges(pattern)
    except Exception:  # not a property of the reference
        continue
    # A run is broken by the gap of the surrogates.
    parts = []
    for lo, hi in found:
        if lo < 0xD800 and hi > 0xDFFF:
            parts += [(lo, 0xD7FF), (0xE000, hi)]
        else:
            parts.append((lo, hi))
    print(name + ":", " ".join(f"{lo:x}-{hi:x}" if lo != hi else f"{lo:x}" for lo, hi in parts))
