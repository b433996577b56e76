// A router, four miners and two oracles as separate processes, through relays that cut the miners' sockets all the time.
import assert from 'node:assert/strict';
import test from 'node:test';
import { assertMoney, gather, startNetwork } from './lib/network.mjs';
import { relay } from './lib/relay.mjs';
import { until } from './lib/until.mjs';

const MINERS = 4;
const CUT_MS = 3000;
const PROMPTS = 36;
// docs/protocol.md, "HTTP": how a prompt may end that lost its nodes. None of them is the router's own fault.
const NAMED = /^(stream_interrupted|answer_replaced|NODES_SILENT|NODES_DECLINED|TOO_SLOW|NO_NODES|ENGINE_FAILED|POISON)$/;

test('a router, four miners and two oracles, while miners lose their sockets every few seconds', async (t) => {
  const net = await startNetwork(t, { engine: 'echo=tokens=30,slow=10', oracles: 2 });
  const openai = net.openai();
  const relays = await Promise.all(Array.from({ length: MINERS }, () => relay(t, net.port)));
  await Promise.all([net.oracle(1), net.oracle(2), ...relays.map((one, i) => net.miner(i + 1, ['--slots', '2'], { at: one.port }))]);
  await net.serving(MINERS);
  const prompt = (i, more = {}) => ({ model: net.model, prompt: `prompt ${i}`, temperature: 0, max_tokens: 64, ...more });

  await t.test('before the first cut everything is answered', async () => {
    const answers = await Promise.all([1, 2, 3, 4].map((i) => openai.completions.create(prompt(i))));
    for (const answer of answers) assert.equal(answer.usage.completion_tokens, 30);
  });

  const stops = relays.map((one) => one.cutEvery(CUT_MS));
  const ended = { answered: 0, named: new Map() };
  const expected = new Map(); // the text of each prompt, which at temperature 0 is the same from every node
  const one = async (i) => {
    const corten = i % 3 === 0 ? { redundancy: 3, validation: 'majority' } : {};
    const body = prompt(i % 6, { stream: i % 2 === 0, corten });
    try {
      const answer = await openai.completions.create(body);
      const text = body.stream ? await gather(answer).then((all) => (assert.equal(all.ends, 1), all.text)) : answer.choices[0].text;
      assert.equal(expected.get(body.prompt) ?? text, text);
      expected.set(body.prompt, text);
      ended.answered++;
    } catch (error) {
      if (error.code === undefined || error instanceof assert.AssertionError) throw error;
      assert.match(error.code, NAMED, error.stack);
      ended.named.set(error.code, (ended.named.get(error.code) ?? 0) + 1);
    }
  };

  await t.test('every prompt is answered, or ends with a named error', async () => {
    const queue = Array.from({ length: PROMPTS }, (_, i) => i);
    const worker = async () => {
      for (let i = queue.shift(); i !== undefined; i = queue.shift()) await one(i);
    };
    await Promise.all(Array.from({ length: 4 }, worker));
    assert.equal(ended.answered + [...ended.named.values()].reduce((a, b) => a + b, 0), PROMPTS);
    assert.ok(ended.answered >= PROMPTS / 2, JSON.stringify([...ended.named]));
    assert.ok(relays.every((it) => it.cuts > 0), 'every miner was cut off at least once');
  });

  stops.forEach((stop) => stop());

  await t.test('once the network heals, nothing is left behind: every task has ended, and the miners are back', async () => {
    await until('no task lives', async () => (await net.status()).tasks.live === 0, { ms: 60_000 });
    await net.serving(MINERS, { ms: 60_000 });
    const answer = await openai.completions.create(prompt(1));
    assert.equal(answer.choices[0].text, expected.get('prompt 1') ?? answer.choices[0].text);
  });

  await t.test('the ledger replays to the same digest, and money is conserved', () => net.audit());

  await t.test('a router that is killed and started again goes on, and its miners and oracles come back by themselves', async () => {
    const before = await net.status();
    await net.process.stop('SIGKILL');
    await net.restart();
    await net.serving(MINERS, { ms: 60_000 });
    const answer = await openai.completions.create(prompt(2));
    assert.ok(answer.choices[0].text);
    const after = await net.status();
    assert.ok(after.seq > before.seq);
    assertMoney(after);
  });

  await t.test('SIGTERM drains a miner: what runs ends, and it exits 0', async () => {
    const stream = await openai.completions.create(prompt(3, { stream: true }));
    const [first, ...others] = net.processes.filter((p) => p.node);
    const all = gather(stream);
    assert.equal((await first.stop('SIGTERM')).status, 0, first.output());
    assert.equal((await all).ends, 1);
    for (const p of others) assert.equal((await p.stop('SIGTERM')).status, 0, p.output());
    for (const p of net.processes.filter((it) => !it.node)) assert.equal((await p.stop('SIGTERM')).status, 0, p.output());
    assert.equal((await net.process.stop('SIGTERM')).status, 0, net.process.output());
    assert.equal((await net.ledger()).money, 'ok');
  });
});
