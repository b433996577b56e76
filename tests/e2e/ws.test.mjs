// src/net's WebSockets against npm's `ws`: its client against our server, our client against its server, with and
// without TLS.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import WebSocket, { WebSocketServer } from 'ws';
import { folder } from './lib/folder.mjs';
import { Process, run } from './lib/process.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const build = process.env.BUILD ?? 'build';
const ECHO = join(root, build, 'ws_echo');

before(() => execFileSync('make', ['-s', `BUILD=${build}`, `${build}/ws_echo`], { cwd: root, stdio: 'inherit' }));

// ---- their client, our server ----

async function serve(t) {
  const p = new Process(t, ECHO, ['serve']);
  p.url = `ws://127.0.0.1:${(await p.line(/^ready (\d+)$/))[1]}/`;
  return p;
}

async function open(t, url, protocols, options) {
  const ws = new WebSocket(url, protocols, options);
  t.after(() => ws.terminate());
  await once(ws, 'open');
  return ws;
}

// Sends and waits for one message; { data, binary }.
async function ask(ws, data, options) {
  const answer = once(ws, 'message');
  ws.send(data, options);
  const [got, binary] = await answer;
  return { data: got, binary };
}

test('server: echoes text and binary of every length form', async (t) => {
  const ws = await open(t, (await serve(t)).url);
  for (const size of [0, 1, 125, 126, 65535, 65536, 3_000_000]) {
    const bytes = Buffer.alloc(size, 'abcdefghij');
    const text = await ask(ws, bytes.toString());
    assert.equal(text.binary, false);
    assert.ok(text.data.equals(bytes), `text of ${size}`);
    const binary = await ask(ws, bytes);
    assert.equal(binary.binary, true);
    assert.ok(binary.data.equals(bytes), `binary of ${size}`);
  }
});

test('server: joins fragments, with pings between them, and characters cut in two', async (t) => {
  const ws = await open(t, (await serve(t)).url);
  const euro = Buffer.from('€');
  const answer = once(ws, 'message');
  const pong = once(ws, 'pong');
  ws.send(Buffer.concat([Buffer.from('a'), euro.subarray(0, 1)]), { fin: false, binary: false });
  ws.ping('between');
  ws.send(euro.subarray(1, 2), { fin: false, binary: false });
  ws.send(Buffer.concat([euro.subarray(2), Buffer.from('z')]), { fin: true, binary: false });
  assert.equal((await pong)[0].toString(), 'between');
  assert.equal((await answer)[0].toString(), 'a€z');
});

test('server: many messages in one go come back in order', async (t) => {
  const ws = await open(t, (await serve(t)).url);
  const got = [];
  const all = new Promise((done) => ws.on('message', (m) => got.push(String(m)) === 5000 && done()));
  for (let i = 0; i < 5000; i++) ws.send(`message ${i}`);
  await all;
  assert.deepEqual(got, Array.from({ length: 5000 }, (_, i) => `message ${i}`));
});

test('server: chooses its first subprotocol among ours; refuses when it has none', async (t) => {
  const { url } = await serve(t);
  assert.equal((await open(t, url, ['corten.other', 'corten.echo'])).protocol, 'corten.echo');
  assert.equal((await open(t, url)).protocol, '');
  const refused = new WebSocket(url, ['nothing.known']);
  const [, response] = await once(refused, 'unexpected-response');
  assert.equal(response.statusCode, 426);
  let body = '';
  for await (const piece of response) body += piece;
  assert.equal(JSON.parse(body).error.code, 'WS_HANDSHAKE');
});

test('server: does not accept compression that it cannot do', async (t) => {
  const ws = await open(t, (await serve(t)).url, [], { perMessageDeflate: true });
  assert.equal(ws.extensions, '');
  assert.equal((await ask(ws, 'plain')).data.toString(), 'plain');
});

test('server: the closing handshake from both sides', async (t) => {
  const p = await serve(t);
  const ours = await open(t, p.url);
  ours.close(3333, 'their reason');
  assert.equal((await once(ours, 'close'))[0], 3333);
  await p.line(/^closed 3333 their reason$/);
  const theirs = await open(t, p.url);
  theirs.send('close');
  const [code, reason] = await once(theirs, 'close');
  assert.equal(code, 4001);
  assert.equal(reason.toString(), 'as you wish');
});

test('server: a client that vanishes is noticed; SIGTERM ends it cleanly', async (t) => {
  const p = await serve(t);
  const ws = await open(t, p.url);
  ws.terminate();
  await p.line(/^closed 1006 /);
  await open(t, p.url);
  assert.deepEqual(await p.stop(), { status: 0, signal: null });
});

// Frames that no client of `ws` would send: [what, bytes, the close code that must come].
const GARBAGE = [
  ['an unmasked frame', [0x81, 0x01, 0x61], 1002],
  ['a reserved bit', [0xc1, 0x80, 0, 0, 0, 0], 1002],
  ['an unknown opcode', [0x83, 0x80, 0, 0, 0, 0], 1002],
  ['a continuation of nothing', [0x80, 0x80, 0, 0, 0, 0], 1002],
  ['a fragmented ping', [0x09, 0x80, 0, 0, 0, 0], 1002],
  ['a close code of 1005', [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed], 1002],
  ['text that is no UTF-8', [0x81, 0x81, 0, 0, 0, 0, 0xff], 1007],
  ['a message over the limit', [0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 1009],
];

for (const [what, bytes, code] of GARBAGE) {
  test(`server: ${what} ends in ${code}, on that connection alone`, async (t) => {
    const p = await serve(t);
    const good = await open(t, p.url);
    const socket = connect(new URL(p.url).port, '127.0.0.1');
    t.after(() => socket.destroy());
    const chunks = [];
    socket.on('data', (data) => chunks.push(data));
    socket.write(
      'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    socket.write(Buffer.from(bytes));
    await once(socket, 'end');
    const got = Buffer.concat(chunks);
    const frame = got.subarray(got.indexOf('\r\n\r\n') + 4);
    assert.equal(frame[0], 0x88);
    assert.equal(frame.readUInt16BE(2), code);
    assert.equal((await ask(good, 'still here')).data.toString(), 'still here');
  });
}

// ---- our client, their server ----

// An echo server of npm's ws; over TLS where a server is given.
async function theirServer(t, { server, ...options } = {}) {
  const wss = new WebSocketServer({ ...(server ? { server } : { port: 0, host: '127.0.0.1' }), ...options });
  t.after(() => {
    for (const client of wss.clients) client.terminate();
    wss.close();
    server?.close();
  });
  wss.on('connection', (ws) => ws.on('message', (data, binary) => ws.send(data, { binary })));
  if (!server) await once(wss, 'listening');
  return wss;
}

const call = (t, url, ...more) => run(t, ECHO, ['connect', url, ...more]);

test('client: speaks with their server, in every length form', async (t) => {
  const wss = await theirServer(t, { handleProtocols: (asked) => [...asked][1] });
  const closed = new Promise((done) => wss.on('connection', (ws) => ws.on('close', (...args) => done(args))));
  const result = await call(t, `ws://127.0.0.1:${wss.address().port}/path?x=1`);
  assert.equal(result.stdout, 'open corten.echo\nechoed 20\nclosed 1000 all echoed\n');
  assert.equal(result.status, 0);
  const [code, reason] = await closed;
  assert.equal(code, 1000);
  assert.equal(reason.toString(), 'all echoed');
});

test('client: joins what their server fragments', async (t) => {
  const wss = await theirServer(t, { handleProtocols: (asked) => [...asked][0] });
  wss.removeAllListeners('connection');
  wss.on('connection', (ws) =>
    ws.on('message', (data, binary) => {
      const half = Math.floor(data.length / 2);
      ws.send(data.subarray(0, half), { binary, fin: false });
      ws.ping();
      ws.send(data.subarray(half), { binary, fin: true });
    }),
  );
  const result = await call(t, `ws://127.0.0.1:${wss.address().port}`);
  assert.match(result.stdout, /^open corten.other\nechoed 20\nclosed 1000/);
  assert.equal(result.status, 0);
});

test('client: says why it was refused', async (t) => {
  const wss = await theirServer(t, { verifyClient: (_, done) => done(false, 403, 'no') });
  const result = await call(t, `ws://127.0.0.1:${wss.address().port}`);
  assert.equal(result.stdout, 'closed 1006 the server answered 403 Forbidden and not 101\n');
  assert.equal(result.status, 1);
});

test('client: their abrupt end is a 1006', async (t) => {
  const wss = await theirServer(t, { handleProtocols: (asked) => [...asked][0] });
  wss.on('connection', (ws) => ws.on('message', () => ws.terminate()));
  const result = await call(t, `ws://127.0.0.1:${wss.address().port}`);
  assert.match(result.stdout, /closed 1006 /);
  assert.equal(result.status, 1);
});

// ---- TLS ----

// An authority, and a certificate by it for the names given.
function certificates(t, names) {
  const at = folder(t);
  const openssl = (...args) => execFileSync('openssl', args, { cwd: at, stdio: 'pipe' });
  const key = (name) => openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${name}.key`);
  key('ca');
  openssl('req', '-x509', '-new', '-key', 'ca.key', '-subj', '/CN=Test authority', '-days', '2', '-out', 'ca.pem');
  key('server');
  openssl('req', '-new', '-key', 'server.key', '-subj', '/CN=server', '-addext',
          `subjectAltName=${names}`, '-out', 'server.csr');
  openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2',
          '-copy_extensions', 'copy', '-out', 'server.pem');
  return { at, ca: join(at, 'ca.pem') };
}

async function theirTlsServer(t, at) {
  const server = createServer({ key: readFileSync(join(at, 'server.key')), cert: readFileSync(join(at, 'server.pem')) });
  server.on('tlsClientError', () => {});
  await theirServer(t, { server, handleProtocols: (asked) => [...asked][0] });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

test('client: wss:// with a certificate that fits, by address and by name', async (t) => {
  const { at, ca } = certificates(t, 'IP:127.0.0.1,DNS:localhost');
  const port = await theirTlsServer(t, at);
  for (const host of ['127.0.0.1', 'localhost']) {
    const result = await call(t, `wss://${host}:${port}/`, ca);
    assert.equal(result.stdout, 'open corten.other\nechoed 20\nclosed 1000 all echoed\n');
    assert.equal(result.status, 0);
  }
});

test('client: wss:// refuses unknown authorities and plain servers', async (t) => {
  const { at, ca } = certificates(t, 'IP:127.0.0.1,DNS:localhost');
  const port = await theirTlsServer(t, at);
  const unknown = await call(t, `wss://127.0.0.1:${port}/`);
  assert.match(unknown.stdout, /^closed 1006 TLS with 127.0.0.1 failed: unable to get local issuer certificate/);
  const plain = await theirServer(t);
  const wrong = await call(t, `wss://127.0.0.1:${plain.address().port}/`, ca);
  assert.match(wrong.stdout, /^closed 1006 TLS with 127.0.0.1 failed: /);
  const missing = await call(t, `wss://127.0.0.1:${port}/`, join(at, 'none.pem'));
  assert.match(missing.stdout, /^closed 1006 TLS: cannot read the authorities in .*none.pem/);
  for (const result of [unknown, wrong, missing]) assert.equal(result.status, 1);
});

test('client: wss:// refuses a certificate for somebody else', async (t) => {
  const { at, ca } = certificates(t, 'IP:127.0.0.9,DNS:elsewhere,DNS:*.localhost');
  const port = await theirTlsServer(t, at);
  const address = await call(t, `wss://127.0.0.1:${port}/`, ca);
  assert.match(address.stdout, /^closed 1006 TLS with 127.0.0.1 failed: IP address mismatch/);
  const name = await call(t, `wss://localhost:${port}/`, ca);
  assert.match(name.stdout, /^closed 1006 TLS with localhost failed: hostname mismatch/);
});
