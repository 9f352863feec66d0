"""Writes rdp.json: log A_alpha of one step of the Poisson-subsampled Gaussian by 40-digit
quadrature of the definition, for both neighbouring relations.

    A = int P^alpha Q^(1-alpha),  P = (1-q)N(0,s^2)+qN(1,s^2),
    Q = N(0,s^2) (add-remove) or (1-q)N(0,s^2)+qN(-1,s^2) (replace-one)

Run with Python 3 and mpmath 1.3:  python gen_rdp.py > rdp.json
"""
import json
import mpmath as mp

mp.mp.dps = 50


def log_moment(q, s, a, relation):
    q, s, a = mp.mpf(q), mp.mpf(s), mp.mpf(a)

    def f(x):
        p = (1 - q) + q * mp.e ** ((2 * x - 1) / (2 * s * s))
        r = (1 - q) + q * mp.e ** ((-2 * x - 1) / (2 * s * s)) if relation == "replace-one" else mp.mpf(1)
        tangent = 1 + a * (p - 1) + (1 - a) * (r - 1)
        return mp.npdf(x, 0, s) * (p ** a * r ** (1 - a) - tangent)

    z0 = s * s * mp.log(1 / q - 1) + mp.mpf(1) / 2
    marks = {-1 - 30 * s, -1 - 8 * s, mp.mpf(-1), mp.mpf(0), mp.mpf(1) / 2, mp.mpf(1), a, a + 8 * s, a + 40 * s}
    for z in (z0, -z0):
        if -1 - 30 * s < z < a + 40 * s:
            marks |= {z - 3 * s * s, z, z + 3 * s * s}
    marks |= {a - 8 * s, -8 * s, 8 * s, -3 * s, 3 * s, a - 3 * s, a + 3 * s}
    v = mp.quad(f, sorted(marks))
    return mp.log1p(v)


rows = []
for q in (1e-5, 0.001, 0.024345593304961843, 0.3, 0.9, 0.999):
    for s in (0.2, 0.6, 1.0, 4.0, 50.0):
        for a in (1.01, 1.5, 2, 3.7, 10.9, 32, 63.5):
            for rel in ("add-remove", "replace-one"):
                rows.append({"q": q, "sigma": s, "alpha": a, "relation": rel,
                             "log_moment": mp.nstr(log_moment(q, s, a, rel), 20)})
print(json.dumps(rows, indent=0))
