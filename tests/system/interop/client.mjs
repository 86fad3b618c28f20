// Runs a test's plan with gRPC for Node.js and raw bytes as messages: see README.md.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const grpc = createRequire(process.env.GRPC_JS_FROM)('@grpc/grpc-js');
const MAX_OUTCOMES = 32;
const plan = JSON.parse(readFileSync(process.argv[2]));

function openClient() {
  const options = { 'grpc.enable_retries': 0, 'grpc.max_receive_message_length': 64 << 20 };
  if (plan.keepalive_ms) {
    options['grpc.keepalive_time_ms'] = plan.keepalive_ms;
    options['grpc.keepalive_permit_without_calls'] = 1;
  }
  if (plan.gzip) options['grpc.default_compression_algorithm'] = grpc.compressionAlgorithms.gzip;
  let credentials = grpc.credentials.createInsecure();
  if (plan.ca) {
    const read = (key) => (plan[key] ? readFileSync(plan[key]) : null);
    credentials = grpc.credentials.createSsl(read('ca'), read('key'), read('cert'));
    options['grpc.ssl_target_name_override'] = 'localhost';
    options['grpc.default_authority'] = 'localhost';
  }
  return new grpc.Client(plan.address, credentials, options);
}

const client = openClient();
const raw = (bytes) => bytes;

function outcomeOf(status, responses) {
  const first = (key) => status.metadata?.get(key)?.[0];
  return {
    code: status.code,
    message: status.details ?? '',
    details: first('grpc-status-details-bin')?.toString('base64') ?? '',
    pushback: first('grpc-retry-pushback-ms') ?? '',
    responses: responses.map((each) => each.toString('base64')),
  };
}

function call(job, request, requests) {
  return new Promise((resolve) => {
    const metadata = new grpc.Metadata();
    for (const [key, value] of Object.entries(job.metadata ?? {})) metadata.set(key, value);
    const options = job.timeout_ms ? { deadline: Date.now() + job.timeout_ms } : {};
    const responses = [];
    let stream;
    if (job.kind === 'bidi') {
      stream = client.makeBidiStreamRequest(job.method, raw, raw, metadata, options);
      for (const each of requests) stream.write(each);
      stream.end();
    } else if (job.kind === 'server_stream') {
      stream = client.makeServerStreamRequest(job.method, raw, raw, request, metadata, options);
    } else {
      stream = client.makeUnaryRequest(job.method, raw, raw, request, metadata, options, (error, response) => {
        if (response) responses.push(response);
      });
    }
    if (job.kind) {
      stream.on('data', (each) => responses.push(each));
      stream.on('error', () => {});
    }
    stream.on('status', (status) => setImmediate(() => resolve(outcomeOf(status, responses))));
    if (job.cancel_after_ms) setTimeout(() => stream.cancel(), job.cancel_after_ms);
  });
}

async function run(job, started) {
  const requests = (job.requests ?? ['']).map((each) => Buffer.from(each, 'base64'));
  const codes = {};
  const outcomes = [];
  let begun = 0;
  const over = () => (job.seconds ? Date.now() - started >= job.seconds * 1000 : begun >= (job.count ?? 1));
  const work = async () => {
    while (!over()) {
      const outcome = await call(job, requests[begun++ % requests.length], requests);
      codes[outcome.code] = (codes[outcome.code] ?? 0) + 1;
      if (outcomes.length < MAX_OUTCOMES) outcomes.push(outcome);
      if (job.pause_ms && !over()) await sleep(job.pause_ms);
    }
  };
  await Promise.all(Array.from({ length: job.parallel ?? 1 }, work));
  return { codes, outcomes };
}

let connects = 0;
const channel = client.getChannel();
function watch(state) {
  if (state === grpc.connectivityState.READY) connects++;
  channel.watchConnectivityState(state, Infinity, () => watch(channel.getConnectivityState(false)));
}
watch(channel.getConnectivityState(true));

client.waitForReady(Date.now() + 20_000, async (error) => {
  if (error) throw error;
  const started = Date.now();
  const jobs = await Promise.all(plan.jobs.map((job) => run(job, started)));
  console.log(JSON.stringify({ connects, jobs }));
  process.exit(0);
});
