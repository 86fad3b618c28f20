#!/usr/bin/env python3
"""Writes key sets and tokens made by Python's cryptography and PyJWT: FOLDER/<name>.jwks and FOLDER/<name>.token.

interop_python.py FOLDER NOW
"""
import base64
import json
import pathlib
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

folder, now = pathlib.Path(sys.argv[1]), int(sys.argv[2])

CLAIMS = {"iss": "https://issuer.example", "aud": "tokend", "sub": "ci:builder", "exp": now + 600, "iat": now, "nbf": now}
CURVES = {"ES256": (ec.SECP256R1(), "P-256", 32), "ES384": (ec.SECP384R1(), "P-384", 48),
          "ES512": (ec.SECP521R1(), "P-521", 66)}


def base64url(number, size=None):
    size = size or (number.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(number.to_bytes(size, "big")).rstrip(b"=").decode()


def rsa_jwk(key):
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": base64url(numbers.n), "e": base64url(numbers.e)}


def ec_jwk(key, algorithm):
    numbers = key.public_key().public_numbers()
    _, name, size = CURVES[algorithm]
    return {"kty": "EC", "crv": name, "x": base64url(numbers.x, size), "y": base64url(numbers.y, size)}


def write(name, keys, key, algorithm, claims=CLAIMS, headers=None):
    (folder / f"{name}.jwks").write_text(json.dumps({"keys": keys}))
    (folder / f"{name}.token").write_text(jwt.encode(claims, key, algorithm=algorithm, headers=headers))


rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"):
    write(algorithm, [rsa_jwk(rsa_key)], rsa_key, algorithm)
for algorithm, (curve, _, _) in CURVES.items():
    key = ec.generate_private_key(curve)
    write(algorithm, [dict(ec_jwk(key, algorithm), kid="ec-1", alg=algorithm, use="sig")], key, algorithm,
          headers={"kid": "ec-1"})

# As a Kubernetes API server serves /openid/v1/jwks, and as it signs a projected service account token.
kubernetes = {
    "aud": ["tokend"], "exp": now + 3607, "iat": now, "iss": "https://issuer.example",
    "jti": "c5b3a5b0-4f5c-4c0e-9d3e-7d2f3f0f5a11",
    "kubernetes.io": {"namespace": "shop", "node": {"name": "node-1", "uid": "6f1c2f5e-6a0b-4f5e-9f57-0d1a0f0b3c11"},
                      "pod": {"name": "checkout-6d8f", "uid": "0d1a0f0b-6a0b-4f5e-9f57-6f1c2f5e3c11"},
                      "serviceaccount": {"name": "checkout", "uid": "9f57aaaa-6a0b-4f5e-9f57-6f1c2f5e3c11"},
                      "warnafter": now + 3607},
    "nbf": now, "sub": "system:serviceaccount:shop:checkout"}
kid = "3Rn3TLeKGC7nHgNQ9cS0IUvfLHlJhDuU1pZQ0k5h0sA"
old = rsa.generate_private_key(public_exponent=65537, key_size=2048)
write("kubernetes",
      [{"use": "sig", "kty": "RSA", "kid": kid, "alg": "RS256", **{k: rsa_jwk(rsa_key)[k] for k in ("n", "e")}},
       {"use": "sig", "kty": "RSA", "kid": "older", "alg": "RS256", **{k: rsa_jwk(old)[k] for k in ("n", "e")}}],
      rsa_key, "RS256", kubernetes, {"kid": kid, "typ": None})

# A SPIFFE trust bundle, and a JWT-SVID.
svid_key = ec.generate_private_key(ec.SECP256R1())
write("spiffe",
      [{"kty": "EC", "use": "x509-svid", "x5c": ["MIIB"], **ec_jwk(svid_key, "ES256")},
       {"use": "jwt-svid", "kid": "svid", **ec_jwk(svid_key, "ES256")}],
      svid_key, "ES256", dict(CLAIMS, aud=["other", "tokend"], sub="spiffe://prod.example/ns/shop/sa/checkout"),
      {"kid": "svid"})

# What must be refused.
edwards = ed25519.Ed25519PrivateKey.generate()
x = base64.urlsafe_b64encode(edwards.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).rstrip(b"=").decode()
write("refused-EdDSA", [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "ed"}, rsa_jwk(rsa_key)], edwards, "EdDSA",
      headers={"kid": "ed"})
write("refused-HS256", [rsa_jwk(rsa_key)], "a shared secret", "HS256")
write("refused-none", [rsa_jwk(rsa_key)], None, "none")
write("refused-another-key", [rsa_jwk(old)], rsa_key, "RS256")
write("refused-expired", [rsa_jwk(rsa_key)], rsa_key, "RS256", dict(CLAIMS, exp=now - 60))
