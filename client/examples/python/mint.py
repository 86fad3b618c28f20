#!/usr/bin/python3
"""Asks tokend for a token over stock gRPC (Debian: python3-grpcio, protobuf-compiler-grpc).

Before the first run, generate the messages, from the top folder:

    mkdir -p build/python && protoc -I proto --python_out=build/python --grpc_out=build/python \
        --plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin \
        tokend/v1/token_service.proto google/rpc/status.proto google/rpc/error_details.proto
    export PYTHONPATH=build/python
    mint.py unix:///run/tokend/tokend.sock APPLICATION
    mint.py --ca ca.crt --cert me.crt --key me.key tokend.platform.svc:8443 APPLICATION
    mint.py --ca ca.crt --token-file /var/run/secrets/tokens/tokend tokend.platform.svc:8444 APPLICATION

Prints the token's id, or with --bearer the secret. An error names the request_id: with --request-id, a later
run asks for the same token again.
"""

import argparse
import pathlib
import random
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2, status_pb2
from tokend.v1 import token_service_pb2, token_service_pb2_grpc

TIMEOUT_SECONDS = 30
MAX_ATTEMPTS = 5
FIRST_BACKOFF_SECONDS = 0.2
CHANNEL_OPTIONS = [("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0),
                   ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]


class BearerFile(grpc.AuthMetadataPlugin):
    """Sends the token in a file. Reads it for each call, because a kubelet replaces the token."""

    def __init__(self, path):
        self._path = pathlib.Path(path)

    def __call__(self, context, callback):
        try:
            callback([("authorization", "Bearer " + self._path.read_text().strip())], None)
        except OSError as error:
            callback(None, error)


def open_channel(address, ca, cert, key, token_file):
    """TLS, unless the address is a unix socket, or a loopback address without TLS files and token."""
    host = address.rpartition(":")[0]
    loopback = host in ("localhost", "[::1]") or host.startswith("127.")
    if host == "unix" or loopback and not (ca or cert or token_file):
        return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
    read = lambda path: path and pathlib.Path(path).read_bytes()
    credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(cert))
    if token_file:
        credentials = grpc.composite_channel_credentials(
            credentials, grpc.metadata_call_credentials(BearerFile(token_file)))
    return grpc.secure_channel(address, credentials, options=CHANNEL_OPTIONS)


def details_of(error, message_type):
    """The google.rpc detail of this type in the trailer grpc-status-details-bin, or None."""
    trailer = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    for detail in status_pb2.Status.FromString(trailer).details if trailer else ():
        message = message_type()
        if detail.Unpack(message):
            return message
    return None


def retry_delay(error, attempt):
    """Seconds to wait before the same request may be sent again; None where it must not be."""
    trailers = dict(error.trailing_metadata())
    if "grpc-retry-pushback-ms" in trailers:
        return None
    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
        return None
    backoff = FIRST_BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1)
    if "grpc-status-details-bin" not in trailers:  # a lost connection
        return backoff if error.code() == grpc.StatusCode.UNAVAILABLE else None
    retry = details_of(error, error_details_pb2.RetryInfo)
    return retry and retry.retry_delay.ToTimedelta().total_seconds() + backoff


def create_token(stub, request):
    deadline = time.monotonic() + TIMEOUT_SECONDS
    for attempt in range(MAX_ATTEMPTS):
        try:
            # Waits for a daemon that is not up yet; otherwise gRPC fails at once, and connects only while it is called.
            return stub.CreateToken(request, timeout=deadline - time.monotonic(), wait_for_ready=True)
        except grpc.RpcError as error:
            delay = retry_delay(error, attempt)
            last = attempt + 1 == MAX_ATTEMPTS
            if last or delay is None or time.monotonic() + delay >= deadline:
                raise
            time.sleep(delay)


def main():
    parser = argparse.ArgumentParser(description="Asks tokend for a token.")
    parser.add_argument("--bearer", action="store_true", help="print the secret instead of the id")
    parser.add_argument("--ca", help="the CA of tokend's certificate; default: gRPC's own list")
    parser.add_argument("--cert", help="the client certificate, with --key")
    parser.add_argument("--key", help="its private key")
    parser.add_argument("--token-file", help="a file with a token that says who calls")
    parser.add_argument("--request-id", default=str(uuid.uuid4()), help="that of an earlier run, to ask again")
    parser.add_argument("address", help="unix:///path or host:port")
    parser.add_argument("application")
    arguments = parser.parse_args()

    # The same id on every attempt: tokend never creates two tokens for it.
    request = token_service_pb2.CreateTokenRequest(
        application=arguments.application, request_id=arguments.request_id)
    with open_channel(arguments.address, arguments.ca, arguments.cert, arguments.key,
                      arguments.token_file) as channel:
        try:
            token = create_token(token_service_pb2_grpc.TokenServiceStub(channel), request).token
        except grpc.RpcError as error:
            info = details_of(error, error_details_pb2.ErrorInfo)
            reason = info.reason if info else "no reason given"
            sys.exit(f"{error.code().name} ({reason}): {error.details()}; request_id {request.request_id}")
    print(token.bearer if arguments.bearer else token.id)


if __name__ == "__main__":
    main()
