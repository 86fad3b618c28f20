"""The processes of the benchmark: their certificates, configurations, starts and ends, and what they use."""

import contextlib
import ctypes
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

PATIENCE_S = 30
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ECHO_MODULE = "/usr/lib/nginx/modules/ngx_http_echo_module.so"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
# The documented answer of Applivery.
ANSWER = json.dumps({"status": True, "data": {
    "id": "5f0c1a2b3c4d5e6f7a8b9c0d", "organization": "0123456789abcdef01234567",
    "application": "76543210fedcba9876543210", "description": "nightly build",
    "bearer": "a-bearer-of-the-benchmark-0123456789abcdef", "scopes": ["sdk"]}})
# Delays of the upstream's answers in milliseconds. The last one is for calls that get no answer.
DELAYS_MS = (0, 100, 200, 60_000)
TEAMS = (0, 333, 666, 999)  # the grants of the callers


def wait_until(holds, what, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while not (result := holds()):
        if time.monotonic() > end:
            raise RuntimeError(f"bench: waited {patience_s} s in vain: {what}")
        time.sleep(0.01)
    return result


def free_ports(count):
    """Ports that differ and were free a moment ago: take them at once."""
    with contextlib.ExitStack() as probes:
        opened = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in opened:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in opened]


def _children(pid):
    return list(map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def adopt_orphans():
    """Makes processes whose parents end before them, such as workers of nginx, children of this one."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)


def end_orphans():
    """Waits until this process has no child, and fails if one has to be killed."""
    left = []
    end = time.monotonic() + PATIENCE_S
    while children := _children(os.getpid()):
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if time.monotonic() > end:
            left = children
            for child in children:
                os.kill(child, signal.SIGKILL)
            end += PATIENCE_S
        time.sleep(0.01)
    if left:
        raise RuntimeError(f"bench: processes had to be killed: {left}")


class Process:
    """A process that is started here. Figures of nginx include its workers."""

    def __init__(self, command, log, **options):
        self.log = pathlib.Path(log)
        with open(self.log, "wb") as output:
            self.popen = subprocess.Popen(command, stderr=output, **({"stdout": output} | options))
        self.pid = self.popen.pid
        self.is_stopped = False

    def await_line(self, text):
        def found():
            lines = self.log.read_text(errors="replace").splitlines(keepends=True)
            line = next((line for line in lines if text in line and line.endswith("\n")), None)
            if line is None and self.popen.poll() is not None:
                raise RuntimeError(f"bench: {self.popen.args[0]} has ended:\n{self.log.read_text()[-2000:]}")
            return line

        return wait_until(found, f"{text!r} in {self.log}")

    def pids(self):
        return [self.pid, *_children(self.pid)]

    def cpu_s(self):
        """User and system time since the start, in seconds."""
        def ticks(pid):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        return sum(map(ticks, self.pids())) / TICKS_PER_S

    def memory(self):
        """The bytes that are resident, and those of them that are anonymous."""
        def read(pid):
            try:
                text, names = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), ("Rss:", "Anonymous:")
            except PermissionError:  # tokend's memory is its own; status is close enough
                text, names = pathlib.Path(f"/proc/{pid}/status").read_text(), ("VmRSS:", "RssAnon:")
            values = dict(line.split(None, 1) for line in text.splitlines()[1:])
            return [int(values[name].split()[0]) * 1024 for name in names]

        resident, anonymous = map(sum, zip(*map(read, self.pids())))
        return resident, anonymous

    def context_switches(self):
        total = 0
        for status in pathlib.Path(f"/proc/{self.pid}/task").glob("*/status"):
            lines = status.read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
        return total

    def gauge(self, name):
        """A metric of tokend without labels."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=PATIENCE_S) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(name + " "))

    def kill(self):
        self.is_stopped = True
        self.popen.kill()
        self.popen.wait()

    def stop(self):
        """Ends the process by SIGTERM. Fails unless it ran until then and ends well; a second call does nothing."""
        if self.is_stopped:
            return
        self.is_stopped = True
        self.popen.send_signal(signal.SIGTERM)
        try:
            code = self.popen.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            code = f"nothing in {PATIENCE_S} s"
        if code != 0:
            raise RuntimeError(f"bench: {self.popen.args[0]} ended with {code}:\n{self.log.read_text()[-2000:]}")


def _openssl(*arguments, cwd):
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


class Bench(contextlib.ExitStack):
    """A folder with certificates and an upstream. At its end every process has ended and the folder is gone."""

    def __init__(self, binaries):
        super().__init__()
        self.binaries = pathlib.Path(binaries)
        self.count = 0
        self.key = secrets.token_hex(16)

    def __enter__(self):
        adopt_orphans()
        self.callback(os.umask, os.umask(0o077))  # tokend takes no key that others may read
        self.home = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory(prefix="tokend-bench-")))
        self.callback(end_orphans)
        try:
            (self.home / "api-key").write_text(self.key + "\n")
            (self.home / "fingerprint-key").write_bytes(secrets.token_bytes(32))
            self._make_certificates()
            self._start_upstream()
        except BaseException:
            self.close()
            raise
        return self

    # Certificates

    def _make_certificates(self):
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
                 "-out", "ca.crt", "-subj", "/CN=bench", "-days", "2", cwd=self.home)
        self._issue("server", "DNS:localhost,IP:127.0.0.1")
        for team in TEAMS:
            self._issue(f"caller-{team}", f"URI:spiffe://bench.example/ns/team-{team}/sa/builder")
        self._issue("stranger", "URI:spiffe://bench.example/ns/team-500/sa/stranger")
        self._issue("relay", "URI:spiffe://bench.example/ns/team-100/sa/relay")

    def _issue(self, name, alternative_names):
        (self.home / "extensions").write_text(f"subjectAltName={alternative_names}\n")
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                 f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", cwd=self.home)
        _openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                 "-out", f"{name}.crt", "-days", "2", "-extfile", "extensions", cwd=self.home)

    def identities(self, *names):
        """The flags of bench-load for TLS with these certificates; without names, those of the callers."""
        names = names or tuple(f"caller-{team}" for team in TEAMS)
        flags = ["--ca-file", str(self.home / "ca.crt")]
        for name in names:
            flags += ["--identity", str(self.home / name)]
        return flags

    # Servers

    def start(self, command, name, **options):
        self.count += 1
        process = Process(list(map(str, command)), self.home / f"{self.count}-{name}.log", **options)
        self.callback(process.stop)
        return process

    def _start_nginx(self, name, main, http, port):
        folder = self.home / name
        folder.mkdir()
        temporary = "".join(f"  {kind}_temp_path {folder}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            f"daemon off;\nworker_processes auto;\nworker_rlimit_nofile 16384;\npid {folder}/pid;\n{main}"
            f"error_log {folder}/error.log;\nevents {{ worker_connections 8192; }}\nhttp {{\n{temporary}"
            "  keepalive_requests 1000000000;\n  keepalive_timeout 1h;\n"
            f"  ssl_certificate {self.home}/server.crt;\n  ssl_certificate_key {self.home}/server.key;\n{http}}}\n")
        process = self.start([NGINX, "-c", folder / "nginx.conf", "-p", folder, "-e", folder / "error.log"], name)

        def accepts():
            if process.popen.poll() is not None:
                raise RuntimeError(f"bench: nginx has ended:\n{process.log.read_text()}")
            with socket.socket() as probe:  # nginx writes its pid once it listens
                return (folder / "pid").exists() and probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(accepts, f"{name} on port {port}")
        return process

    def _start_upstream(self):
        # It reads the body first: libcurl takes an answer before the end of the request for a failure now and then.
        servers = ""
        self.upstream_ports = dict(zip(DELAYS_MS, free_ports(len(DELAYS_MS))))
        for delay, port in self.upstream_ports.items():
            sleep = f"echo_sleep {delay / 1000}; " if delay else ""
            servers += (f"  server {{ listen 127.0.0.1:{port} ssl http2 backlog=4096;\n"
                        f"    location / {{ default_type application/json; echo_read_request_body; {sleep}"
                        f"echo '{ANSWER}'; }} }}\n")
        self.upstream = self._start_nginx("upstream", f"load_module {ECHO_MODULE};\n", "  access_log off;\n" + servers,
                                          self.upstream_ports[0])

    def start_nginx_proxy(self):
        """What a user would put there otherwise: TLS with client certificates, limit, key, log, kept connections."""
        [port] = free_ports(1)
        http = f"""  access_log {self.home}/nginx/access.log;
  limit_req_zone $ssl_client_s_dn zone=callers:10m rate=1000000r/s;
  upstream applivery {{ server 127.0.0.1:{self.upstream_ports[0]}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_client_certificate {self.home}/ca.crt;
    ssl_verify_client on;
    location / {{
      limit_req zone=callers burst=100000 nodelay;
      proxy_pass https://applivery;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {self.key}";
      proxy_ssl_verify on;
      proxy_ssl_name localhost;
      proxy_ssl_trusted_certificate {self.home}/ca.crt;
    }}
  }}
"""
        process = self._start_nginx("nginx", "", http, port)
        process.address = f"127.0.0.1:{port}"
        return process

    def start_bare(self):
        process = self.start([self.binaries / "bench-bare-proxy", self.home / "server", self.home / "ca.crt",
                              f"https://localhost:{self.upstream_ports[0]}", self.home / "api-key"], "bare")
        process.address = "127.0.0.1:" + process.await_line("listening").split()[1]
        return process

    def start_echo(self):
        path = self._write_config("echo", self.config("echo"))
        process = self.start([self.binaries / "bench-echo", path], "echo")
        process.address = self._addresses(process, ["cluster"])["cluster"]
        return process

    # tokend

    def config(self, name, delay_ms=0, grants=1000, remember="10s", max_in_flight=256, more=""):
        """Everything on: TLS, identity, grants, limits, ledger, audit log, call log, admin page.

        Its times are long, so that a smoke run succeeds on a busy machine."""
        one = "\n".join(
            f"    - {{name: team-{i}, callers: [\"spiffe://bench.example/ns/team-{i}/sa/*\"], organizations: [acme],"
            f" applications: [ios-app, \"android-*\"], scopes: [sdk],"
            f" limits: [{{name: minute, tokens: 1000000000, per: 1m}}]}}" for i in range(grants))
        return f"""
listeners:
  - name: cluster
    address: 127.0.0.1:0
    tls:
      certificate_file: {self.home}/server.crt
      private_key_file: {self.home}/server.key
      client_ca_file: {self.home}/ca.crt
    authentication: {{mtls: {{}}}}
upstream:
  applivery:
    base_url: https://localhost:{self.upstream_ports[delay_ms]}
    ca_file: {self.home}/ca.crt
    max_in_flight: {max_in_flight}
    connect_timeout: 1m
    timeout: 2m
    organizations:
      - name: acme
        api_key: {{file: {self.home}/api-key}}
        limits: [{{name: hourly, tokens: 1000000000, per: 1h}}]
policy:
  grants:
{one}
requests: {{remember: {remember}, max_entries: 2000000}}
audit:
  file: {{path: {self.home}/{name}/audit.jsonl, max_size: 256MiB, keep: 2}}
  fingerprint_key_file: {self.home}/fingerprint-key
  deadline: 1m
server: {{max_in_flight: 8192, drain: 1s}}
admin: {{address: "127.0.0.1:0"}}
{more}"""

    def sidecar(self, name, upstream=None):
        """One listener at a unix socket, one caller, one grant."""
        upstream = upstream or f"""  applivery:
    base_url: https://localhost:{self.upstream_ports[0]}
    ca_file: {self.home}/ca.crt
    organizations: [{{name: acme, api_key: {{file: {self.home}/api-key}}}}]"""
        return f"""
listeners:
  - name: pod
    address: unix://{self.home}/{name}/tokend.sock
    authentication: {{unix: {{callers: [{{uid: {os.getuid()}, name: "unix:builder"}}]}}}}
upstream:
{upstream}
policy:
  grants: [{{name: builder, callers: ["unix:builder"], organizations: [acme], applications: [ios-app], scopes: [sdk]}}]
audit:
  file: {{path: {self.home}/{name}/audit.jsonl}}
  fingerprint_key_file: {self.home}/fingerprint-key
server: {{drain: 1s}}
admin: {{address: "127.0.0.1:0"}}
"""

    def relay(self, name, centre):
        return self.sidecar(name, f"""  tokend:
    address: {centre}
    server_name: localhost
    tls: {{ca_file: {self.home}/ca.crt, certificate_file: {self.home}/relay.crt, private_key_file: {self.home}/relay.key}}""")

    def _write_config(self, name, text):
        (self.home / name).mkdir(exist_ok=True)
        path = self.home / name / "tokend.yaml"
        path.write_text(text)
        return path

    def _addresses(self, process, names):
        lines = [json.loads(process.await_line(f'"listener":"{name}","address"')) for name in names]
        return {line["listener"]: line["address"] for line in lines}

    def start_tokend(self, name, text):
        """Starts tokend, and waits until it says that it is ready; ready_ms is how long that took."""
        path = self._write_config(name, text)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            notify = self.home / f"notify-{self.count}"
            manager.bind(str(notify))
            manager.settimeout(PATIENCE_S)
            begun = time.monotonic()
            process = self.start([self.binaries / "tokend", "--config", path], name,
                                 env=os.environ | {"NOTIFY_SOCKET": str(notify)})
            while b"READY=1" not in self._notice(manager, process):
                pass
            process.ready_ms = (time.monotonic() - begun) * 1000
        process.audit_log = self.home / name / "audit.jsonl"
        listener = "pod" if "name: pod" in text else "cluster"
        process.address = self._addresses(process, [listener])[listener]
        process.admin = self._addresses(process, ["admin"])["admin"]
        return process

    @staticmethod
    def _notice(manager, process):
        try:
            return manager.recv(4096)
        except TimeoutError:
            raise RuntimeError(f"bench: tokend is not ready:\n{process.log.read_text()[-2000:]}") from None

    # Load

    def load_command(self, address, flags):
        return [str(self.binaries / "bench-load"), address, *map(str, flags)]

    def load(self, address, *flags):
        """Runs bench-load to its end, and returns what it prints."""
        done = subprocess.run(self.load_command(address, flags), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"bench: {' '.join(done.args)}:\n{done.stderr}")
        return self.parse(done.stdout)

    @staticmethod
    def parse(output):
        """The result that a bench-load has printed."""
        return json.loads(output.splitlines()[-1])

    @contextlib.contextmanager
    def held_load(self, address, *flags):
        """A bench-load whose connections are there, and whose calls begin with its method `begin`."""
        process = self.start(self.load_command(address, [*flags, "--wait"]), "load", stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
        try:
            if not process.popen.stdout.readline():
                raise RuntimeError(f"bench: {process.log.read_text()}")

            def begin():
                process.popen.stdin.write("\n")
                process.popen.stdin.flush()

            process.begin = begin
            yield process
        finally:
            process.popen.stdin.close()
            process.popen.stdout.close()
            process.popen.wait(PATIENCE_S)
