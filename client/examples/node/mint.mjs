// Asks tokend for a token over stock gRPC. Before the first run: npm ci
//
//   node mint.mjs unix:///run/tokend/tokend.sock APPLICATION
//   node mint.mjs --ca ca.crt --cert me.crt --key me.key tokend.platform.svc:8443 APPLICATION
//   node mint.mjs --ca ca.crt --token-file /var/run/secrets/tokens/tokend tokend.platform.svc:8444 APPLICATION
//
// Prints the token's id, or with --bearer the secret. An error names the request_id: with --request-id,
// a later run asks for the same token again.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const TIMEOUT_MS = 30_000;
const MAX_ATTEMPTS = 5;
const FIRST_BACKOFF_MS = 200;
const CHANNEL_OPTIONS = {
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 500,
};
const { UNAVAILABLE, RESOURCE_EXHAUSTED } = grpc.status;

const definition = protoLoader.loadSync(
  ['tokend/v1/token_service.proto', 'google/rpc/status.proto', 'google/rpc/error_details.proto'],
  { includeDirs: [process.env.TOKEND_PROTO ?? fileURLToPath(new URL('../../../proto', import.meta.url))],
    keepCase: true, longs: String, defaults: true });
const { TokenService } = grpc.loadPackageDefinition(definition).tokend.v1;

// Sends the token in the file. Reads it for each call, because a kubelet replaces the token.
const bearerFrom = (file) => grpc.credentials.createFromMetadataGenerator(async (_, callback) => {
  try {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${(await readFile(file, 'utf8')).trim()}`);
    callback(null, metadata);
  } catch (error) {
    callback(error);
  }
});

// TLS, unless the address is a unix socket, or a loopback address without TLS files and token.
function credentialsFor(address, { ca, cert, key, 'token-file': tokenFile }) {
  const host = address.slice(0, address.lastIndexOf(':'));
  const loopback = /^(localhost|\[::1\]|127\..*)$/.test(host);
  if (host === 'unix' || (loopback && !ca && !cert && !tokenFile)) return grpc.credentials.createInsecure();
  const read = (file) => (file ? readFileSync(file) : null);
  const tls = grpc.credentials.createSsl(read(ca), read(key), read(cert));
  return tokenFile ? grpc.credentials.combineChannelCredentials(tls, bearerFrom(tokenFile)) : tls;
}

// The google.rpc messages in the trailer grpc-status-details-bin, by name: {ErrorInfo, RetryInfo, …}.
function detailsOf(error) {
  const [bytes] = error.metadata.get('grpc-status-details-bin');
  if (!bytes) return undefined;
  const details = {};
  for (const { type_url, value } of definition['google.rpc.Status'].deserialize(bytes).details) {
    const name = type_url.split('/').pop();
    const type = definition[name];
    if (type) details[name.split('.').pop()] = type.deserialize(value);
  }
  return details;
}

// Milliseconds to wait before the same request may be sent again; undefined where it must not be.
function retryDelay(error, attempt) {
  if (error.metadata.get('grpc-retry-pushback-ms').length > 0) return undefined;
  if (error.code !== UNAVAILABLE && error.code !== RESOURCE_EXHAUSTED) return undefined;
  const backoff = FIRST_BACKOFF_MS * 2 ** attempt * (0.5 + Math.random() / 2);
  const details = detailsOf(error);
  if (!details) return error.code === UNAVAILABLE ? backoff : undefined; // a lost connection
  const delay = details.RetryInfo?.retry_delay;
  return delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6 + backoff;
}

// Waits for a daemon that is not up yet: otherwise gRPC fails at once.
async function createToken(client, request) {
  const deadline = Date.now() + TIMEOUT_MS;
  for (let attempt = 0; ; attempt++) {
    try {
      return await new Promise((resolve, reject) =>
        client.CreateToken(request, new grpc.Metadata({ waitForReady: true }), { deadline }, (error, response) =>
          error ? reject(error) : resolve(response)));
    } catch (error) {
      const delay = attempt + 1 < MAX_ATTEMPTS ? retryDelay(error, attempt) : undefined;
      if (delay === undefined || Date.now() + delay >= deadline) throw error;
      await sleep(delay);
    }
  }
}

const text = { type: 'string' };
const { values: options, positionals: [address, application] } = parseArgs({ allowPositionals: true,
  options: { bearer: { type: 'boolean' }, ca: text, cert: text, key: text, 'token-file': text, 'request-id': text } });
if (!application) {
  console.error('usage: mint.mjs [--bearer] [--ca F] [--cert F --key F] [--token-file F] [--request-id ID] ' +
    'ADDRESS APPLICATION');
  process.exit(2);
}
const client = new TokenService(address, credentialsFor(address, options), CHANNEL_OPTIONS);
// The same id on every attempt: tokend never creates two tokens for it.
const request = { application, request_id: options['request-id'] ?? randomUUID() };
try {
  const { token } = await createToken(client, request);
  console.log(options.bearer ? token.bearer : token.id);
} catch (error) {
  const reason = detailsOf(error)?.ErrorInfo?.reason ?? 'no reason given';
  console.error(`${grpc.status[error.code]} (${reason}): ${error.details}; request_id ${request.request_id}`);
  process.exitCode = 1;
} finally {
  client.close();
}
