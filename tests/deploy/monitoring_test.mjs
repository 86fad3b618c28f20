// The alerts of deploy/prometheus fire when they should, and the dashboard of deploy/grafana is one that Grafana reads.
// Both ask only for metrics that deploy/README.md documents.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { scratch, source } from './manifests.mjs';
import { compile } from './schemas.mjs';

const read = (path) => readFileSync(source + path, 'utf8');
const { spec } = parse(read('deploy/prometheus/prometheusrule.yaml'));
const alerts = spec.groups.flatMap(({ rules }) => rules);
const dashboard = JSON.parse(read('deploy/grafana/tokend.json'));
const queries = dashboard.panels.flatMap(({ targets = [] }) => targets).map(({ expr }) => expr);

function folderWith(rules) {
  const folder = scratch();
  writeFileSync(`${folder}/rules.yaml`, stringify(rules));
  return folder;
}

function promtool(...parameters) {
  const { status, stdout, stderr, error } = spawnSync('promtool', parameters, { encoding: 'utf8' });
  assert.equal(error, undefined);
  assert.equal(status, 0, stdout + stderr);
}

test('promtool accepts the rules', () => {
  promtool('check', 'rules', '--lint=all', '--lint-fatal', `${folderWith(spec)}/rules.yaml`);
});

test('Each alert fires alone, and none while all is well', () => {
  const folder = folderWith(spec);
  for (const file of ['alerts.yaml', 'alerts_of_weeks.yaml']) {
    copyFileSync(new URL(file, import.meta.url), `${folder}/${file}`);
    promtool('test', 'rules', `${folder}/${file}`);
  }
  const tested = parse(read('tests/deploy/alerts.yaml')).tests.map(({ name }) => name.split(',')[0]);
  for (const { alert } of alerts) assert(tested.includes(alert), alert);
});

test('Each alert has a paragraph in the runbook, and names it', () => {
  const headings = [...read('deploy/prometheus/runbook.md').matchAll(/^## (\w+)$/gm)].map(([, heading]) => heading);
  assert.deepEqual(headings, alerts.map(({ alert }) => alert));
  for (const { alert, annotations, labels } of alerts) {
    assert.equal(annotations.runbook, `deploy/prometheus/runbook.md#${alert.toLowerCase()}`);
    assert.match(labels.severity, /^(critical|warning)$/);
  }
});

test('Alerts and dashboard ask only for metrics that deploy/README.md documents', () => {
  const name = /\b(?:tokend|grpc_server|process)_[a-z_]+[a-z]/g;
  const documented = read('deploy/README.md').match(name);
  for (const expr of [...alerts.map((alert) => alert.expr), ...queries]) {
    for (const asked of expr.replaceAll(/"[^"]*"/g, '').match(name) ?? []) {
      const metric = asked.replace(/_(bucket|count|sum)$/, '');
      assert(documented.includes(metric), asked);
    }
  }
});

test('The dashboard has the schema of Grafana', () => {
  const mistakes = (value) => compile([{ name: 'dashboard', module: '@grafana/schema', type: 'Dashboard', value }]);
  assert.equal(mistakes(dashboard), '');
  assert.match(mistakes({ ...dashboard, panel: [] }), /"panel"' does not exist/);
});

test('Every query of the dashboard is PromQL', () => {
  const record = (expr, number) => ({ record: `query:${number}`,
    expr: expr.replaceAll(/\$__(rate_)?interval|\$__range/g, '5m').replaceAll(/\$(job|instance)/g, '.*') });
  const folder = folderWith({ groups: [{ name: 'dashboard', rules: queries.map(record) }] });
  promtool('check', 'rules', `${folder}/rules.yaml`);
});

test('The panels fill the rows of the dashboard and lie beside each other', () => {
  const taken = new Set();
  for (const { title, gridPos: { x, y, w, h } } of dashboard.panels) {
    assert(x + w <= 24, title);
    for (let row = y; row < y + h; row++) {
      for (let column = x; column < x + w; column++) {
        assert(!taken.has(`${row} ${column}`), title);
        taken.add(`${row} ${column}`);
      }
    }
  }
  const height = Math.max(...dashboard.panels.map(({ gridPos: { y, h } }) => y + h));
  assert.equal(taken.size, 24 * height);
  const ids = dashboard.panels.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});

test('Every panel says what it shows, and takes its data from the chosen source', () => {
  for (const { type, title, description, datasource } of dashboard.panels.filter(({ type }) => type !== 'row')) {
    assert(description?.endsWith('.'), title);
    assert.equal(datasource.uid, '${datasource}', `${type} ${title}`);
  }
});
