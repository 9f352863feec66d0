"""Writes noise.json: known answers of the random streams, computed without this package.

- ctr: AES-256-CTR keystream words of (key, index, chunk) by the cryptography package
- ratchet: keys of the ratchet by hashlib
- exp: exp(-a) to 60 digits by mpmath
- normal: samples of round(N(0, s^2)), by an implementation of gauss.go's comment of its own: rational areas, every
  comparison in 100 digits; the first few, and the SHA-256 of all as little-endian int64

Run with Python 3, cryptography and mpmath:  python gen_noise.py > noise.json
"""
import hashlib
import json
import math
import struct
from fractions import Fraction
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
out = {"ctr": [], "ratchet": [], "exp": [], "normal": []}
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


class Ziggurat:
    """round(N(0, s^2)) by 256 regions of equal area, lengths in half lattice units."""

    def __init__(self, s, words):
        self.S, self.words = 2 * s, words
        lo, hi = 0.0, 0.5
        for _ in range(80):
            mid = (lo + hi) / 2
            lo, hi = (lo, mid) if self.build(mid) >= 1 + 2.0**-40 else (mid, hi)
        self.build(hi)
        area, top = Fraction(hi) * self.width[0], Fraction(0)
        self.low, self.height = [], []
        for w in self.width:
            self.low.append(top)
            self.height.append(Fraction(area, w) if self.low[1:] else Fraction(hi))
            top += self.height[-1]
        assert top >= 1

    def build(self, y0):
        def inverse(y):
            return 0.0 if y >= 1 else self.S * math.sqrt(-2 * math.log(y))

        def outward(x):
            return max(1, math.ceil(x * (1 + 2.0**-40)))

        def inward(x):
            return math.floor(x * (1 - 2.0**-40))
        self.r = outward(inverse(y0))
        self.w = outward(float(self.S) * self.S * math.log(2) / self.r)
        self.width, self.inner = [self.r + 2 * self.w], [inward(inverse(y0))]
        y, area = y0, y0 * self.width[0]
        for _ in range(255):
            self.width.append(outward(inverse(y)))
            y += area / self.width[-1]
            self.inner.append(inward(inverse(y)))
        return y

    def under(self, t, low, height):
        v, phi = next(self.words) >> 11, next(self.words) >> 11
        y = low + height * Fraction(v, 2**53)
        y = mp.mpf(y.numerator) / y.denominator
        x = mp.mpf(t) + mp.mpf(phi) / 2**53
        f = mp.exp(-x * x / (2 * self.S**2))
        assert abs(y - f) > (y + f) * mp.mpf(2)**-37, "needs more bits: take another key"
        return y < f

    def uniform(self, n):
        while True:
            x = next(self.words) * n
            if x % 2**64 >= 2**64 % n:
                return x >> 64

    def tail(self):
        k = 0
        while True:
            word = next(self.words)
            z = (word & -word).bit_length() - 1 if word else 64
            k += z
            if z < 64:
                break
        t = self.r + k * self.w + self.uniform(self.w)
        return t, self.under(t, Fraction(0), self.height[0] / 2**k)

    def sample(self):
        while True:
            word = next(self.words)
            i, negative, W = word & 255, word >> 8 & 1, self.width[word & 255]
            x = (word >> 9) * W  # 55 bits
            while x % 2**55 < 2**55 % W:
                x = (next(self.words) >> 9) * W
            t = x >> 55
            if t < self.inner[i]:
                ok = True
            elif i == 0 and t >= self.r:
                t, ok = self.tail()
            else:
                ok = self.under(t, self.low[i], self.height[i])
            if ok:
                return -((t + 1) >> 1) if negative else (t + 1) >> 1


mp.mp.dps = 100
for s, count in ((64, 20000), (1000003, 20000)):
    data = keystream(bytes(range(32)), (5).to_bytes(6, "big") + (6).to_bytes(6, "big") + b"\0" * 4, 8 * 3 * count)
    z = Ziggurat(s, (w[0] for w in struct.iter_unpack("<Q", data)))
    samples = [z.sample() for _ in range(count)]
    out["normal"].append({"s": s, "key": bytes(range(32)).hex(), "index": "5", "chunk": "6", "count": count, "first": samples[:8],
                          "sha256": hashlib.sha256(struct.pack("<%dq" % count, *samples)).hexdigest()})
print(json.dumps(out, indent=1))
