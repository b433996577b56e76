// attack.test.mjs - what should not happen to a network that is used hard or badly.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { startCorten } from './lib/corten.mjs';
import { folder } from './lib/folder.mjs';
import { request } from './lib/http.mjs';

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
