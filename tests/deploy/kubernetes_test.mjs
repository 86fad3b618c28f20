// deploy/kubernetes renders, keeps to the schemas and to the restricted Pod Security Standard, and what its objects say
// of each other is true. Needs neither a cluster nor a container.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import {
  bytesOf, containersOf, kustomizations, nameOf, podsOf, render, scratch, secondsOf, source,
} from './manifests.mjs';
import { violationsIn } from './pod_security.mjs';
import { mistakesIn } from './schemas.mjs';

const rendered = Object.fromEntries(kustomizations.map((folder) => [folder, render(folder)]));
const all = Object.values(rendered).flat();
const read = (path) => readFileSync(source + path, 'utf8');
const readme = read('deploy/kubernetes/README.md');
const find = (objects, kind, name) => objects.find((object) => nameOf(object) === `${kind}/${name}`);
const tokendOf = (pod) => containersOf(pod).find(({ name }) => name === 'tokend');
const portsOf = (pod) => containersOf(pod).flatMap(({ ports = [] }) => ports.map(({ name }) => name));
const selects = ({ matchLabels = {} } = {}, labels = {}) =>
  Object.entries(matchLabels).every(([key, value]) => labels[key] === value);

// Each Pod with a tokend, and the configuration that it reads.
const daemons = kustomizations.flatMap((folder) => podsOf(rendered[folder]).filter(tokendOf).map((pod) => {
  const { configMap } = pod.spec.volumes.find(({ name }) => /^(tokend-)?config$/.test(name));
  const text = find(rendered[folder], 'ConfigMap', configMap.name).data['tokend.yaml'];
  return { folder, pod, container: tokendOf(pod), text, config: parse(text) };
}));

// The objects of a kustomization of these files, whose folder has the project in "tokend".
function renderFiles(files) {
  const folder = scratch();
  symlinkSync(source, `${folder}/tokend`);
  for (const [name, value] of Object.entries(files)) {
    writeFileSync(`${folder}/${name}`, typeof value === 'string' ? value : stringify(value));
  }
  return render(folder);
}

test('Every object has the schema of its kind', async () => {
  assert.equal(await mistakesIn(all), '');
});

test('A wrong field and a wrong value are seen', async () => {
  const workload = structuredClone(find(all, 'Deployment', 'checkout'));
  workload.spec.template.spec.initContainers =
    [{ name: 'a', startupProbe: 'x' }, { name: 'b', restartpolicy: 'Always' }];
  assert.match(await mistakesIn([workload]), /startupProbe must be object[^]*restartpolicy/);
});

test('Every Pod keeps to the restricted Pod Security Standard', async () => {
  assert.deepEqual(await violationsIn(all), []);
});

test('What the restricted standard forbids is seen', async () => {
  const forbidden = {
    PSS102: ({ spec }) => { spec.hostNetwork = true; },
    PSS103: ({ container }) => { container.securityContext.privileged = true; },
    PSS105: ({ spec }) => spec.volumes.push({ name: 'host', hostPath: { path: '/' } }),
    PSS106: ({ container }) => { container.ports[0].hostPort = 80; },
    PSS202: ({ container }) => { delete container.securityContext.allowPrivilegeEscalation; },
    PSS203: ({ container }) => { delete container.securityContext.runAsNonRoot; },
    PSS204: ({ container }) => { container.securityContext.runAsUser = 0; },
    PSS205: ({ spec, container }) => {
      delete spec.securityContext.seccompProfile;
      delete container.securityContext.seccompProfile;
    },
    PSS206: ({ container }) => { delete container.securityContext.capabilities; },
  };
  for (const [rule, spoil] of Object.entries(forbidden)) {
    const workload = structuredClone(find(rendered['examples/sidecar'], 'Deployment', 'checkout'));
    const { spec } = workload.spec.template;
    spoil({ spec, container: spec.initContainers[0] });
    assert.match((await violationsIn([workload])).join(), new RegExp(rule));
  }
});

// What a Pod takes from other objects, as "Kind/name".
function needsOf({ workload, spec }) {
  const needs = [];
  if (spec.serviceAccountName) needs.push(`ServiceAccount/${spec.serviceAccountName}`);
  if (workload.kind === 'StatefulSet') needs.push(`Service/${workload.spec.serviceName}`);
  for (const from of (spec.volumes ?? []).flatMap((volume) => volume.projected?.sources ?? [volume])) {
    if (from.configMap) needs.push(`ConfigMap/${from.configMap.name}`);
    if (from.secret) needs.push(`Secret/${from.secret.secretName}`);
    if (from.persistentVolumeClaim) needs.push(`PersistentVolumeClaim/${from.persistentVolumeClaim.claimName}`);
  }
  return needs;
}

test('What a Pod takes from other objects is there, or the README says how to make it', () => {
  const byHand = [...readme.matchAll(/create (?:secret generic|configmap) (\S+)/g)].map(([text, name]) =>
    `${text.includes('secret') ? 'Secret' : 'ConfigMap'}/${name}`);
  for (const [folder, objects] of Object.entries(rendered)) {
    const there = ['ConfigMap/kube-root-ca.crt', ...byHand, ...objects.map(nameOf), ...objects
      .filter(({ kind }) => kind === 'Certificate').map(({ spec }) => `Secret/${spec.secretName}`)];
    for (const need of podsOf(objects).flatMap(needsOf)) assert(there.includes(need), `${folder}: ${need}`);
  }
});

test('Every mount is that of a volume', () => {
  for (const folder of kustomizations.filter((each) => each !== 'examples/application')) {
    for (const pod of podsOf(rendered[folder])) {
      const volumes = [...pod.spec.volumes.map(({ name }) => name),
        ...(pod.workload.spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata.name)];
      for (const { volumeMounts } of containersOf(pod)) {
        for (const { name } of volumeMounts) assert(volumes.includes(name), `${folder}: ${name}`);
      }
    }
  }
});

test('Every selector selects one Pod, which has the ports that go with it', () => {
  for (const [folder, objects] of Object.entries(rendered)) {
    const check = (object, selector, ports = []) => {
      const pods = podsOf(objects).filter(({ labels }) => selects(selector, labels));
      assert.equal(pods.length, 1, `${folder}: ${nameOf(object)} selects one Pod`);
      for (const port of ports) assert(portsOf(pods[0]).includes(port), `${folder}: ${nameOf(object)} ${port}`);
    };
    for (const object of objects) {
      const { kind, spec } = object;
      if (['Deployment', 'StatefulSet', 'PodDisruptionBudget'].includes(kind)) check(object, spec.selector);
      if (kind === 'Service') {
        check(object, { matchLabels: spec.selector }, spec.ports.map(({ targetPort }) => targetPort));
      }
      if (kind !== 'NetworkPolicy') continue;
      check(object, spec.podSelector, (spec.ingress ?? []).flatMap(({ ports }) => ports.map(({ port }) => port)));
      for (const { to: [{ podSelector }], ports } of spec.egress ?? []) {
        const named = ports.map(({ port }) => port).filter((port) => typeof port === 'string');
        if (named.length > 0) check(object, podSelector, named);
      }
    }
  }
});

test('Prometheus finds the central tokend and the sidecars, and the NetworkPolicy lets the sidecars in', () => {
  const central = rendered['examples/central-spire'];
  const { spec: { selector, endpoints: [{ port }] } } = find(central, 'ServiceMonitor', 'tokend');
  const service = find(central, 'Service', 'tokend');
  assert(selects(selector, service.metadata.labels));
  assert(service.spec.ports.some(({ name }) => name === port));
  const monitor = find(central, 'PodMonitor', 'tokend-sidecar').spec;
  const { spec: { ingress: [{ from: [{ podSelector }] }] } } = find(central, 'NetworkPolicy', 'tokend');
  for (const folder of ['examples/sidecar', 'examples/sidecar-with-key']) {
    const [pod] = podsOf(rendered[folder]);
    assert(selects(monitor.selector, pod.labels));
    assert(portsOf(pod).includes(monitor.podMetricsEndpoints[0].port));
    assert(selects(podSelector, pod.labels));
  }
});

test('Every file and socket that a configuration names is in a volume of its container', () => {
  for (const { folder, container, text } of daemons) {
    for (const [path] of text.matchAll(/(?<=[ /])\/(?:run|var|etc)\/[\w./-]+/g)) {
      const mount = container.volumeMounts.find(({ mountPath }) => path.startsWith(`${mountPath}/`));
      assert(mount, `${folder}: ${path}`);
      assert.equal(Boolean(mount.readOnly), path.startsWith('/run/secrets/'), `${folder}: ${path}`);
    }
  }
});

test('Whoever may not read a secret cannot', () => {
  for (const pod of podsOf(all)) {
    for (const { secret } of pod.spec.volumes ?? []) {
      if (!secret) continue;
      assert.equal(secret.defaultMode, 0o440);
      assert(pod.spec.securityContext.fsGroup);
    }
  }
});

test('No container has the default token of its service account', () => {
  for (const objects of Object.values(rendered)) {
    for (const pod of podsOf(objects)) {
      const account = find(objects, 'ServiceAccount', pod.spec.serviceAccountName);
      assert.equal(pod.spec.automountServiceAccountToken ?? account?.automountServiceAccountToken, false);
    }
  }
});

test('Every container has a read-only root, a request and a limit of memory, and no limit of CPU', () => {
  for (const container of podsOf(all).flatMap(containersOf)) {
    assert.equal(container.securityContext.readOnlyRootFilesystem, true, container.name);
    assert(container.resources.requests.cpu && container.resources.requests.memory, container.name);
    assert.deepEqual(Object.keys(container.resources.limits), ['memory'], container.name);
  }
});

test('The grace period is longer than drain_delay and drain, and drain than a POST', () => {
  for (const { folder, pod, config } of daemons) {
    const { drain_delay = '0s', drain = '20s' } = config.server ?? {};
    const grace = pod.spec.terminationGracePeriodSeconds ?? 30;
    assert(grace >= secondsOf(drain_delay) + secondsOf(drain) + 5, folder);
    if (pod.workload.kind === 'StatefulSet') assert(secondsOf(drain) > 30, folder);
  }
});

test('The volume of the log has room for what the log keeps', () => {
  for (const { folder, pod, config } of daemons) {
    const { max_size = '256MiB', keep = 30 } = config.audit.file;
    const { emptyDir, persistentVolumeClaim } = pod.spec.volumes.find(({ name }) => name === 'tokend-log') ?? {};
    const claim = persistentVolumeClaim
      ? find(rendered[folder], 'PersistentVolumeClaim', persistentVolumeClaim.claimName)
      : pod.workload.spec.volumeClaimTemplates?.find(({ metadata }) => metadata.name === 'log');
    const room = emptyDir?.sizeLimit ?? claim.spec.resources.requests.storage;
    // Beside the files: the configurations that were in force.
    assert(bytesOf(room) >= bytesOf(max_size) * (keep + 1) + bytesOf('64Mi'), `${folder}: ${room}`);
  }
});

test('The kubelet can reach every probe', () => {
  for (const { folder, pod, container, config } of daemons) {
    const [, host, port] = /^(.*):(\d+)$/.exec(config.admin.address);
    assert.equal(host, '0.0.0.0', folder);
    const { startupProbe, readinessProbe, livenessProbe } = container;
    for (const probe of [startupProbe, readinessProbe, livenessProbe].filter(Boolean)) {
      if (probe.exec) {
        assert.deepEqual(probe.exec.command, ['/usr/bin/tokenctl', 'health'], folder);
        assert.equal(config.listeners[0].address, 'unix:///run/tokend/tokend.sock', folder);
        assert(probe.timeoutSeconds > 1, folder);  // tokenctl waits for a second
      } else {
        const { containerPort } = container.ports.find(({ name }) => name === probe.httpGet.port);
        assert.equal(containerPort, Number(port), folder);
      }
    }
    assert.equal(livenessProbe.httpGet.path, '/livez', folder);
    assert.equal(readinessProbe?.httpGet.path, pod.workload.kind === 'StatefulSet' ? '/readyz' : undefined, folder);
  }
});

test('The sidecar starts before the application and its init containers, and decides nothing about readiness', () => {
  const template = { metadata: { labels: { app: 'a' } }, spec: { restartPolicy: 'Always',
    initContainers: [{ name: 'migrate', image: 'm' }], containers: [{ name: 'app', image: 'a' }] } };
  const workload = (kind, name, label) => ({ apiVersion: kind === 'Job' ? 'batch/v1' : 'apps/v1', kind,
    metadata: { name, labels: label }, spec: { template } });
  const kinds = ['Deployment', 'StatefulSet', 'DaemonSet', 'Job'];
  const labelled = { 'tokend/sidecar': 'true' };
  const objects = renderFiles({
    'kustomization.yaml': { resources: [...kinds.map((kind) => `${kind}.yaml`), 'other.yaml'],
      components: ['tokend/deploy/kubernetes/components/sidecar'],
      configMapGenerator: [{ name: 'tokend-sidecar', literals: ['tokend.yaml={}'] }] },
    ...Object.fromEntries(kinds.map((kind) => [`${kind}.yaml`, workload(kind, 'a', labelled)])),
    'other.yaml': workload('Deployment', 'other', {}),
  });
  for (const kind of kinds) {
    const [sidecar, migrate] = find(objects, kind, 'a').spec.template.spec.initContainers;
    assert.equal(migrate.name, 'migrate', kind);
    assert.equal(sidecar.restartPolicy, 'Always', kind);
    assert(sidecar.startupProbe && !sidecar.readinessProbe, kind);
  }
  assert.equal(find(objects, 'Deployment', 'other').spec.template.spec.initContainers.length, 1);
});

test('A sidecar without a key is in a Pod without a key', () => {
  const [pod] = podsOf(rendered['examples/sidecar']);
  assert(!JSON.stringify(pod.spec).includes('secret":'));
  assert.equal(pod.spec.securityContext.fsGroup, undefined);
  const { projected } = pod.spec.volumes.find(({ name }) => name === 'tokend-credentials');
  assert.equal(projected.sources[0].serviceAccountToken.audience, 'tokend');
});

test('The configurations of one replica and of three differ in nothing but the state', () => {
  const { state, ...replicated } = parse(read('deploy/kubernetes/components/replicated/tokend.yaml'));
  assert(state.redis.tls);
  assert.deepEqual(replicated, parse(read('deploy/kubernetes/base/tokend.yaml')));
});

test('The Redis of the replicas has the settings of redis.md, and what tokend.yaml expects', () => {
  const settings = Object.fromEntries([...read('deploy/kubernetes/components/redis/redis.conf')
    .matchAll(/^([a-z]\S*) (.*)$/gm)].map(([, key, value]) => [key, value]));
  const page = read('deploy/redis.md');
  for (const key of ['appendonly', 'appendfsync', 'maxmemory-policy']) {
    assert(page.includes(`${key} ${settings[key]}`), key);
  }
  const rights = /ACL SETUSER tokend on >PASSWORD ([^`]+)/.exec(page)[1].trim().split(/\s+/);
  const [name, on, , ...given] = settings.user.split(' ');
  assert.deepEqual([on, ...given], ['on', ...rights]);
  const { redis } = parse(read('deploy/kubernetes/components/replicated/tokend.yaml')).state;
  assert.equal(name, redis.username);
  const [container] = find(rendered['overlays/central'], 'StatefulSet', 'redis').spec.template.spec.containers;
  const [host, port] = redis.address.split(':');
  assert.equal(Number(port), container.ports[0].containerPort);
  assert.equal(settings['tls-port'], port);
  assert(find(rendered['overlays/central'], 'Certificate', 'redis').spec.dnsNames.includes(host));
  assert(bytesOf(container.resources.limits.memory) >= 2 * Number.parseInt(settings.maxmemory) * 1024 ** 2);
});

test('A relay reaches the central tokend by a name and a port that it has', () => {
  const { upstream: { tokend } } = daemons.find(({ folder }) => folder === 'examples/sidecar').config;
  const [host, port] = tokend.address.split(':');
  const central = rendered['overlays/central'];
  assert(find(central, 'Certificate', 'tokend').spec.dnsNames.includes(host));
  assert(find(central, 'Service', 'tokend').spec.ports.some((each) => each.port === Number(port)));
  const listener = daemons.find(({ folder }) => folder === 'overlays/central').config.listeners
    .find(({ address }) => address.endsWith(`:${port}`));
  assert.equal(listener.authentication.jwt.audience, 'tokend');
});

test('The kustomizations of the README render', () => {
  const [central, sidecar] = [...readme.matchAll(/^```yaml\n(# kustomization[^]*?)^```$/gm)].map(([, text]) => text);
  const objects = renderFiles({ 'kustomization.yaml': central, 'tokend.yaml': 'mine' });
  assert.equal(find(objects, 'ConfigMap', 'tokend').data['tokend.yaml'], 'mine');
  const [{ image }] = find(objects, 'StatefulSet', 'tokend').spec.template.spec.containers;
  assert.match(image, /^registry.example\/tokend@sha256:/);
  assert(find(objects, 'PrometheusRule', 'tokend') && find(objects, 'ConfigMap', 'tokend-dashboard'));
  const application = renderFiles({ 'kustomization.yaml': sidecar, 'tokend.yaml': 'mine',
    'deployment.yaml': read('deploy/kubernetes/examples/application/deployment.yaml') });
  assert(tokendOf(podsOf(application)[0]));
});

test('The image has the version of the project', () => {
  const [, version] = /project\(tokend VERSION (\S+)/.exec(read('CMakeLists.txt'));
  for (const { container } of daemons) assert(container.image.endsWith(`tokend:${version}`), container.image);
});

test('tokend accepts every configuration', { skip: !process.env.TOKEND_BINARIES }, () => {
  for (const { folder, config, text } of daemons) {
    const file = `${scratch()}/tokend.yaml`;
    writeFileSync(file, text);
    const [{ callers: [caller], applications: [application] }] = config.policy.grants;
    // Judges a configuration without the files that it names.
    const { status, stderr } = spawnSync(`${process.env.TOKEND_BINARIES}/tokenctl`,
      ['policy', 'explain', '--config', file, '--caller', caller, '--app', application], { encoding: 'utf8' });
    assert.equal(status, 0, `${folder}: ${stderr}`);
  }
});
