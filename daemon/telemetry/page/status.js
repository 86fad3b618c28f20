'use strict';

// Fetches /status.json every second and shows it. Texts enter the page as text nodes alone. Keys of the data have
// underscores; names of this script have none.

const svgSpace = 'http://www.w3.org/2000/svg';
const refreshMs = 1000;
const secondLookMs = 250; // what is left of the limits is read while the first answer is on its way
const patienceMs = 5000;
const hourMinutes = 60;
const certificateNearSeconds = 7 * 86400;

const byId = (id) => document.getElementById(id);

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== ''));
  return node;
}

function shape(tag, attributes, ...children) {
  const node = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Replaces the children where they have changed, so that what the reader has selected stays.
const shown = new WeakMap();
function show(parent, ...children) {
  const next = element('div', '', ...children);
  const markup = next.innerHTML;
  if (shown.get(parent) === markup) return;
  shown.set(parent, markup);
  parent.replaceChildren(...next.childNodes);
}

const count = (number) => number.toLocaleString('en-US').replaceAll(',', '\u2009');
const seconds = (time) => Date.parse(time) / 1000;
const clock = (time, parts = { timeStyle: 'medium' }) => new Date(time).toLocaleTimeString('en-GB', parts);
const shortClock = (time) => clock(time, { timeStyle: 'short' });
function percent(part, whole) {
  const share = whole > 0 ? (100 * part) / whole : 0;
  return `${share.toFixed(Number.isInteger(share) || (share >= 10 && share <= 99) ? 0 : 1)} %`;
}


function lasting(length) {
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = units.findIndex(([size]) => length >= size);
  if (first < 0) return length > 0 ? `${Math.round(length * 1000)} ms` : '0 s';
  const [size, unit] = units[first];
  const whole = `${Math.floor(length / size)} ${unit}`;
  const next = units[first + 1];
  const rest = next && size > 60 ? Math.floor((length % size) / next[0]) : 0;
  return rest > 0 ? `${whole} ${rest} ${next[1]}` : whole;
}

function milliseconds(ms) {
  if (ms >= 10000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 100 ? Math.round(ms) : Number(ms.toPrecision(2))} ms`;
}

// "3 min ago" or, with `kind` "for", "for 3 min". tellAges keeps it up to date.
function age(kind, time, before = '', after = '') {
  const node = element('time', 'age');
  node.dateTime = time;
  node.title = new Date(time).toString();
  Object.assign(node.dataset, { kind, before, after });
  return node;
}
const ago = (...rest) => age('ago', ...rest);

function tellAges(now) {
  for (const node of document.querySelectorAll('time.age')) {
    const { kind, before, after } = node.dataset;
    const length = Math.max(0, Math.floor(seconds(now) - seconds(node.dateTime)));
    const words = kind === 'for' ? `for ${lasting(length)}` : length < 1 ? 'now' : `${lasting(length)} ago`;
    node.textContent = before + words + after;
  }
}

const pill = (kind, words) => element('span', `pill ${kind}`, words);
const row = (left, right) => element('div', 'row', element('div', '', ...[left].flat()), element('div', '', ...[right].flat()));
const empty = (words) => element('li', 'quiet', words);
const items = (list, render, nothing) => (list.length > 0 ? list.map(render) : [empty(nothing)]);

// A bar of which `parts`, as [share, class], are filled.
function bar(parts) {
  const full = { x: 0, y: 0, height: 6, rx: 3 };
  let from = 0;
  const filled = parts.filter(([share]) => share > 0).map(([share, className]) => {
    const one = shape('rect', { ...full, x: `${100 * from}%`, width: `${100 * share}%`, class: className });
    from += share;
    return one;
  });
  return shape('svg', { class: 'bar', 'aria-hidden': 'true' }, shape('rect', { ...full, width: '100%', class: 'track' }), ...filled);
}

// Plots.

const plotHeight = 160;
const margin = { left: 44, right: 6, top: 10, bottom: 22 };

// The distance of the lines of a grid that reaches `highest` in at most four of them.
function stepFor(highest, smallest) {
  let step = 10 ** Math.floor(Math.log10(Math.max(highest, smallest) / 4));
  for (const factor of [2, 2.5, 2, 2]) if (step < smallest || highest > step * 4) step *= factor;
  return Math.max(step, smallest);
}

function axes(width, lastMinute, step, lines, format) {
  const nodes = [];
  const bottom = plotHeight - margin.bottom;
  const height = bottom - margin.top;
  for (let i = 0; i <= lines; ++i) {
    const y = bottom - (height * i) / lines;
    nodes.push(shape('line', { class: i === 0 ? 'axis' : 'grid', x1: margin.left, x2: width - margin.right, y1: y, y2: y }));
    nodes.push(shape('text', { x: margin.left - 6, y: y + 4, 'text-anchor': 'end' }, format(step * i)));
  }
  for (let i = 0; i < hourMinutes; ++i) {
    const time = new Date((lastMinute - hourMinutes + 1 + i) * 60000);
    if (time.getMinutes() % 15 !== 0) continue;
    const x = margin.left + ((width - margin.left - margin.right) * (i + 0.5)) / hourMinutes;
    nodes.push(shape('line', { class: 'axis', x1: x, x2: x, y1: bottom, y2: bottom + 4 }));
    const anchor = x < margin.left + 16 ? 'start' : x > width - 20 ? 'end' : 'middle';
    nodes.push(shape('text', { x, y: plotHeight - 5, 'text-anchor': anchor }, shortClock(time)));
  }
  return nodes;
}

// `series`: {label, color, key, line}. Bars are stacked; lines are broken where a minute has no value.
function plot(container, status, { series, format, smallest, nothing }) {
  const width = Math.max(container.clientWidth, 200);
  const lastMinute = Math.floor(seconds(status.time) / 60);
  const slots = Array(hourMinutes).fill(null);
  for (const minute of status.minutes) {
    const at = hourMinutes - 1 - (lastMinute - Math.floor(seconds(minute.time) / 60));
    if (at >= 0 && at < hourMinutes) slots[at] = minute;
  }
  const values = (minute) => series.map(({ key }) => (minute && minute[key]) || 0);
  const heightOf = (minute) => (series[0].line ? Math.max(...values(minute)) : values(minute).reduce((a, b) => a + b));
  const highest = Math.max(...slots.map(heightOf));
  const step = stepFor(highest, smallest);
  const lines = Math.max(1, Math.ceil(highest / step - 1e-9));
  const bottom = plotHeight - margin.bottom;
  const scale = (bottom - margin.top) / (step * lines);
  const slotWidth = (width - margin.left - margin.right) / hourMinutes;
  const marks = [];
  const left = (i) => margin.left + slotWidth * i;
  if (series[0].line) {
    for (const { key, color } of series) marks.push(...lineOf(slots, key, color, (i) => left(i + 0.5), (value) => bottom - value * scale));
  } else {
    slots.forEach((minute, i) => {
      let y = bottom;
      values(minute).forEach((value, k) => {
        if (value === 0) return;
        const height = Math.max(value * scale, 1);
        y -= height;
        marks.push(shape('rect', { class: series[k].color, x: left(i) + slotWidth * 0.12, y, width: slotWidth * 0.76, height }));
      });
    });
  }
  // Over all of a minute, for the mouse.
  slots.forEach((minute, i) => {
    if (minute === null || values(minute).every((value) => value === 0)) return;
    const words = series.map(({ key, label }) => `${label} ${minute[key] === null ? '-' : format(minute[key])}`).join(', ');
    marks.push(shape('rect', { x: left(i), y: margin.top, width: slotWidth, height: bottom - margin.top, 'fill-opacity': 0 },
      shape('title', {}, `${shortClock(minute.time)}: ${words}`)));
  });
  if (highest === 0) {
    marks.push(shape('text', { class: 'empty', x: (margin.left + width) / 2, y: plotHeight / 2, 'text-anchor': 'middle' }, nothing));
  }
  const label = highest === 0 ? nothing : `The last hour, minute by minute. Highest: ${format(highest)}`;
  const drawn = shape('svg', { viewBox: `0 0 ${width} ${plotHeight}`, role: 'img', 'aria-label': label },
    ...axes(width, lastMinute, step, lines, format), ...marks);
  const legend = element('div', 'legend',
    ...series.map(({ label: words, color }) => element('span', '', element('span', `mark ${color}`), words)));
  show(container, drawn, legend);
}

function lineOf(slots, key, color, x, y) {
  const nodes = [];
  let run = [];
  const end = () => {
    if (run.length === 1) nodes.push(shape('circle', { class: color, cx: run[0][0], cy: run[0][1], r: 2.5 }));
    if (run.length > 1) nodes.push(shape('polyline', { class: `line ${color}`, points: run.map((point) => point.join()).join(' ') }));
    run = [];
  };
  slots.forEach((minute, i) => {
    if (minute && minute[key] !== null) run.push([x(i), y(minute[key])]);
    else end();
  });
  end();
  return nodes;
}

function showPlots(status) {
  plot(byId('calls-plot'), status, {
    series: [{ key: 'served', label: 'served', color: 'blue' }, { key: 'refused', label: 'refused', color: 'warn' },
      { key: 'failed', label: 'failed', color: 'bad' }, { key: 'cancelled', label: 'cancelled', color: 'quiet' }],
    format: count, smallest: 1, nothing: 'No call in the last hour',
  });
  plot(byId('refusals-plot'), status, {
    series: [{ key: 'refused', label: 'refused', color: 'warn' }, { key: 'failed', label: 'failed', color: 'bad' }],
    format: count, smallest: 1, nothing: 'Nothing was refused in the last hour',
  });
  plot(byId('latency-plot'), status, {
    series: [{ key: 'latency_p50_ms', label: 'median', color: 'blue', line: true },
      { key: 'latency_p99_ms', label: '99th percentile', color: 'warn', line: true }],
    format: (ms) => count(Number(ms.toPrecision(3))), smallest: 0.25, nothing: 'No token was served in the last hour',
  });
}

// The parts of the page, from the top.

function problemsOf(status) {
  const problems = status.checks.filter(({ ok }) => !ok).map(({ name, state }) => `${name}: ${state}`);
  const { in_effect: inEffect, first_error: firstError, errors } = status.configuration;
  if (!inEffect) {
    const more = errors > 1 ? ` (and ${errors - 1} more)` : '';
    problems.push(`The last reload was rejected; the configuration before it is in effect. ${firstError}${more}`);
  }
  for (const { name, certificate_end_time: end } of status.listeners) {
    if (end !== null && seconds(end) <= seconds(status.time)) problems.push(`listener ${name}: its certificate has expired`);
  }
  return [...problems, ...status.troubles];
}

function showHead(status) {
  const problems = problemsOf(status);
  const kind = !status.ready ? 'bad' : problems.length > 0 ? 'warn' : 'good';
  const words = { bad: 'Not ready', warn: 'Ready, with trouble', good: 'Ready' }[kind];
  byId('verdict').className = `pill ${kind}`;
  show(byId('verdict'), words);
  document.title = `tokend: ${words.toLowerCase()}`;
  show(byId('facts'), `Version ${status.version} · up for ${lasting(status.up_seconds)}`);
  show(byId('freshness'), `Updated ${clock(status.time)}`);
  byId('trouble').hidden = problems.length === 0;
  show(byId('troubles'), ...problems.map((problem) => element('li', '', problem)));
}

function figure(label, value, unit, more) {
  return element('div', 'figure', element('div', 'label', label),
    element('div', 'value', value, unit ? element('small', '', ` ${unit}`) : ''), element('div', 'more', more));
}

function showFigures(status) {
  const sum = (key) => status.minutes.reduce((total, minute) => total + minute[key], 0);
  const [served, refused, failed, cancelled] = ['served', 'refused', 'failed', 'cancelled'].map(sum);
  const calls = served + refused + failed + cancelled;
  const last = status.minutes.findLast((minute) => minute.latency_p50_ms !== null);
  const [value, unit] = last ? milliseconds(last.latency_p50_ms).split(' ') : ['–', ''];
  const latency = last ? `99th percentile ${milliseconds(last.latency_p99_ms)}, at ${shortClock(last.time)}` : 'No token in the last hour';
  show(byId('figures'),
    figure('Calls in the last hour', count(calls), '', `${count(status.calls_in_flight)} in flight now`),
    figure('Refused or failed', count(refused + failed), percent(refused + failed, calls), `${count(refused)} refused, ${count(failed)} failed`),
    figure('Median latency', value, unit, latency),
    figure('Tokens that nobody has', count(status.unaccounted.count), '', 'since the start'));
}

const partWords = {
  state: 'limits and known requests', ledger: 'requests before the start', serving: 'neither starting nor draining', audit: 'records become durable',
};

function showChecks(status) {
  show(byId('checks'), ...status.checks.map(({ name, ok, decides, state }) => element('li', '',
    row([element('span', 'name', name), element('span', 'note', partWords[name] || '')], ok ? pill('good', 'ok') : pill(decides ? 'bad' : 'warn', decides ? 'not ready' : 'trouble')),
    ok ? '' : element('div', `detail ${decides ? 'bad' : ''}`, state))));
}

const blockWords = {
  breaker_open: 'circuit breaker open', key_rejected: 'API key rejected', paused: 'paused by the upstream',
  application_breaker_open: 'circuit breaker of an application open',
};

const centreWords = { ...blockWords, key_rejected: 'credentials rejected', paused: 'paused by the central tokend' };

function blockLine({ block, begin_time: begin, end_time: end, cause }, words = blockWords) {
  const after = cause ? `. Last failure: ${cause}` : '';
  return end === null
    ? element('div', 'detail bad', age('for', begin, `${words[block]} `, after))
    : element('div', 'detail', ago(end, `${words[block]} until `, after));
}

function limitLine({ name, tokens, per_seconds: per, burst, remaining }) {
  const rate = `${count(tokens)} per ${lasting(per)}`;
  const left = remaining === null ? 'not read yet' : `${count(remaining)} of ${count(burst)} left`;
  const share = remaining === null ? 0 : remaining / burst;
  return element('div', 'limit', element('span', 'name', name, element('span', 'note', rate)), element('span', '', left),
    bar([[share, share > 0.2 ? 'full' : 'low']]));
}

function showOrganizations(status) {
  byId('organizations-card').hidden = status.organizations.length === 0;
  const more = status.organization_count - status.organizations.length;
  show(byId('organizations'), ...status.organizations.map(({ name, key_generation: generation, blocks, limits }) => {
    const active = blocks.filter(({ end_time: end }) => end === null);
    const key = generation === null ? '' : element('span', 'note', `key generation ${generation}`);
    const state = active.length > 0 ? pill('bad', 'not sent') : pill('good', 'ok');
    const ofApplication = active.length > 0 && active.every(({ block }) => block === 'application_breaker_open');
    return element('li', '', row([element('span', 'name', name), key], ofApplication ? pill('warn', 'in part') : state),
      ...blocks.map((block) => blockLine(block)), ...limits.map(limitLine));
  }), more > 0 ? empty(`and ${count(more)} more`) : '');
}

function showCentre(status) {
  byId('centre-card').hidden = status.centre === null;
  if (status.centre === null) return;
  const { address, reachable, since_time: since, last_failure: failure, blocks } = status.centre;
  const state = reachable === null ? pill('', 'no call yet') : reachable ? pill('good', 'reachable') : pill('bad', 'out of reach');
  show(byId('centre'), element('li', '', row(element('span', 'name', address), state),
    since === null ? '' : element('div', 'detail', age('for', since, reachable ? 'reachable ' : 'out of reach ')),
    failure ? element('div', `detail ${reachable ? '' : 'bad'}`, `Last failure: ${failure}`) : '',
    ...blocks.map((block) => blockLine(block, centreWords))));
}

function certificateLine(end, now) {
  const left = seconds(end) - seconds(now);
  const kind = left <= 0 ? ' bad' : '';
  const date = new Date(end).toISOString().replace('T', ' ').slice(0, 16);
  const words = left <= 0 ? `certificate expired on ${date} UTC` : `certificate expires in ${lasting(left)}, on ${date} UTC`;
  return element('div', `detail${kind}`, words, left > 0 && left < certificateNearSeconds ? element('span', 'note', pill('warn', 'soon')) : '');
}

function showListeners(status) {
  show(byId('listeners'), ...status.listeners.map((listener) => element('li', '',
    row(element('span', 'name', listener.name), `${count(listener.connections)} ${listener.connections === 1 ? 'connection' : 'connections'}`),
    element('div', 'detail code', listener.addresses.join(', ')),
    listener.certificate_end_time === null ? '' : certificateLine(listener.certificate_end_time, status.time),
    listener.keys_age_seconds === null ? '' : element('div', 'detail', `token keys fetched ${lasting(listener.keys_age_seconds)} ago`))));
}

function showConfiguration(status) {
  const { digest, reload_time: time, in_effect: inEffect, errors, first_error: firstError } = status.configuration;
  show(byId('configuration'),
    element('li', '', row(element('span', 'name', 'Last reload'), inEffect ? pill('good', 'in effect') : pill('bad', 'rejected')),
      element('div', 'detail', ago(time), inEffect ? '' : ', the one before it is in effect'),
      firstError ? element('div', 'detail bad code', firstError) : '',
      errors > 1 ? element('div', 'detail', `and ${count(errors - 1)} more errors, in the log`) : ''),
    element('li', '', element('div', 'name', 'Digest in effect'), element('div', 'detail code', digest)),
    element('li', '', element('div', 'name', 'Started'), element('div', 'detail', ago(status.start_time), `, ${status.start_time}`)));
}

function showRefusals(status) {
  show(byId('refusals-note'), status.refusals.length > 0 ? 'alike ones together' : '');
  show(byId('refusals'), ...items(status.refusals, (refused) => {
    const who = refused.caller || `unknown caller, ${refused.peer}`;
    const from = refused.caller && refused.peer ? `from ${refused.peer}` : '';
    const times = refused.count > 1 ? `${count(refused.count)} times, ` : '';
    return element('li', '',
      row(element('span', 'name', who), element('span', 'detail', times, ago(refused.time))),
      element('div', 'detail', element('span', 'code', refused.reason), refused.detail ? `: ${refused.detail}` : ''),
      element('div', 'detail', [`listener ${refused.listener}`, from].filter(Boolean).join(', ')));
  }, 'None since the start'));
}

function showUnaccounted(status) {
  const { count: total, latest } = status.unaccounted;
  show(byId('unaccounted-note'), total > latest.length ? `the latest ${latest.length} of ${count(total)}` : total > 0 ? 'look for them in the dashboard' : '');
  show(byId('unaccounted'), ...items(latest, (token) => element('li', '',
    row(element('span', 'name', `${token.organization} / ${token.application}`), element('span', 'detail', ago(token.time))),
    element('div', 'detail', { unknown: 'may exist, for ', withheld: 'was kept back from ' }[token.outcome], token.caller),
    element('div', 'detail code', token.request_id)), 'None since the start'));
}

function showCallers(status) {
  const { busiest, since_time: since, missed_calls: missed } = status.callers;
  show(byId('callers-note'), `since ${shortClock(since)}`, missed > 0 ? `, each count up to ${count(missed)} too low` : '');
  const most = Math.max(1, ...busiest.map(({ calls }) => calls));
  show(byId('callers'), ...items(busiest, ({ caller, calls, refused }) => element('li', '',
    row(element('span', 'name', caller), [refused > 0 ? element('span', 'note', `${count(refused)} refused`) : '', element('span', 'number', count(calls))]),
    bar([[(calls - refused) / most, 'full'], [refused / most, 'refused']])), 'No calls yet'));
}

function showAll(status) {
  for (const part of [showHead, showFigures, showPlots, showChecks, showCentre, showOrganizations, showListeners,
    showConfiguration, showRefusals, showUnaccounted, showCallers]) part(status);
  tellAges(status.time);
}

let latest = null; // the last status
let latestAt = Date.now();

function showSilence() {
  byId('silence').hidden = false;
  byId('verdict').className = 'pill bad';
  show(byId('verdict'), 'No answer');
  document.title = 'tokend: no answer';
  show(byId('silence-since'), latest === null
    ? 'The page has had no answer yet. It goes on asking.'
    : `What is below was true at ${clock(latest.time)}, ${lasting(Math.round((Date.now() - latestAt) / 1000))} ago. The page goes on asking.`);
}

async function turn(looks = 0) {
  try {
    const answer = await fetch('/status.json', { cache: 'no-store', signal: AbortSignal.timeout(patienceMs) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    latest = await answer.json();
    latestAt = Date.now();
    byId('silence').hidden = true;
    showAll(latest);
  } catch {
    showSilence();
  }
  setTimeout(turn, looks === 0 ? secondLookMs : refreshMs, looks + 1);
}

addEventListener('resize', () => latest && showPlots(latest));
turn();
