// A real Prometheus scrapes a real tokend, takes the rules, and answers every query of the dashboard.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { scratch, source } from './manifests.mjs';

const binaries = process.env.TOKEND_BINARIES;
const started = [];
after(() => started.forEach((process) => process.kill()));

// What has no series here: there is neither Redis nor TLS, and no call waits for a turn.
const absent = [
  'tokend_redis_reachable', 'tokend_tls_certificate_not_after_seconds', 'tokend_turn_queue_length',
];

async function eventually(what, limit = 30_000) {
  for (const end = Date.now() + limit; ;) {
    const value = await what();
    if (value) return value;
    assert(Date.now() < end, `in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Starts a program and waits until a line of what it prints matches. The answer is what the pattern's group caught.
async function start(command, parameters, pattern) {
  const child = spawn(command, parameters);
  started.push(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { text += data; });
  return eventually(() => {
    assert.equal(child.exitCode, null, text);
    return pattern.exec(text)?.[1];
  });
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Has minted one token, and refused another because of a limit.
async function startTokend(folder) {
  writeFileSync(`${folder}/api-key`, 'key-of-the-test\n', { mode: 0o600 });
  const url = await start(`${binaries}/fake-applivery`,
    ['--port', '0', '--key-file', `${folder}/api-key`, '--ca-out', `${folder}/ca.crt`], /^listening (http\S+)$/m);
  writeFileSync(`${folder}/tokend.yaml`, stringify({
    listeners: [{ name: 'pod', address: `unix://${folder}/s`, authentication: { none: { caller: 'ci' } } }],
    upstream: { applivery: { base_url: url, ca_file: `${folder}/ca.crt`,
      organizations: [{ name: 'acme', api_key: { file: `${folder}/api-key` },
        limits: [{ name: 'hour', tokens: 10, per: '1h' }] }] } },
    policy: { grants: [{ name: 'ci', callers: ['ci'], applications: ['ios-app'], scopes: ['sdk'],
      limits: [{ name: 'hour', tokens: 1, per: '1h' }] }] },
    audit: { file: { path: `${folder}/audit.jsonl` } },
    admin: { address: '127.0.0.1:0' },
  }));
  const admin = await start(`${binaries}/tokend`, ['--config', `${folder}/tokend.yaml`],
    /"listener":"admin","address":"([^"]+)"[^]*"event":"serving"/);
  const create = () => spawnSync(`${binaries}/tokenctl`,
    ['--address', `unix://${folder}/s`, '--timeout', '5s', 'create', '--app', 'ios-app'], { encoding: 'utf8' });
  assert.equal(create().status, 0);
  assert.match(create().stderr, /RATE_LIMITED/);
  return admin;
}

test('Prometheus takes the rules and answers every query of the dashboard', { skip: !binaries }, async () => {
  const folder = scratch();
  const admin = await startTokend(folder);
  const { spec } = parse(readFileSync(`${source}deploy/prometheus/prometheusrule.yaml`, 'utf8'));
  writeFileSync(`${folder}/rules.yaml`, stringify(spec));
  writeFileSync(`${folder}/prometheus.yaml`, stringify({ global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['rules.yaml'], scrape_configs: [{ job_name: 'tokend', static_configs: [{ targets: [admin] }] }] }));
  const port = await freePort();
  await start('prometheus', [`--config.file=${folder}/prometheus.yaml`, `--storage.tsdb.path=${folder}/data`,
    `--web.listen-address=127.0.0.1:${port}`], /(Server is ready to receive web requests)/);
  const ask = async (path) => (await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)).json();
  const query = (expr) => ask(`query?query=${encodeURIComponent(expr)}`);

  // Three scrapes, so that rates have something to go by.
  await eventually(async () => (await query('count_over_time(up[1m]) >= 3')).data?.result.length > 0);
  const dashboard = JSON.parse(readFileSync(`${source}deploy/grafana/tokend.json`, 'utf8'));
  const without = new Set();
  for (const { title, targets = [] } of dashboard.panels) {
    for (const { expr } of targets) {
      const { status, error, data } = await query(
        expr.replaceAll(/\$__(rate_interval|range)/g, '1m').replaceAll(/\$(job|instance)/g, '.*'));
      assert.equal(status, 'success', `${title}: ${error}`);
      if (data.result.length === 0) without.add(/(?:tokend|grpc)_\w+/.exec(expr)[0]);
    }
  }
  assert.deepEqual([...without].filter((name) => !absent.includes(name)), []);
  await eventually(async () => {
    const { data: { groups: [{ rules }] } } = await ask('rules');
    return rules.every(({ health }) => health === 'ok');
  });
  assert.deepEqual((await ask('alerts')).data.alerts.filter(({ state }) => state === 'firing'), []);
});
