// Calls of tokend.v1.TokenService/CreateToken over HTTP/2 without TLS, and tokens that name their callers.
import { generateKeyPairSync, sign as signBytes } from 'node:crypto';
import { connect } from 'node:http2';

const lengthOf = (size) => (size < 128 ? [size] : [(size & 127) | 128, size >> 7]);

function field(number, text) {
  const bytes = Buffer.from(text ?? '');
  return bytes.length === 0 ? bytes : Buffer.concat([Buffer.from([(number << 3) | 2, ...lengthOf(bytes.length)]), bytes]);
}

export class Client {
  // `sign` makes a caller's token; without it calls carry none.
  constructor(address, sign) {
    this.sign = sign;
    this.session = connect(`http://${address}`);
    this.session.on('error', () => {});
  }

  // The number of the gRPC status.
  create({ application, organization = 'acme', caller }) {
    const message = Buffer.concat([field(1, organization), field(2, application), field(3, 'from tests/ship')]);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    return new Promise((resolve, reject) => {
      const stream = this.session.request({
        ':method': 'POST', ':path': '/tokend.v1.TokenService/CreateToken', 'content-type': 'application/grpc', te: 'trailers',
        ...(this.sign && { authorization: `Bearer ${this.sign(caller)}` }),
      });
      let status;
      const take = (headers) => { status = headers['grpc-status'] ?? status; };
      stream.on('response', take).on('trailers', take).on('error', reject);
      stream.on('close', () => resolve({ status: Number(status) }));
      stream.resume();
      stream.end(Buffer.concat([head, message]));
    });
  }

  close() {
    this.session.destroy();
  }
}

export function signer() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = encode({ alg: 'ES256', kid: 'ship', typ: 'JWT' });
  const now = Math.floor(Date.now() / 1000);
  const sign = (caller) => {
    const text = `${header}.${encode({ iss: 'https://issuer.example', aud: 'tokend', sub: caller, iat: now, nbf: now, exp: now + 3600 })}`;
    return `${text}.${signBytes('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  };
  const jwks = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'ship', alg: 'ES256', use: 'sig' }] };
  return { sign, jwks };
}
