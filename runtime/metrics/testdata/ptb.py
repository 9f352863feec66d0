"""Makes ptb_tokens.txt of ptb_texts.txt: the tokens that the COCO caption evaluation sees, before punctuation is removed.

    pip install pycocoevalcap==1.2     # brings stanford-corenlp-3.4.1.jar; Java is needed
    python ptb.py
"""
import os
import subprocess

import pycocoevalcap.tokenizer

here = os.path.dirname(os.path.abspath(__file__))
jar = os.path.join(pycocoevalcap.tokenizer.__path__[0], "stanford-corenlp-3.4.1.jar")
tokens = subprocess.run(
    ["java", "-cp", jar, "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", os.path.join(here, "ptb_texts.txt")],
    check=True, stdout=subprocess.PIPE).stdout
with open(os.path.join(here, "ptb_tokens.txt"), "wb") as f:
    f.write(tokens)
