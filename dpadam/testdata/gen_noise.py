"""Writes noise.json: known answers of the random streams, computed without this package.

- ctr: AES-256-CTR keystream words of (key, index, chunk) by the cryptography package
- ratchet: keys of the ratchet by hashlib
- exp: exp(-a) to 60 digits by mpmath

Run with Python 3, cryptography and mpmath:  python gen_noise.py > noise.json
"""
import hashlib
import json
import struct
import mpmath as mp

try:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    def keystream(key, iv, n):
        return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(b"\0" * n)
except ImportError:  # the openssl command gives the same bytes
    import subprocess

    def keystream(key, iv, n):
        return subprocess.run(["openssl", "enc", "-aes-256-ctr", "-K", key.hex(), "-iv", iv.hex()],
                              input=b"\0" * n, stdout=subprocess.PIPE, check=True).stdout

mp.mp.dps = 70
out = {"ctr": [], "ratchet": [], "exp": []}
for key, index, chunk in ((bytes(range(32)), 0, 0), (bytes(range(32)), 1, 0), (bytes(range(32)), 0, 1),
                          (b"\xff" * 32, 2**48 - 1, 2**48 - 1), (bytes(range(31, -1, -1)), 411, 1898)):
    iv = index.to_bytes(6, "big") + chunk.to_bytes(6, "big") + b"\0" * 4
    words = struct.unpack("<%dQ" % 4, keystream(key, iv, 32))
    last = struct.unpack("<Q", keystream(key, iv, 8 * 2050)[-8:])[0]
    out["ctr"].append({"key": key.hex(), "index": str(index), "chunk": str(chunk),
                       "words": [str(w) for w in words], "word2049": str(last)})
state = bytes(range(100, 132))
for index in range(4):
    h = hashlib.sha512(b"ghostwriter/dpadam ratchet v1" + state + index.to_bytes(8, "big")).digest()
    out["ratchet"].append(h[:32].hex())
    state = h[32:]
for a in ("0", "1", "0.5", "1e-9", "0.693147180559945309417232121458", "13.25", "745.125", "1352.0078125"):
    out["exp"].append({"a": a, "exp": mp.nstr(mp.exp(-mp.mpf(a)), 60)})
print(json.dumps(out, indent=1))
