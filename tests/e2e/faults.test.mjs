// What goes wrong on purpose: each fault ends in its named error, and loses nothing.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'node:test';
import { WebSocket } from 'ws';
import { assertMoney, gather, startDev, startNetwork } from './lib/network.mjs';
import { until } from './lib/until.mjs';

// Deadlines as short as the faults that run into them.
const QUICK = { ack_ms: 2000, precommit_ms: 5000, commit_ms: 700, total_ms: 20_000, open_ms: 15_000, drain_ms: 2000 };

// A session of these nodes and no others.
async function openSession(net, nodes, more = {}) {
  const session = await net.post('/api/v1/sessions', {
    model: net.model, nodes_min: nodes.length, nodes_max: nodes.length, privacy: 'restricted', allowed: nodes.map((p) => p.node),
    escrow: '10000000', ...QUICK, ...more,
  });
  const path = `/api/v1/sessions/${session.session_id}`;
  await until('the session has its nodes', async () => (await net.get(path)).state === 'ACTIVE');
  return session.session_id;
}

async function closeSession(net, id) {
  await net.post(`/api/v1/sessions/${id}/close`, {});
  await net.closed(id);
}

async function refused(call) {
  try {
    await call;
  } catch (error) {
    return error;
  }
  return assert.fail('it was not refused');
}

const ends = (steps) => steps.filter((one) => one.event === 'assignment_moved' && /^(ACCEPTED|REJECTED|WITHHELD|TIMED_OUT|RECALLED|DECLINED)$/.test(one.to));
const byNode = (steps, node) => ends(steps).filter((one) => one.node === node);

test('nodes that break the commitment, among nodes that do not', async (t) => {
  const net = await startNetwork(t);
  await net.oracle();
  const [good, better, wrong, withhold, late, stale] = await Promise.all([
    net.miner(1), net.miner(2),
    net.miner(3, ['--fault', 'wrong-reveal']), net.miner(4, ['--fault', 'withhold-reveal']),
    net.miner(5, ['--fault', 'late-reveal=2000']), net.miner(6, ['--fault', 'stale-lease']),
  ]);
  await net.serving(6);
  const openai = net.openai();
  const three = { redundancy: 3, quorum: 2, validation: 'majority' };
  const ask = (session_id, more = {}) =>
    openai.completions.create({ model: net.model, prompt: 'tell', temperature: 0, ...more, corten: { session_id } });

  // Two honest nodes carry the answer; the third one's assignment ends as `how`, unpaid.
  const outvotes = (name, node, how) => t.test(name, async () => {
    const session = await openSession(net, [good, better, node()], three);
    const answer = await ask(session);
    const steps = await net.why(answer.corten.task_id);
    assert.deepEqual(byNode(steps, node().node).map(({ to, cause }) => ({ to, cause })), [how], JSON.stringify(steps));
    const receipt = await net.receipt(answer.corten.task_id, answer.choices[0].text);
    assert.deepEqual(receipt.answers.filter((one) => one.accepted).map((one) => one.node).sort(), [good.node, better.node].sort());
    await closeSession(net, session);
    await net.serving(6);
  });

  await outvotes('a wrong reveal is rejected, and the honest nodes\' answer stands', () => wrong, { to: 'REJECTED', cause: 'WRONG' });
  await outvotes('a withheld reveal is unpaid, and the honest nodes\' answer stands', () => withhold, { to: 'WITHHELD', cause: 'WITHHELD' });
  await outvotes('a reveal after its deadline is withheld, and what comes late is passed over', () => late, { to: 'WITHHELD', cause: 'WITHHELD' });

  await t.test('a stale lease changes nothing: the task is charged once, and the node goes on', async () => {
    const session = await openSession(net, [stale]);
    for (let i = 0; i < 3; i++) {
      const answer = await ask(session);
      assert.deepEqual(ends(await net.why(answer.corten.task_id)).map((one) => one.to), ['ACCEPTED']);
    }
    await closeSession(net, session);
  });

  await t.test('where nobody is honest the prompt ends with a named error, and costs nothing', async () => {
    const session = await openSession(net, [wrong]);
    const before = (await net.get(`/api/v1/sessions/${session}`)).escrow;
    const error = await refused(ask(session));
    assert.equal(error.code, 'ANSWER_REJECTED');
    assert.deepEqual(Object.keys(error.error.reasons), ['WRONG']);
    assert.equal((await net.get(`/api/v1/sessions/${session}`)).escrow, before);
    await closeSession(net, session);
  });

  await t.test('an escrow that is too short is a named error, and topping it up helps', async () => {
    const session = await openSession(net, [good], { escrow: '1' });
    const error = await refused(ask(session));
    assert.equal(error.status, 402);
    assert.equal(error.code, 'ESCROW_SHORT');
    await net.post(`/api/v1/sessions/${session}/top-up`, { amount: '1000000' });
    assert.ok((await ask(session)).choices[0].text);
    await closeSession(net, session);
  });

  await t.test('a session that asks for more than there is, is refused or closes, and its escrow returns', async () => {
    const before = await net.balance(net.account);
    const answer = await net.request('/api/v1/sessions', { body: { model: net.model, nodes_min: 50, nodes_max: 50, escrow: '1000', ...QUICK, open_ms: 500 } });
    if (answer.status < 300) {
      const path = `/api/v1/sessions/${answer.body.session_id}`;
      assert.equal((await net.get(path)).state, 'OPENING');
      await net.closed(answer.body.session_id);
    }
    assert.equal(await net.balance(net.account), before);
  });

  await t.test('after all that the ledger replays to the same digest, and money is conserved', () => net.audit());
});

test('a node that dies while it answers', async (t) => {
  const net = await startNetwork(t, { engine: 'echo=tokens=60,slow=25' });
  await net.oracle();
  const miners = await Promise.all([1, 2, 3].map((n) => net.miner(n)));
  await net.serving(3);
  const openai = net.openai();
  const body = { model: net.model, prompt: 'a long one', temperature: 0, max_tokens: 60 };
  const workerOf = async (task) => {
    const node = (await net.why(task)).findLast((one) => one.event === 'assignment_moved' && one.to === 'ACKED').node;
    return miners.find((p) => p.node === node);
  };
  const kill = (p) => (p.child.kill('SIGKILL'), p.exited);

  await t.test('SIGKILL under a stream ends it in stream_interrupted, and the task is answered by another node', async () => {
    const { data: stream, response } = await openai.completions.create({ ...body, stream: true }).withResponse();
    const [session, task] = [response.headers.get('corten-session'), response.headers.get('corten-task')];
    const error = await refused((async () => {
      for await (const chunk of stream) if (chunk.choices[0]?.text && miners.every((p) => !p.result)) await kill(await workerOf(task));
    })());
    assert.equal(error.code, 'stream_interrupted');
    const ended = await until('the task is done', async () => {
      const one = await net.task(session, task);
      return one.state === 'COMPLETED' && one;
    });
    assert.equal(ended.usage.completion_tokens, 60);
    await net.receipt(task, ended.result);
  });

  await t.test('SIGKILL where nobody reads along goes unseen: the answer comes from another node', async () => {
    const { sessions: [{ session_id: session }] } = await net.get('/api/v1/sessions');
    const answer = openai.completions.create({ ...body, prompt: 'another long one' });
    const task = await until('the task is acked', async () => {
      const { live } = await net.get(`/api/v1/tasks/${session}`);
      return live.find((one) => one.state === 'ACKED')?.task_id;
    });
    await kill(await workerOf(task));
    assert.equal((await answer).usage.completion_tokens, 60);
  });

  await t.test('the ledger replays to the same digest, and money is conserved', () => net.audit());
});

test('oracles that fall silent', async (t) => {
  const net = await startNetwork(t, { oracles: 2 });
  const [first, second] = await Promise.all([net.oracle(1), net.oracle(2)]);
  await net.miner(1);
  await net.serving(1);
  const openai = net.openai();
  const ask = () => openai.completions.create({ model: net.model, prompt: 'still there?' });
  const live = (count) => until(`${count} oracles live`, async () => (await net.status()).oracles_live === count);

  await t.test('one silent oracle is passed over: a new node is tested by the other', async () => {
    await live(2);
    first.child.kill('SIGSTOP');
    await live(1);
    await net.miner(2);
    await net.serving(2);
  });

  await t.test('without any oracle nodes that serve go on, and status says loudly what is missing', async () => {
    second.child.kill('SIGSTOP');
    await live(0);
    assert.ok((await ask()).choices[0].text);
    assert.match((await net.status()).warnings.join('\n'), /NO ORACLE LIVES/);
  });

  await t.test('without any oracle nothing enters the pool', async () => {
    const { node } = await net.miner(3);
    assert.ok((await ask()).choices[0].text);
    const { miners } = await net.get('/api/v1/miners');
    assert.equal(miners.find((one) => one.address === node).state, 'UNTESTED');
  });

  await t.test('receipts say where the dice came from, and hold', async () => {
    const answer = await ask();
    const receipt = await net.receipt(answer.corten.task_id, answer.choices[0].text);
    assert.match(receipt.dice_from, /^chain/);
  });

  await t.test('when they speak again the third node is tested as well', async () => {
    for (const p of [first, second]) p.child.kill('SIGCONT');
    await live(2);
    await net.serving(3);
  });

  await t.test('the ledger replays to the same digest, and money is conserved', () => net.audit());
});

test('tables that are full, and a pool that is empty', async (t) => {
  const net = await startDev(t, ['--engine', 'echo=tokens=40,slow=20', '--model', 'words', '--miners', '1', '--slots', '2',
    '--param', 'tasks_cap=16', '--param', 'keys_cap=4', '--param', 'accounts_cap=16']);
  const openai = net.openai();

  await t.test('more prompts than the table of tasks holds are told to come again, and the others are answered', async () => {
    const all = await Promise.allSettled(Array.from({ length: 24 }, (_, i) => openai.completions.create({ model: 'words', prompt: `p ${i}`, max_tokens: 10 })));
    const errors = all.filter((one) => one.status === 'rejected').map((one) => one.reason);
    assert.ok(errors.length > 0 && errors.length < 24, `${errors.length}`);
    for (const error of errors) {
      assert.equal(error.status, 429, error.stack);
      assert.equal(error.code, 'TASKS_FULL');
      assert.ok(error.headers.get('retry-after'));
    }
  });

  await t.test('a full table of keys is a named error, and those that exist go on', async () => {
    const codes = [];
    for (let i = 0; i < 5; i++) {
      const answer = await net.request('/api/v1/keys', { body: { scopes: ['infer'], deposit: '1000' } });
      if (answer.status >= 400) codes.push(answer.body.error.code);
    }
    assert.ok(codes.length >= 1);
    assert.deepEqual([...new Set(codes)], ['KEYS_FULL']);
    assert.ok((await openai.completions.create({ model: 'words', prompt: 'on', max_tokens: 3 })).choices[0].text);
  });

  await t.test('the ledger replays to the same digest, and money is conserved', () => net.audit());
});

test('an empty pool', async (t) => {
  const net = await startNetwork(t);
  const error = await refused(net.openai().completions.create({ model: net.model, prompt: 'anybody?' }));
  assert.equal(error.status, 503);
  assert.match(error.code, /^(NO_NODES|NODES_TOO_FEW)$/);
  assert.equal((await net.request('/readyz')).status, 503);
  assert.match((await net.status()).warnings.join('\n'), /corten miner/);
  await net.audit();
});

test('garbage on every socket', async (t) => {
  const net = await startNetwork(t, { engine: 'echo=tokens=40,slow=10' });
  await net.oracle();
  await net.miner(1);
  await net.serving(1);
  const openai = net.openai();
  const ask = () => openai.completions.create({ model: net.model, prompt: 'amid noise', temperature: 0 });
  const clean = (await ask()).choices[0].text;

  // What comes back until the router closes.
  async function raw(bytes) {
    const socket = connect(net.port, '127.0.0.1');
    const said = [];
    socket.on('data', (data) => said.push(data)).on('error', () => {});
    socket.write(bytes);
    socket.end();
    await once(socket, 'close');
    return Buffer.concat(said).toString('latin1');
  }

  // docs/protocol.md, "Frames as bytes": of these only an error's fields matter here.
  function readBytes(data) {
    const size = data.readUInt16BE(1);
    return data[0] === 19 ? { type: 'error', code: data.toString('utf8', 3, 3 + size), message: data.toString('utf8', 5 + size) } : {};
  }

  // A WebSocket of the link that sends frames, as strings or as bytes; gives the close code and the last error frame.
  async function link(role, frames) {
    const bytes = typeof frames[0] !== 'string';
    const protocol = `corten.${role}.v1${bytes ? '+bin' : ''}`;
    const ws = new WebSocket(`ws://127.0.0.1:${net.port}/link/${role}`, [protocol]);
    const said = [];
    ws.on('message', (data, binary) => {
      assert.equal(binary, bytes);
      said.push(bytes ? readBytes(data) : JSON.parse(data));
    }).on('error', () => {});
    const closed = once(ws, 'close');
    await once(ws, 'open');
    assert.equal(ws.protocol, protocol);
    for (const frame of frames) ws.send(frame);
    const [code] = await closed;
    return { code, error: said.find((one) => one.type === 'error') };
  }

  await t.test('a stream goes on undisturbed while every other socket is fed garbage', async () => {
    const stream = await openai.completions.create({ model: net.model, prompt: 'amid noise', temperature: 0, stream: true });
    const noise = Promise.all([
      ...Array.from({ length: 20 }, () => raw(randomBytes(2000))),
      raw('GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n'),
      raw('\u0000'.repeat(500)),
      link('miner', ['not json']),
      link('oracle', ['{"type":"hello"}']),
    ]);
    const all = await gather(stream);
    await noise;
    assert.equal(all.text, clean);
    assert.equal(all.ends, 1);
  });

  await t.test('bytes that are no HTTP get 400 and are closed', async () => {
    assert.match(await raw('NONSENSE\r\n\r\n'), /^HTTP\/1\.1 400 /);
    assert.match(await raw('GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'), /^HTTP\/1\.1 400 /);
  });

  for (const role of ['miner', 'oracle'])
    await t.test(`a ${role}'s link that breaks the protocol ends in an error frame and close 1008`, async () => {
      for (const frames of [['not json'], ['[]'], ['{"type":"nonsense"}', '{"type":"ack","lease":"1"}'], ['{"type":"hello","version":1}'],
        [JSON.stringify({ type: 'hello', version: 1, node: `0x${'11'.repeat(20)}`, exchange: `0x${'33'.repeat(32)}`, signature: `0x${'22'.repeat(65)}`, engine: 'ECHO', build: 'x', slots: 1 })],
        [Buffer.from('not a frame')], [Buffer.alloc(0)], [Buffer.from([7, 0, 0, 0, 0, 0, 0, 0, 1])], [Buffer.from([1, 0, 0, 0, 1])]]) {
        const { code, error } = await link(role, frames);
        assert.equal(code, 1008, frames[0]);
        assert.ok(error.code && error.message, frames[0]);
      }
    });

  await t.test('a body that is garbage is a 400 with a reason', async () => {
    for (const body of ['{', '[1,2', 'null', '{"model":5}', '\u0000', '{"a":'.repeat(200)]) {
      const answer = await net.request('/v1/chat/completions', { body });
      assert.equal(answer.status, 400, body);
      assert.ok(answer.body.error.code && answer.body.error.message, body);
    }
  });

  await t.test('nobody was lost: the node serves, and money is conserved', async () => {
    assert.equal((await ask()).choices[0].text, clean);
    assertMoney(await net.status());
    await net.audit();
  });
});
