// attack.test.mjs - what should not happen to a network that is used hard or badly.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { startCorten } from './lib/corten.mjs';
import { folder } from './lib/folder.mjs';
import { request } from './lib/http.mjs';
import { startNetwork } from './lib/network.mjs';

const key = 'default-dev-token';

async function dev(t, ...args) {
  const p = await startCorten(t, [
    'dev', '--listen', '127.0.0.1:0', '--data', folder(t), '--engine', 'echo', '--model', 'm', ...args,
  ]);
  return p.ready;
}

// `count` prompts by `clients` clients at once; gives the answers' bodies.
async function ask(url, count, clients) {
  const answers = [];
  let next = 0;
  const client = async () => {
    while (next < count) {
      const body = { model: 'm', prompt: `prompt ${next++}`, max_tokens: 8 };
      const answer = await request(`${url}/v1/completions`, { key, body });
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      answers.push({ ...answer.body, task: answer.headers.get('corten-task') });
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return answers;
}

test('a task takes the place of one that ended in the same batch', async (t) => {
  const url = await dev(t, '--param', 'tasks_cap=16');
  const answers = await ask(url, 160, 8);
  assert.equal(new Set(answers.map((a) => a.task)).size, 160);
  for (const answer of answers.slice(-16)) {
    const receipt = await request(`${url}/api/v3/receipts/${answer.task}`, { key });
    assert.equal(receipt.status, 200);
    assert.equal(receipt.body.task, answer.task);
  }
});

test('audits of tasks that have ended reach their receipts', async (t) => {
  const url = await dev(t, '--param', 'heartbeat_ms=200');
  const [{ task }] = await ask(url, 1, 1);
  let pending = true;
  for (let asked = 1; pending; asked++) {
    const receipt = await request(`${url}/api/v3/receipts/${task}`, { key });
    pending = receipt.body.answers[0].pending;
    assert.ok(asked < 400, 'the pay of an answer whose audit has ended is still said to be pending');
    await ask(url, 1, 1); // each is a moment for the network
  }
});

// Passes on to `port`, and says each frame of a client that matches `what` `times` times. Gives its own port.
async function parrot(t, port, what, times) {
  const sockets = new Set();
  const server = createServer((from) => {
    const to = connect(port, '127.0.0.1');
    for (const socket of [from, to]) {
      sockets.add(socket.setNoDelay(true));
      socket.on('error', () => {}).on('close', () => (from.destroy(), to.destroy()));
    }
    let held = Buffer.alloc(0);
    let upgraded = false;
    to.pipe(from);
    from.on('data', (data) => {
      held = Buffer.concat([held, data]);
      if (!upgraded) {
        const end = held.indexOf('\r\n\r\n') + 4;
        if (end < 4) return;
        to.write(held.subarray(0, end));
        held = held.subarray(end);
        upgraded = true;
      }
      for (;;) {
        const short = held[1] & 127;
        const head = short < 126 ? 6 : short === 126 ? 8 : 14; // with the mask
        if (held.length < head) return;
        const size = short < 126 ? short : short === 126 ? held.readUInt16BE(2) : Number(held.readBigUInt64BE(2));
        if (held.length < head + size) return;
        const frame = held.subarray(0, head + size);
        const text = frame.subarray(head).map((byte, i) => byte ^ frame[head - 4 + (i % 4)]).toString();
        for (let i = what.test(text) ? times : 1; i > 0; i--) to.write(frame);
        held = held.subarray(head + size);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server.address().port;
}

test('a miner that says everything five hundred times does not fill the ledger', async (t) => {
  const net = await startNetwork(t, { engine: 'echo=tokens=20,slow=10' });
  const port = await parrot(t, net.port, /"type":"(ack|precommit)"/, 500);
  await Promise.all([net.oracle(1), net.miner(1, [], { at: port })]);
  await net.serving(1);
  const before = (await net.status()).seq;
  assert.ok(before < 300, `${before} entries until its round was over`);
  const answer = await net.openai().completions.create({ model: net.model, prompt: 'once', max_tokens: 20 });
  assert.equal(answer.usage.completion_tokens, 20);
  const more = (await net.status()).seq - before;
  assert.ok(more < 100, `${more} entries for one prompt`);
});
