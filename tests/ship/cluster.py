"""What a cluster gives its Pods in the tests of this folder: certificates, projected tokens, and the API server that
has the keys of these tokens; and manifests as kustomize renders them."""

import base64
import datetime
import http.server
import ipaddress
import json
import os
import pathlib
import ssl
import sys

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from kubelet import run

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
ISSUER = "https://kubernetes.default.svc.cluster.local"  # as in deploy/kubernetes/base/tokend.yaml
RENDER = """import { render } from './tests/deploy/manifests.mjs';
console.log(JSON.stringify(render(process.argv[1])));"""


def render(folder, kustomization, files):
    """The objects of a kustomization beside these files, in a new folder."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    path = os.path.relpath(PROJECT / "deploy/kubernetes", folder)
    (folder / "kustomization.yaml").write_text(json.dumps(
        {**kustomization, "resources": [f"{path}/{each}" for each in kustomization["resources"]]}))
    return json.loads(run("node", "--input-type=module", "--eval", RENDER, str(folder), cwd=PROJECT))


def secret(name, **data):
    encoded = {key.replace("__", "."): base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class Authority:
    """A CA, whose certificates are valid for a day."""

    def __init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA of tests/ship")])
        certificate = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(self._key, hashes.SHA256())
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    def _builder(self, name, key):
        now = datetime.datetime.utcnow()
        return x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(
            key.public_key()).serial_number(x509.random_serial_number()).not_valid_before(
            now - datetime.timedelta(minutes=5)).not_valid_after(now + datetime.timedelta(days=1))

    def config_map(self, name):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
                "data": {"ca.crt": self.certificate.decode()}}

    def issue(self, *names):
        """A certificate of these names and addresses, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        general = [x509.IPAddress(ipaddress.ip_address(each)) if each[0].isdigit() else x509.DNSName(each)
                   for each in names]
        certificate = self._builder(x509.Name([]), key).add_extension(
            x509.SubjectAlternativeName(general), critical=True).sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), pem(key)


def signing_key():
    return pem(ed25519.Ed25519PrivateKey.generate())


class Tokens:
    """Makes the tokens of service accounts."""

    def __init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())

    def make(self, namespace, account, audience=None):
        now = datetime.datetime.utcnow()
        return jwt.encode({"iss": ISSUER, "aud": [audience or ISSUER], "iat": now, "nbf": now,
                           "exp": now + datetime.timedelta(hours=1),
                           "sub": f"system:serviceaccount:{namespace}:{account}"},
                          self._key, algorithm="ES256", headers={"kid": "ship"})

    def key_set(self):
        key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        return json.dumps({"keys": [{**key, "kid": "ship", "use": "sig", "alg": "ES256"}]})


def api_server(folder, certificate, key, key_set):
    """The command that starts the part of the Kubernetes API that tokend reads. It answers whoever shows a token."""
    (folder / "api.crt").write_bytes(certificate)
    (folder / "api.key").write_bytes(key)
    (folder / "keys.json").write_text(key_set)
    return [sys.executable, __file__, str(folder)]


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path == "/openid/v1/jwks" and self.headers.get("authorization", "").startswith("Bearer ")
        self.send_response(200 if found else 403)
        self.end_headers()
        if found:
            self.wfile.write(self.server.key_set)

    def log_message(self, *_):
        pass


def _serve(folder):
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 443), _Answer)
    server.key_set = (folder / "keys.json").read_bytes()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "api.crt", folder / "api.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("listening", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve(pathlib.Path(sys.argv[1]))
