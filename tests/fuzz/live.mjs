// node tests/fuzz/live.mjs URL [SECONDS [CONNECTIONS [SEED]]] - garbage for a router that runs: half of it nearly good.
//
// So many connections at once, each with requests, frames of a link or bytes of the committed corpora, changed here and
// there, in pieces, broken off or left open. After each second the router must still answer /healthz. Ends with counts
// of the answers, and with status 1 where it did not answer. Start the router under a sanitizer to see more:
//
//      make BUILD=build-san SAN=address,undefined all && build-san/corten dev --listen 127.0.0.1:5010
import { connect } from 'node:net';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';

const [url = '', seconds = '60', connections = '64', seed = '1'] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const corpora = new URL('./corpus/', import.meta.url);

let drawn = 0;
// Not the system's: a seed gives the same bytes again, though not the same moments.
function below(n) {
  const hash = createHash('sha256').update(`${seed}/${drawn++}`).digest();
  return hash.readUInt32BE(0) % n;
}
const pick = (list) => list[below(list.length)];
const inputs = (target) =>
  readdirSync(new URL(target + '/', corpora)).map((name) => readFileSync(new URL(`${target}/${name}`, corpora)));

const requests = inputs('http_request');
const frames = { text: [...inputs('link_up'), ...inputs('link_down')], bytes: [...inputs('link_binary_up'), ...inputs('link_binary_down')] };
const raw = inputs('ws_server');
const bodies = ['request_chat', 'request_completion', 'request_native', 'api', 'receipt', 'json'].flatMap(inputs);
const paths = ['/v1/chat/completions', '/v1/completions', '/v1/models', '/v1/models/a%2fb', '/api/v1/sessions', '/api/v2/tasks',
  '/api/v1/sessions/1/completions', '/api/v1/sessions/1/tasks/1/receipt', '/api/v1/keys', '/api/v1/accounts/me', '/api/v3/payloads',
  '/api/v1/tasks?limit=9&before=x', '/metrics', '/api/v1/info', '/healthz', '/api/v1/deposits', '/nowhere/%zz', '/link/miner'];
const keys = ['default-dev-token', 'ck_wrong', '', 'x'.repeat(300)];

function changed(bytes) {
  const out = Buffer.from(bytes);
  for (let edits = below(4); edits > 0 && out.length > 0; edits--) out[below(out.length)] ^= 1 << below(8);
  return below(5) ? out : out.subarray(0, below(out.length + 1));
}

function request() {
  const body = changed(pick(bodies));
  const method = pick(['GET', 'POST', 'POST', 'POST', 'PUT', 'DELETE', 'OPTIONS']);
  const head = `${method} ${pick(paths)} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${pick(keys)}\r\n`;
  const sized = below(4)
    ? `Content-Length: ${body.length}\r\n\r\n${body.toString('latin1')}`
    : `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body.toString('latin1')}\r\n0\r\n\r\n`;
  return Buffer.from(head + (method === 'GET' ? '\r\n' : sized), 'latin1');
}

function frame(payload, form) {
  const mask = randomBytes(4);
  const size = payload.length;
  const kind = form === 'bytes' ? 0x82 : 0x81;
  const head = size < 126 ? Buffer.from([kind, 0x80 | size]) : Buffer.from([kind, 0xfe, size >> 8, size & 255]);
  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i & 3])]);
}

function link() {
  const role = pick(['miner', 'oracle']);
  const form = pick(['text', 'bytes']);
  const head = `GET /link/${role} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Protocol: corten.${role}.v1${form === 'bytes' ? '+bin' : ''}\r\n\r\n`;
  const parts = [Buffer.from(head)];
  for (let n = below(6); n > 0; n--) {
    const payload = below(3) ? pick(frames[form]) : changed(pick(frames[form]));
    parts.push(below(4) ? frame(payload.subarray(0, 60000), form) : changed(pick(raw)));
  }
  return Buffer.concat(parts);
}

const counts = { connections: 0, broken: 0 };
let running = true;

function attack() {
  if (!running) return;
  counts.connections++;
  const bytes = below(3) === 0 ? link() : below(2) ? request() : Buffer.concat([changed(pick(requests)), changed(pick(requests))]);
  const socket = connect({ host: hostname, port: Number(port) });
  let first = true;
  socket.on('data', (data) => {
    const status = first ? /^HTTP\/1\.1 (\d\d\d)/.exec(data.toString('latin1'))?.[1] ?? 'none' : undefined;
    if (status) counts[status] = (counts[status] ?? 0) + 1;
    first = false;
  });
  socket.on('error', () => counts.broken++);
  socket.on('close', () => setImmediate(attack));
  socket.on('connect', () => {
    const piece = below(2) ? bytes.length : 1 + below(200);
    for (let at = 0; at < bytes.length; at += piece) socket.write(bytes.subarray(at, at + piece));
    const end = below(4);
    if (end === 0) socket.resetAndDestroy?.() ?? socket.destroy();
    else if (end === 1) socket.end();
    else socket.setTimeout(50 + below(1500), () => socket.destroy());
  });
}

async function alive() {
  try {
    return (await fetch(new URL('/healthz', url), { signal: AbortSignal.timeout(20000) })).status === 200;
  } catch {
    return false;
  }
}

for (let i = 0; i < Number(connections); i++) attack();
function end(good) {
  running = false;
  console.log(JSON.stringify({ answers: good, ...counts }));
  process.exit(good ? 0 : 1);
}

const until = Date.now() + 1000 * Number(seconds);
setInterval(async () => {
  const good = await alive();
  if (!good || Date.now() >= until) end(good);
}, 1000);
