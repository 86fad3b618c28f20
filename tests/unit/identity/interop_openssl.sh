#!/usr/bin/env bash
# Writes key sets and tokens made by OpenSSL's command line alone: FOLDER/<name>.jwks and FOLDER/<name>.token.
#   interop_openssl.sh FOLDER NOW
set -euo pipefail
cd "$1"
now=$2

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
from_hex() { printf "$(sed 's/../\\x&/g')"; }
# Left-padded with zeros to $1 hex digits.
padded() { local hex; read -r hex; printf '%*s' "$1" "$hex" | tr ' ' 0; }

claims="{\"iss\":\"https://issuer.example\",\"aud\":\"tokend\",\"sub\":\"ci:builder\",\"exp\":$((now + 600))}"
input() { printf '%s.%s' "$(printf '{"alg":"%s","typ":"JWT"}' "$1" | base64url)" "$(printf '%s' "$claims" | base64url)"; }

openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem 2>/dev/null
n=$(openssl rsa -in rsa.pem -modulus -noout | sed 's/Modulus=//' | from_hex | base64url)
for name in RS256:sha256 RS384:sha384 PS256:sha256 PS512:sha512; do
  algorithm=${name%:*}
  options=()
  [[ $algorithm == PS* ]] && options=(-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest)
  printf '{"keys":[{"kty":"RSA","n":"%s","e":"AQAB"}]}' "$n" >"openssl-$algorithm.jwks"
  printf '%s.%s' "$(input "$algorithm")" \
    "$(input "$algorithm" | openssl dgst "-${name#*:}" -sign rsa.pem ${options[@]+"${options[@]}"} | base64url)" \
    >"openssl-$algorithm.token"
done

for name in ES256:sha256:P-256:64 ES384:sha384:P-384:96 ES512:sha512:P-521:132; do
  IFS=: read -r algorithm digest curve digits <<<"$name"
  openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:$curve" -out ec.pem
  # The uncompressed point is the last 2 * digits of the public key's DER.
  point=$(openssl pkey -in ec.pem -pubout -outform DER | od -An -v -tx1 | tr -d ' \n' | tail -c $((2 * digits)))
  printf '{"keys":[{"kty":"EC","crv":"%s","x":"%s","y":"%s"}]}' "$curve" \
    "$(printf '%s' "${point:0:digits}" | from_hex | base64url)" \
    "$(printf '%s' "${point:digits}" | from_hex | base64url)" >"openssl-$algorithm.jwks"
  signature=$(input "$algorithm" | openssl dgst "-$digest" -sign ec.pem | openssl asn1parse -inform DER |
    sed -n 's/.*INTEGER *://p' | while read -r number; do printf '%s\n' "$number" | padded "$digits"; done |
    from_hex | base64url)
  printf '%s.%s' "$(input "$algorithm")" "$signature" >"openssl-$algorithm.token"
done
