"""Runs a Pod of Kubernetes under podman, as a kubelet does.

What podman's `play kube` lacks is done here: the order of native sidecars, probes, the layout and the owners of volumes,
projected tokens, and names of Services. NetworkPolicies are not enforced.
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import time
import urllib.error
import urllib.request


def run(*command, **options):
    """Runs a command. The answer is its standard output; its failure is an exception that shows all that it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def await_that(what, condition, shown, seconds=30):
    """Asks until the condition holds. shown() is part of the message if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"not in time: {what}\n{shown()}")
        time.sleep(0.1)


class Node:
    """A network of Pods, and a folder for their volumes. All that it made is gone when it is closed."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = pathlib.Path(folder)
        self.pods = []
        self.processes = []
        self._pause_image = self._find_pause_image()
        run("podman", "network", "create", name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        for pod in self.pods:
            subprocess.run(["podman", "pod", "rm", "--force", "--time", "0", pod], capture_output=True, check=False)
        run("podman", "network", "rm", "--force", self.name)
        if not self._pause_image:
            subprocess.run(["podman", "rmi", *self._find_pause_image()], capture_output=True, check=False)

    @staticmethod
    def _find_pause_image():
        """podman makes this image for its Pods."""
        return run("podman", "images", "--quiet", "--filter", "reference=localhost/podman-pause").split()

    def outside(self, *names):
        """Makes a Pod of no containers, in which servers with these names can be started. The answer is its name."""
        pod = f"{self.name}-outside"
        self.pods.append(pod)
        aliases = ",".join(f"alias={name}" for name in names)
        run("podman", "pod", "create", "--name", pod, "--network", f"{self.name}:{aliases}")
        run("podman", "pod", "start", pod)
        return pod

    def serve(self, pod, *command):
        """Starts a server in the network of a Pod, and waits for its first line on standard output."""
        infra = run("podman", "pod", "inspect", "--format", "{{.InfraContainerID}}", pod)
        pid = run("podman", "inspect", "--format", "{{.State.Pid}}", infra)
        server = subprocess.Popen(["nsenter", f"--net=/proc/{pid}/ns/net", *command], stdout=subprocess.PIPE, text=True)
        self.processes.append(server)
        if not server.stdout.readline():
            raise RuntimeError(f"{command[0]} did not start")
        return server


def decoded(secret):
    return {key: base64.b64decode(value) for key, value in secret.get("data", {}).items()}


class Pod:
    """A Pod of a workload. Objects are all that the cluster holds, as dictionaries; `token` makes projected tokens:
    token(audience, service account). Volumes of claims are empty at first."""

    def __init__(self, node, workload, objects, token, names=()):
        self.node = node
        self.objects = objects
        self.token = token
        template = workload["spec"]["template"]
        self.spec = template["spec"]
        self.claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])]
        self.name = f"{node.name}-{workload['metadata']['name']}-{len(node.pods)}"
        self.volumes = node.folder / self.name
        self.group = self.spec.get("securityContext", {}).get("fsGroup")
        self.sidecars = [each for each in self.spec.get("initContainers", [])]
        if any(each.get("restartPolicy") != "Always" for each in self.sidecars):
            raise RuntimeError("init containers other than sidecars are not supported")
        self.grace = self.spec.get("terminationGracePeriodSeconds", 30)
        self.events = []  # (what, container): the order in which things happened
        self._create(names)

    # Volumes

    def _find(self, kind, name):
        for each in self.objects:
            if each["kind"] == kind and each["metadata"]["name"] == name:
                return each
        raise RuntimeError(f"there is no {kind} {name}")

    def _files(self, volume):
        """The files of a volume that the kubelet writes, with their modes."""
        if "configMap" in volume:
            source = volume["configMap"]
            data = {key: text.encode() for key, text in self._find("ConfigMap", source["name"])["data"].items()}
        elif "secret" in volume:
            source = volume["secret"]
            data = decoded(self._find("Secret", source["secretName"]))
        else:
            source = volume["serviceAccountToken"]
            text = self.token(source.get("audience"), self.spec.get("serviceAccountName"))
            users = {self._user(each) for each in self._containers()}
            # The kubelet gives the token to the one user of all containers, else everybody may read it.
            mode = 0o600 if self.group or len(users) == 1 else 0o644
            return {source["path"]: (text.encode(), mode)}
        paths = {item["key"]: item["path"] for item in source.get("items", [])}
        return {paths.get(key, key): (value, source.get("defaultMode", volume.get("defaultMode", 0o644)))
                for key, value in data.items() if not paths or key in paths}

    def _containers(self):
        return self.sidecars + self.spec["containers"]

    def _user(self, container):
        own = container.get("securityContext", {}).get("runAsUser")
        return own or self.spec.get("securityContext", {}).get("runAsUser")

    def _own(self, path, mode):
        """What fsGroup does to a file or a folder."""
        if self.group is not None:
            os.chown(path, 0, self.group)
            mode |= 0o2070 if path.is_dir() else 0o040
        os.chmod(path, mode)

    def write(self, volume):
        """Writes the files of a volume into a new folder, and makes ..data a link to it in one step."""
        folder = self.volumes / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        self._own(folder, 0o755)
        new = folder / f"..{time.time_ns()}"
        new.mkdir()
        self._own(new, 0o755)
        sources = volume["projected"]["sources"] if "projected" in volume else [volume]
        for source in sources:
            for name, (value, mode) in self._files(source).items():
                (new / name).write_bytes(value)
                self._own(new / name, mode)
                if mode == 0o600 and self.group is None:
                    os.chown(new / name, self._user(self._containers()[0]), 0)
                if not (folder / name).is_symlink():
                    (folder / name).symlink_to(f"..data/{name}")
        (folder / "..new").symlink_to(new.name)
        old = (folder / "..data").resolve() if (folder / "..data").is_symlink() else None
        (folder / "..new").rename(folder / "..data")
        if old:
            shutil.rmtree(old)

    def _make_volume(self, volume):
        """The folder of a volume, as the name and the path of a hostPath."""
        folder = self.volumes / volume["name"]
        if "emptyDir" in volume or "persistentVolumeClaim" in volume:
            folder.mkdir(parents=True)
            self._own(folder, 0o777 if "emptyDir" in volume else 0o755)
        else:
            self.write(volume)
        return {"name": volume["name"], "hostPath": {"path": str(folder)}}

    # Containers

    def _create(self, names):
        volumes = self.spec.get("volumes", []) + [
            {"name": name, "persistentVolumeClaim": {}} for name in self.claims]
        containers = []
        for container in self._containers():
            left = {key: value for key, value in container.items()
                    if not key.endswith("Probe") and key not in ("ports", "restartPolicy")}
            left["imagePullPolicy"] = "Never"
            containers.append(left)
        context = {key: value for key, value in self.spec.get("securityContext", {}).items()
                   if key not in ("fsGroup", "fsGroupChangePolicy", "seccompProfile")}
        if self.group is not None:
            context["supplementalGroups"] = [*context.get("supplementalGroups", []), self.group]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": {
            "restartPolicy": "Always", "securityContext": context, "containers": containers,
            "volumes": [self._make_volume(volume) for volume in volumes]}}
        file = self.volumes / "pod.json"
        file.write_text(json.dumps(pod, indent=1))
        self.node.pods.append(self.name)
        aliases = ",".join(f"alias={name}" for name in names)
        run("podman", "play", "kube", "--start=false", "--network",
            self.node.name + (f":{aliases}" if names else ""), str(file))
        self.infra = run("podman", "pod", "inspect", "--format", "{{.InfraContainerID}}", self.name)
        run("podman", "start", self.infra)

    def container(self, name):
        return f"{self.name}-{name}"

    def start_sidecars(self):
        """Starts each sidecar and waits for its startup probe."""
        for sidecar in self.sidecars:
            self._start(sidecar)

    def start(self):
        self.start_sidecars()
        for container in self.spec["containers"]:
            self._start(container)

    def _start(self, container):
        self.events.append(("starts", container["name"]))
        run("podman", "start", self.container(container["name"]))
        if "startupProbe" in container:
            probe = container["startupProbe"]
            limit = min(60, probe.get("failureThreshold", 3) * probe.get("periodSeconds", 10))
            await_that(f"the startup probe of {container['name']}",
                       lambda: self.probe(container["name"], "startupProbe"),
                       lambda: self.log(container["name"]), limit)
            self.events.append(("has started", container["name"]))

    def address(self):
        return run("podman", "inspect", "--format",
                   "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.infra)

    def probe(self, name, kind):
        """Whether a probe passes. A command runs in the container, and a request goes to the address of the Pod."""
        container = next(each for each in self._containers() if each["name"] == name)
        probe = container[kind]
        limit = probe.get("timeoutSeconds", 1)
        if "exec" in probe:
            command = ["podman", "exec", self.container(name), *probe["exec"]["command"]]
            # podman itself may take long to begin.
            return subprocess.run(command, capture_output=True, check=False, timeout=limit + 10).returncode == 0
        ports = {port.get("name"): port["containerPort"] for port in container["ports"]}
        port = probe["httpGet"]["port"]
        return self.get(ports.get(port, port), probe["httpGet"]["path"], limit)[0] in range(200, 400)

    def get(self, port, path, timeout=10):
        """The status and the text that the Pod answers with, None where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.address()}:{port}{path}", timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return None, ""

    def exec(self, name, *command, user=None):
        """Runs a command in a container. The answer is its exit code, standard output and standard error."""
        options = ["--user", user] if user else []
        done = subprocess.run(["podman", "exec", *options, self.container(name), *command],
                              capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stdout, done.stderr

    def log(self, name):
        done = subprocess.run(["podman", "logs", self.container(name)], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def stop(self):
        """Stops the containers, then the sidecars in reverse. All of them have the grace period together."""
        end = time.monotonic() + self.grace
        for container in [*reversed(self.spec["containers"]), *reversed(self.sidecars)]:
            left = max(1, int(end - time.monotonic()))
            run("podman", "stop", "--time", str(left), self.container(container["name"]))
            self.events.append(("has stopped", container["name"]))
        return end - time.monotonic()

    def exit_code(self, name):
        return int(run("podman", "inspect", "--format", "{{.State.ExitCode}}", self.container(name)))
