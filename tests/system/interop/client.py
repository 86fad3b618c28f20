#!/usr/bin/python3
"""Runs a test's plan with gRPC for Python and raw bytes as messages: see README.md."""

import base64
import collections
import json
import os
import sys
import threading
import time

import grpc

MAX_OUTCOMES = 32


def open_channel(plan):
    options = [("grpc.enable_retries", 0), ("grpc.max_receive_message_length", 64 << 20)]
    if plan.get("keepalive_ms"):
        options += [
            ("grpc.keepalive_time_ms", plan["keepalive_ms"]),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
    compression = grpc.Compression.Gzip if plan.get("gzip") else None
    if "ca" not in plan:
        return grpc.insecure_channel(plan["address"], options, compression)
    read = lambda key: open(plan[key], "rb").read() if key in plan else None
    credentials = grpc.ssl_channel_credentials(read("ca"), read("key"), read("cert"))
    options.append(("grpc.ssl_target_name_override", "localhost"))
    return grpc.secure_channel(plan["address"], credentials, options, compression)


def encode(data):
    return base64.b64encode(data).decode()


def outcome_of(call, response):
    trailers = collections.defaultdict(list)
    for key, value in list(call.initial_metadata() or ()) + list(call.trailing_metadata() or ()):
        trailers[key].append(encode(value) if isinstance(value, bytes) else value)
    return {
        "code": call.code().value[0],
        "message": call.details() or "",
        "details": trailers.get("grpc-status-details-bin", [""])[0],
        "pushback": trailers.get("grpc-retry-pushback-ms", [""])[0],
        "responses": [encode(each) for each in response],
    }


class Job:
    def __init__(self, channel, job, started):
        self.channel, self.job, self.started = channel, job, started
        self.requests = [base64.b64decode(each) for each in job.get("requests", [""])]
        self.lock = threading.Lock()
        self.begun = 0
        self.codes = collections.Counter()
        self.outcomes = []

    def next(self):
        with self.lock:
            over = self.begun >= self.job.get("count", 1)
            if "seconds" in self.job:
                over = time.monotonic() - self.started >= self.job["seconds"]
            if over:
                return None
            self.begun += 1
            return self.begun - 1

    def record(self, outcome):
        with self.lock:
            self.codes[outcome["code"]] += 1
            if len(self.outcomes) < MAX_OUTCOMES:
                self.outcomes.append(outcome)

    def call(self, number):
        request = self.requests[number % len(self.requests)]
        options = {"metadata": [(k, v) for k, v in self.job.get("metadata", {}).items()]}
        if self.job.get("timeout_ms"):
            options["timeout"] = self.job["timeout_ms"] / 1000
        raw = {"request_serializer": None, "response_deserializer": None}
        kind, method = self.job.get("kind", "unary"), self.job["method"]
        if kind == "bidi":
            call = self.channel.stream_stream(method, **raw)(iter(self.requests), **options)
        elif kind == "server_stream":
            call = self.channel.unary_stream(method, **raw)(request, **options)
        else:
            call = self.channel.unary_unary(method, **raw).future(request, **options)
        if self.job.get("cancel_after_ms"):
            threading.Timer(self.job["cancel_after_ms"] / 1000, call.cancel).start()
        responses = []
        try:
            if kind == "unary":
                responses.append(call.result())
            else:
                for response in call:
                    responses.append(response)
        except (grpc.RpcError, grpc.FutureCancelledError):
            pass
        self.record(outcome_of(call, responses))

    def work(self):
        while (number := self.next()) is not None:
            self.call(number)
            if "seconds" in self.job or number + 1 < self.job.get("count", 1):
                time.sleep(self.job.get("pause_ms", 0) / 1000)

    def begin(self):
        self.threads = [threading.Thread(target=self.work) for _ in range(self.job.get("parallel", 1))]
        for thread in self.threads:
            thread.start()

    def result(self):
        for thread in self.threads:
            thread.join()
        return {"codes": self.codes, "outcomes": self.outcomes}


def main():
    plan = json.load(open(sys.argv[1]))
    channel = open_channel(plan)
    connects = 0

    def watch(state):
        nonlocal connects
        connects += state == grpc.ChannelConnectivity.READY

    channel.subscribe(watch, try_to_connect=True)
    grpc.channel_ready_future(channel).result(timeout=20)
    started = time.monotonic()
    jobs = [Job(channel, job, started) for job in plan["jobs"]]
    for job in jobs:
        job.begin()
    results = [job.result() for job in jobs]
    print(json.dumps({"connects": connects, "jobs": results}), flush=True)
    os._exit(0)  # Python's exit may hang on a channel with an open Watch (grpcio 1.51)


main()
