// The tools of the end-to-end tests themselves: if these lied, so would all others.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { folder } from './lib/folder.mjs';
import { events, request } from './lib/http.mjs';
import { Process, run } from './lib/process.mjs';
import { relay } from './lib/relay.mjs';

const node = (t, program, options) => new Process(t, process.execPath, ['-e', program], { name: 'node', ...options });
const ECHO_FOR_EVER = `console.log('ready at', 5); setInterval(() => {}, 1000)`;

test('process: a line is found whether it came before or comes after the question', async (t) => {
  const p = node(t, ECHO_FOR_EVER);
  assert.equal((await p.line(/^ready at (\d)$/))[1], '5');
  assert.equal((await p.line(/^ready at (\d)$/, { stream: 'stdout' }))[1], '5');
  assert.deepEqual(await p.stop(), { status: null, signal: 'SIGTERM' });
});

test('process: an end, a wrong stream and a long silence are errors that show the output', async (t) => {
  const p = node(t, `console.error('why'); process.exit(3)`);
  await assert.rejects(p.line(/ready/), /it ended before .*"status":3[^]*why/);
  await assert.rejects(p.line(/why/, { stream: 'stdout' }), /it ended/);
  const silent = node(t, ECHO_FOR_EVER);
  await assert.rejects(silent.line(/never/, { ms: 50 }), /50 ms passed/);
  await assert.rejects(silent.end({ ms: 50 }), /did not end within 50 ms/);
});

test('process: what it started dies with it', async (t) => {
  const p = node(
    t,
    `const c = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
     console.log('child', c.pid); setInterval(() => {}, 1000)`,
  );
  await p.line(/child/);
  p.killGroup();
  await p.exited; // its pipes are closed only when the child is gone too
});

test('process: run gives status and both streams, a last line without newline as well', async (t) => {
  const r = await run(t, process.execPath, ['-e', `process.stdout.write('a\\nb'); console.error('c'); process.exitCode = 2`]);
  assert.deepEqual(r, { status: 2, signal: null, stdout: 'a\nb\n', stderr: 'c\n' });
  assert.equal((await run(t, './there-is-no-such-program', [])).status, 127);
});

test('folder: is empty, and gone after its test', async (t) => {
  let path;
  await t.test('inner', (inner) => {
    path = folder(inner);
    assert.ok(existsSync(path));
  });
  assert.equal(existsSync(path), Boolean(process.env.KEEP));
});

async function listening(t, server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return server.address().port;
}

test('relay: passes bytes on, cuts them, and lets nobody in while refusing', async (t) => {
  const port = await listening(t, createServer((s) => s.on('error', () => {}).pipe(s)));
  const r = await relay(t, port);
  const open = async () => {
    const s = connect(r.port, '127.0.0.1');
    s.write('hello');
    const [back] = await once(s, 'data');
    assert.equal(String(back), 'hello');
    return s;
  };
  const first = await open();
  const broken = once(first, 'error');
  assert.equal(r.cut(), 1);
  assert.equal((await broken)[0].code, 'ECONNRESET');
  assert.equal(r.open, 0);

  r.refuse();
  const refused = connect(r.port, '127.0.0.1');
  assert.equal((await once(refused, 'error'))[0].code, 'ECONNRESET');
  r.refuse(false);

  const second = await open();
  const halt = r.cutEvery(20);
  await once(second, 'error');
  halt();
  assert.equal(r.cuts, 2);
  const third = await open();
  third.destroy();
});

test('http: JSON both ways, events one by one, and a broken stream is an error', async (t) => {
  const port = await listening(
    t,
    createHttpServer(async (req, res) => {
      if (req.url === '/json') {
        let text = '';
        for await (const part of req) text += part;
        res.writeHead(201, { 'content-type': 'application/json' });
        return res.end(JSON.stringify({ got: JSON.parse(text), key: req.headers.authorization }));
      }
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write(': comment\n\nid: 1\ndata: one\n\n');
      if (req.url === '/cut') return res.end('data: tw');
      res.write('event: e\r\ndata: two\ndata: lines\n\nda');
      res.end('ta: [DONE]\n\n');
    }),
  );
  const at = `http://127.0.0.1:${port}`;
  const { status, body } = await request(`${at}/json`, { key: 'k', body: { a: 1 } });
  assert.deepEqual({ status, body }, { status: 201, body: { got: { a: 1 }, key: 'Bearer k' } });

  const all = [];
  for await (const event of events(`${at}/events`, { body: {} })) all.push(event);
  assert.deepEqual(all, [{ id: '1', data: 'one' }, { event: 'e', data: 'two\nlines' }, { data: '[DONE]' }]);

  await assert.rejects(async () => {
    for await (const event of events(`${at}/cut`, { body: {} })) assert.equal(event.data, 'one');
  }, /broke off/);
});
