// Judges Pods by the restricted Pod Security Standard.
import { createDefaultMonokleValidator } from '@monokle/validation';
import { stringify } from 'yaml';
import { nameOf } from './manifests.mjs';

const rules = [
  'host-process', 'host-namespaces', 'privileged-containers', 'capabilities', 'host-path-volumes', 'host-ports',
  'app-armor', 'selinux', 'proc-mount', 'seccomp', 'sysctls', 'volume-types', 'privilege-escalation',
  'running-as-non-root', 'running-as-non-root-user', 'seccomp-strict', 'capabilities-strict',
];

export async function violationsIn(objects) {
  const validator = createDefaultMonokleValidator();
  await validator.preload({ plugins: { 'kubernetes-schema': false, 'pod-security-standards': true },
    rules: Object.fromEntries(rules.map((rule) => [`pod-security-standards/${rule}`, 'err'])) });
  const { runs } = await validator.validate({ resources: objects.map((content) => ({
    id: nameOf(content), fileId: nameOf(content), filePath: nameOf(content), fileOffset: 0, name: content.metadata.name,
    apiVersion: content.apiVersion, kind: content.kind, content, text: stringify(content) })) });
  return runs.flatMap(({ results }) => results.map(({ ruleId, message }) => `${ruleId}: ${message.text}`));
}
