// `corten dev`: a whole network in one terminal; it starts, tests its nodes, serves, ends and goes on where it was.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { corten, startCorten } from './lib/corten.mjs';
import { folder } from './lib/folder.mjs';
import { Network, startDev } from './lib/network.mjs';
import { until } from './lib/until.mjs';

const echo = ['--engine', 'echo', '--model', 'words'];
const prompt = (text, more = {}) => ({ model: 'words', prompt: text, ...more });

// The children of a process, by /proc.
function childrenOf(pid) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === String(pid);
      } catch {
        return false; // it ended meanwhile
      }
    })
    .map(Number);
}

test('a network that keeps its folder ends cleanly and continues', async (t) => {
  const first = await startDev(t, echo);
  const account = (await first.get('/api/v1/accounts/me')).address;
  const answer = await first.openai().completions.create(prompt('before'));
  const before = await first.audit();
  const balance = await first.balance(account);
  const children = childrenOf(first.process.child.pid);

  await t.test('three miners and an oracle run as its children', () => assert.equal(children.length, 4));

  await t.test('SIGTERM ends it with status 0, and all its children with it', async () => {
    const { status, signal } = await first.process.stop('SIGTERM');
    assert.deepEqual({ status, signal }, { status: 0, signal: null }, first.process.output());
    for (const pid of children) assert.equal(existsSync(`/proc/${pid}`), false, `${pid} is still there`);
  });

  await t.test('the ledger of a network that has ended verifies', async () => {
    const { seq, money } = await first.ledger();
    assert.ok(seq >= before.seq);
    assert.equal(money, 'ok');
  });

  const second = await startDev(t, echo, { data: first.data });

  await t.test('a second start on the same folder continues: positions grow, balances are kept', async () => {
    assert.ok((await second.status()).seq > before.seq);
    assert.equal(await second.balance(account), balance);
    assert.equal((await second.status()).network, before.network);
  });

  await t.test('its nodes are the same, and were tested again before they serve', async () => {
    const [a, b] = [before, await second.status()].map((one) => Object.values(one.nodes).reduce((x, y) => x + y));
    assert.equal(b, a);
    const { nodes } = await second.status();
    assert.ok(nodes.EPHEMERAL + nodes.RESERVED > 0);
  });

  await t.test('finished tasks are still known, with their receipts', async () => {
    const { session_id: session, task_id: task } = answer.corten;
    assert.equal((await second.task(session, task)).state, 'COMPLETED');
    await second.receipt(task, answer.choices[0].text);
  });

  await t.test('and it answers', async () => {
    const again = await second.openai().completions.create(prompt('after'));
    assert.ok(again.choices[0].text);
    await second.audit();
  });
});

test('a killed network loses nothing that it had said', async (t) => {
  const first = await startDev(t, echo);
  const openai = first.openai();
  const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => openai.completions.create(prompt(`word ${i}`))));
  await first.process.stop('SIGKILL');
  const second = await startDev(t, echo, { data: first.data });
  for (const answer of answers) {
    const { session_id: session, task_id: task } = answer.corten;
    assert.equal((await second.task(session, task)).state, 'COMPLETED');
    await second.receipt(task, answer.choices[0].text);
  }
  await second.audit();
});

test('nodes go round: tested, reserved by a session, released, tested again', async (t) => {
  const net = await startDev(t, echo);
  const session = await net.post('/api/v1/sessions', {
    model: 'words', name: 'round', redundancy: 3, quorum: 2, nodes_min: 3, nodes_max: 3, validation: 'majority', escrow: '1000000',
  });
  const id = session.session_id;
  await until('the session has its nodes', async () => (await net.get(`/api/v1/sessions/${id}`)).state === 'ACTIVE');
  assert.equal((await net.status()).nodes.RESERVED, 3);
  const answer = await net.openai().completions.create(prompt('thrice', { temperature: 0, corten: { session_id: id } }));
  assert.equal(answer.corten.session_id, id);
  assert.equal(answer.corten.session_reason, 'named');

  const steps = await net.why(answer.corten.task_id);
  const states = steps.filter((one) => one.event === 'task_moved').map((one) => one.to);
  assert.deepEqual(states, ['ASSIGNED', 'ACKED', 'PRECOMMITTED', 'COMMITTED', 'VALIDATED', 'COMPLETED']);

  const rounds = (await net.status()).seq;
  await net.post(`/api/v1/sessions/${id}/close`, {});
  await until('all nodes have passed again', async () => (await net.status()).nodes.EPHEMERAL === 3);
  assert.ok((await net.status()).seq > rounds);
  await net.closed(id);
  assert.equal((await net.status()).money.escrow, '0');
  await net.audit();
});

test('the development key opens nothing that others can reach', async (t) => {
  const data = folder(t);
  const process = await startCorten(t, ['dev', '--listen', '0.0.0.0:0', '--data', data, ...echo], { ms: 60_000 });
  const [, key] = await process.line(/API key, shown this once: (ck_[0-9a-f]{64})/);
  const net = new Network(t, process.ready.replace('0.0.0.0', '127.0.0.1'), data, key);
  assert.equal((await net.request('/v1/models', { key: 'default-dev-token' })).status, 401);
  assert.ok((await net.openai().completions.create(prompt('hello'))).choices[0].text);
});

test('what is wrong on its command line ends it with status 2 and words', async (t) => {
  for (const [args, words] of [
    [['--miners', '2', '--redundancy', '3'], /--redundancy 3 needs as many --miners/],
    [['--validation', 'judge'], /hash or majority/],
    [['--minres', '3'], /did you mean "miners"/],
    [['extra'], /"extra" is too much/],
  ]) {
    const { status, stderr } = await corten(t, ['dev', ...args]);
    assert.equal(status, 2, stderr);
    assert.match(stderr, words);
  }
});
