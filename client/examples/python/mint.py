#!/usr/bin/python3
"""Asks tokend for a token over stock gRPC (Debian: python3-grpcio, protobuf-compiler-grpc).

Before the first run, generate the messages, from the top folder:

    mkdir -p build/python && protoc -I proto --python_out=build/python --grpc_out=build/python \
        --plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin \
        tokend/v1/token_service.proto google/rpc/status.proto google/rpc/error_details.proto
    PYTHONPATH=build/python client/examples/python/mint.py unix:///run/tokend/tokend.sock APPLICATION

Prints the token's id, or with --bearer the secret. The address is plaintext: a unix socket or loopback.
"""

import argparse
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
    parser.add_argument("address", help="unix:///path, or host:port on loopback")
    parser.add_argument("application")
    arguments = parser.parse_args()

    # The same id on every attempt: tokend never creates two tokens for it.
    request = token_service_pb2.CreateTokenRequest(
        application=arguments.application, request_id=str(uuid.uuid4()))
    with grpc.insecure_channel(arguments.address, options=CHANNEL_OPTIONS) as channel:
        try:
            token = create_token(token_service_pb2_grpc.TokenServiceStub(channel), request).token
        except grpc.RpcError as error:
            info = details_of(error, error_details_pb2.ErrorInfo)
            reason = info.reason if info else "no reason given"
            sys.exit(f"{error.code().name} ({reason}): {error.details()}; request_id {request.request_id}")
    print(token.bearer if arguments.bearer else token.id)


if __name__ == "__main__":
    main()
