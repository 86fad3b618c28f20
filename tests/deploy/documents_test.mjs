// What the documents tell people to type and to write does what they say.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';

const read = (page) => readFileSync(new URL(`../../${page}`, import.meta.url), 'utf8');
const blocks = (page, language) =>
  [...read(page).matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(([, text]) => text);

function folder(context) {
  const path = mkdtempSync(`${tmpdir()}/tokend-documents-`);
  context.after(() => rmSync(path, { recursive: true }));
  return path;
}

function run(cwd, script, shell = 'bash') {
  const { status, stdout, stderr } = spawnSync(shell, ['-ec', script], { cwd, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

test('certificates.md makes certificates that fit their CA and their use', (context) => {
  const here = folder(context);
  assert.equal(run(here, blocks('deploy/certificates.md', 'sh')[0]), 'tls.crt: OK\ncheckout.crt: OK\nbuilder.crt: OK\n');
  run(here, 'openssl verify -CAfile ca.crt -purpose sslserver -verify_hostname tokend.platform tls.crt');
  run(here, 'openssl verify -CAfile ca.crt -purpose sslclient checkout.crt builder.crt');
  run(here, 'test -z "$(find . -name "*.key" -perm /077)"');
});

test('audit.md finds the owner of a token with openssl and jq alone', (context) => {
  const here = folder(context);
  const key = randomBytes(32);
  const record = (bearer) => JSON.stringify({ event: 'token.issued', caller: { name: bearer },
    token: { fingerprint: `hmac-sha256:${createHmac('sha256', key).update(bearer).digest('hex')}` } });
  writeFileSync(`${here}/fingerprint.key`, key);
  writeFileSync(`${here}/token`, 'mine\n');
  writeFileSync(`${here}/audit.jsonl`, `${record('mine')}\n${record('yours')}\n`);
  const script = blocks('deploy/audit.md', 'sh').find((text) => text.includes('fingerprint.key'));
  assert.equal(JSON.parse(run(here, script, 'sh')).caller.name, 'mine');
});

test('audit.md finds the tokens that nobody has with jq alone', (context) => {
  const here = folder(context);
  let seq = 0;
  const lines = [];
  const append = (event, keys) => lines.push(JSON.stringify({ seq: ++seq, event, ...keys })) && seq;
  const ask = (request_id, ended, resolves) => {
    const intent = append('token.intended', { request_id, resolves });
    if (ended) append(ended, { intent, resolves });
    return intent;
  };
  ask('issued', 'token.issued');
  ask('refused', 'token.refused');
  ask('unknown', 'token.unknown');
  ask('withheld', 'token.withheld');
  const first = ask('resolved', 'token.unknown');
  ask('resolved', 'token.unknown', first);
  ask('resolved', 'token.issued', first);
  ask('open');
  writeFileSync(`${here}/audit.jsonl`, `${lines.join('\n')}\nhalf a li`);
  const script = blocks('deploy/audit.md', 'sh').find((text) => text.includes('reduce'));
  const found = run(here, script, 'sh').trim().split('\n').map((line) => JSON.parse(line).request_id);
  assert.deepEqual(found, ['unknown', 'withheld', 'open']);
});

test('tokend accepts the configurations of the pages', { skip: !process.env.TOKEND_BINARIES }, (context) => {
  for (const page of ['deploy/operator.md', 'deploy/relay.md']) {
    const [text] = blocks(page, 'yaml').filter((block) => block.startsWith('listeners:'));
    const file = `${folder(context)}/tokend.yaml`;
    writeFileSync(file, text);
    const [, caller] = /callers: \["([^"*]*)/.exec(text);
    // Judges a configuration without the files that it names.
    const { status, stderr } = spawnSync(`${process.env.TOKEND_BINARIES}/tokenctl`,
      ['policy', 'explain', '--config', file, '--caller', caller.replace(/\/$/, '/a'), '--app', 'ios-app'],
      { encoding: 'utf8' });
    assert.equal(status, 0, `${page}: ${stderr}`);
  }
});
