// idle.test.mjs - what a connection costs a router on which nothing happens: memory of its own, without the kernel's.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import test from 'node:test';
import { WebSocket } from 'ws';
import { startDev } from './lib/network.mjs';

const CONNECTIONS = 500;
const BYTES_MAX = 4096; // of each

const anonymous = (pid) => 1024 * Number(/^Anonymous:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]);

// Opens them, and says what each has added to the router's memory.
async function measure(t, open) {
  const net = await startDev(t, ['--engine', 'echo', '--model', 'm']);
  const close = [await open(net)];
  const before = anonymous(net.process.child.pid);
  for (let i = 0; i < CONNECTIONS; i++) close.push(await open(net));
  const bytes = (anonymous(net.process.child.pid) - before) / CONNECTIONS;
  t.diagnostic(`${Math.round(bytes)} bytes a connection`);
  assert.ok(bytes > 100, `${bytes} bytes a connection: they were not looked at`);
  assert.ok(bytes <= BYTES_MAX, `${bytes} bytes a connection, over ${BYTES_MAX}`);
  assert.equal((await net.request('/v1/models')).status, 200);
  for (const one of close) one();
}

test('a client that is silent behind its answer costs at most 4 KiB', (t) => measure(t, async (net) => {
  const { hostname, port } = new URL(net.url);
  const socket = connect(port, hostname);
  await once(socket, 'connect');
  socket.write(`GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${net.key}\r\n\r\n`);
  const [answer] = await once(socket, 'data');
  assert.match(answer.toString(), /^HTTP\/1\.1 200 /);
  return () => socket.destroy();
}));

test('a WebSocket on which nothing is under way costs at most 4 KiB', (t) => measure(t, async (net) => {
  const ws = new WebSocket(`${net.url.replace('http', 'ws')}/api/v1/ws`, ['corten.client.v1'], { headers: { authorization: `Bearer ${net.key}` } });
  await once(ws, 'open');
  return () => ws.terminate();
}));
