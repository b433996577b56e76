// The client WebSocket, /api/v1/ws, with npm's `ws` as the client: many prompts on one connection, in JSON and in binary.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import { WebSocket } from 'ws';
import { decode, encode } from './lib/client_bin.mjs';
import { startDev } from './lib/network.mjs';
import { until } from './lib/until.mjs';

const body = (prompt, more = {}) => ({ model: 'words', prompt, max_tokens: 40, temperature: 0, ...more });

// One connection; its frames are kept by their ref, those without one under 0.
class Link {
  constructor(net, { key = net.key, header = true, binary = Link.binary } = {}) {
    const options = header && key ? { headers: { authorization: `Bearer ${key}` } } : {};
    this.binary = binary;
    const protocol = binary ? 'corten.client.v1+bin' : 'corten.client.v1';
    this.ws = new WebSocket(`${net.url.replace('http', 'ws')}/api/v1/ws`, [protocol], options);
    this.frames = [];
    this.streamed = new Set();
    this.waiting = new Set();
    this.closed = once(this.ws, 'close').then(([code]) => code);
    this.ws.on('error', () => {}).on('message', (data) => {
      this.frames.push(binary ? decode(data, this.streamed) : JSON.parse(data));
      for (const look of this.waiting) look();
    });
  }

  async open() {
    await once(this.ws, 'open');
    return this;
  }

  say(frame) {
    if (typeof frame === 'string' || Buffer.isBuffer(frame)) this.ws.send(frame);
    else this.ws.send(this.binary ? encode(frame) : JSON.stringify(frame));
  }

  // The frames with this ref, once one of these types is among them.
  async heard(ref, ...types) {
    const mine = () => this.frames.filter((one) => (one.ref ?? 0) === ref);
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!mine().some((one) => types.includes(one.type))) return;
        this.waiting.delete(look);
        resolve(mine());
      };
      this.waiting.add(look);
      this.closed.then(() => reject(new Error(`closed before ${types} of ${ref}: ${JSON.stringify(mine())}`)));
      look();
    });
  }

  // Submits, and waits for the one end.
  async ask(ref, prompt, more) {
    this.say({ type: 'submit', ref, body: body(prompt, more) });
    const frames = await this.heard(ref, 'answer', 'error');
    assert.equal(frames.filter((one) => one.type === 'answer' || one.type === 'error').length, 1);
    return frames;
  }

  async refused(ref, frame) {
    this.say({ ref, ...frame });
    const frames = await this.heard(ref, 'error');
    return frames.at(-1).error;
  }
}

const textOf = (frames) => frames.filter((one) => one.type === 'text').map((one) => one.text).join('');

for (const binary of [false, true]) test(`the client WebSocket${binary ? ' in binary' : ''}`, async (t) => {
  Link.binary = binary;
  const net = await startDev(t, ['--engine', 'echo=tokens=30', '--model', 'words']);
  const link = await new Link(net).open();
  const plain = await net.post('/api/v1/completions', body('over HTTP'));
  const refusedLink = async (options, frame) => {
    const other = await new Link(net, options).open();
    if (frame !== undefined) other.say(frame);
    const code = await other.closed;
    return { code, error: other.frames.at(-1).error };
  };

  await t.test('greets who has shown a key, by header or by the first frame', async () => {
    assert.equal((await link.heard(0, 'welcome'))[0].prompts_max, 1024);
    const browser = await new Link(net, { header: false }).open();
    browser.say({ type: 'key', key: net.key });
    await browser.heard(0, 'welcome');
    assert.equal((await browser.ask(1, 'over HTTP')).at(-1).text, plain.choices[0].text);
    browser.ws.close();
    assert.equal(await browser.closed, 1005);
  });

  await t.test('a prompt is accepted, answered whole, and paid as over HTTP', async () => {
    const [accepted, answer] = await link.ask(1, 'over HTTP');
    assert.equal(accepted.type, 'accepted');
    assert.equal(accepted.known, false);
    assert.equal(answer.task_id, accepted.task_id);
    assert.equal(answer.text, plain.choices[0].text);
    assert.deepEqual(answer.usage, plain.usage);
    assert.equal(answer.charged, plain.corten.charged);
    assert.equal(answer.finish_reason, plain.choices[0].finish_reason);
    await net.receipt(answer.task_id, answer.text);
  });

  await t.test('a streamed one brings the same text in pieces, in their order, and one end', async () => {
    const frames = await link.ask(2, 'over HTTP', { stream: true });
    assert.equal(textOf(frames), plain.choices[0].text);
    let at = 0;
    for (const one of frames.filter((frame) => frame.type === 'text')) {
      assert.equal(one.at, at);
      at += Buffer.byteLength(one.text);
    }
    assert.equal(frames.at(-1).type, 'answer');
    assert.equal('text' in frames.at(-1), false);
  });

  await t.test('fifty at once on one connection each get their own end', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, (_, i) => link.ask(100 + i, `number ${i}`, { stream: i % 2 === 0 })));
    const tasks = new Set(all.map((frames) => frames.at(-1).task_id));
    assert.equal(tasks.size, 50);
    for (const frames of all) assert.equal(frames.at(-1).type, 'answer');
  });

  await t.test('a reference names one task, on whichever connection', async () => {
    const first = (await link.ask(3, 'once', { client_reference: 'r1' })).at(-1);
    const other = await new Link(net).open();
    const [accepted, again] = await other.ask(1, 'once', { client_reference: 'r1' });
    assert.equal(accepted.known, true);
    assert.equal(again.task_id, first.task_id);
    assert.equal(again.text, first.text);
    other.ws.terminate();
  });

  await t.test('watches a task that somebody else submitted, from any byte on', async () => {
    const { task_id, session_id } = (await link.ask(4, 'to be watched')).at(-1);
    const whole = (await net.task(session_id, task_id)).result;
    link.say({ type: 'watch', ref: 5, session_id, task_id, from: 7 });
    assert.equal(textOf(await link.heard(5, 'answer')), Buffer.from(whole).subarray(7).toString());
    link.say({ type: 'watch', ref: 6, task_id });
    assert.equal(textOf(await link.heard(6, 'answer')), whole);
  });

  await t.test('what is wrong is an error with the ref, and the connection stays', async () => {
    const submit = (more) => ({ type: 'submit', body: body('x', more) });
    for (const [ref, frame, code, param] of [
      [20, submit({ model: 'none' }), 'MODEL_UNKNOWN', 'model'],
      binary ? [21, submit({ temperature: 3 }), 'VALUE_INVALID', 'temperature'] : [21, submit({ max_tokens: 'many' }), 'VALUE_INVALID', 'max_tokens'],
      [22, submit({ client_reference: 'x'.repeat(300) }), 'VALUE_INVALID', 'client_reference'],
      binary ? [23, submit({ top_p: -1 }), 'VALUE_INVALID', 'top_p'] : [23, submit({ tools: [{}] }), 'UNSUPPORTED_PARAM', 'tools'],
      [24, { type: 'watch', task_id: '12345' }, 'TASK_UNKNOWN', 'task_id'],
      [25, { type: 'cancel', task_id: '12345' }, 'TASK_UNKNOWN', 'task_id'],
    ]) {
      const error = await link.refused(ref, frame);
      assert.equal(error.code, code, JSON.stringify(error));
      assert.equal(error.param, param);
    }
    assert.equal((await link.ask(26, 'still here')).at(-1).type, 'answer');
  });

  await t.test('others see nothing of a task that is not theirs', async () => {
    const { key } = await net.newKey(1_000_000);
    const { task_id } = (await link.ask(30, 'mine')).at(-1);
    const other = await new Link(net, { key }).open();
    assert.equal((await other.refused(1, { type: 'watch', task_id })).code, 'TASK_UNKNOWN');
    assert.equal((await other.refused(2, { type: 'cancel', task_id })).code, 'TASK_UNKNOWN');
    assert.equal((await other.ask(3, 'mine, too')).at(-1).type, 'answer');
    other.ws.terminate();
  });

  await t.test('a key that is revoked asks nothing more on the connection it has', async () => {
    const { key, key_hash } = await net.newKey(1_000_000);
    const other = await new Link(net, { key }).open();
    assert.equal((await other.ask(1, 'good')).at(-1).type, 'answer');
    await net.get(`/api/v1/keys/${key_hash}`, { method: 'DELETE' });
    assert.equal((await other.refused(2, { type: 'submit', body: body('bad') })).code, 'KEY_REVOKED');
    other.ws.terminate();
  });

  await t.test('what is no frame ends that connection with a name', async () => {
    const json = ['not json', '[]', '{"type":"nonsense"}', '{"type":"submit","ref":1}', '{"type":"submit","body":{}}',
      '{"type":"watch","ref":1}', '{"type":"key","key":"again"}'];
    const bytes = [[], [5], [0], [1], [2, 0, 0, 0, 0, 0, 0, 0, 1], [4, 0, 0, 0, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0, 0, 1, 9], [0, 65]];
    for (const frame of binary ? bytes.map((one) => Buffer.from(one)) : json)
      assert.deepEqual(await refusedLink({}, frame).then(({ code, error }) => [code, typeof error.code]), [1008, 'string'], frame);
    assert.equal((await refusedLink({}, binary ? 'text' : Buffer.from([1, 2]))).error.code, 'FRAME');
    assert.equal((await refusedLink({ header: false }, { type: 'submit', ref: 1, body: body('x') })).error.code, 'KEY_MISSING');
    assert.equal((await refusedLink({ header: false }, { type: 'key', key: 'ck_wrong' })).error.code, 'KEY_UNKNOWN');
    assert.equal((await link.ask(40, 'others are not disturbed')).at(-1).type, 'answer');
  });

  await t.test('the ledger replays, and money is conserved', () => net.audit());
});

for (const binary of [false, true]) test(`what goes on for a while${binary ? ', in binary' : ''}`, async (t) => {
  Link.binary = binary;
  const net = await startDev(t, ['--engine', 'echo=tokens=60,slow=40', '--model', 'words']);
  const link = await new Link(net).open();
  const long = { max_tokens: 60, stream: true };
  const stateOf = async ({ session_id, task_id }) => (await net.task(session_id, task_id)).state;

  await t.test('a ref that is under way is not given twice', async () => {
    link.say({ type: 'submit', ref: 1, body: body('one', long) });
    await link.heard(1, 'text');
    assert.equal((await link.refused(1, { type: 'submit', body: body('two') })).code, 'REF_IN_USE');
    link.say({ type: 'leave', ref: 1 });
    const [accepted] = await link.heard(1, 'accepted');
    await until('who leaves has cancelled', async () => /CANCEL/.test(await stateOf(accepted)));
  });

  await t.test('cancel ends a task in mid-stream, and only what was sent is paid', async () => {
    link.say({ type: 'submit', ref: 2, body: body('to cancel', long) });
    const [accepted] = await link.heard(2, 'text');
    link.say({ type: 'cancel', ref: 3, task_id: accepted.task_id });
    await link.heard(3, 'cancelled');
    const end = (await link.heard(2, 'error', 'answer')).at(-1);
    assert.equal(end.error.code, 'TASK_CANCELLED', JSON.stringify(end));
  });

  await t.test('a connection that breaks cancels what has no reference, and keeps what has one', async () => {
    const other = await new Link(net).open();
    other.say({ type: 'submit', ref: 1, body: body('kept', { ...long, client_reference: 'kept' }) });
    other.say({ type: 'submit', ref: 2, body: body('not kept', long) });
    const [kept] = await other.heard(1, 'text');
    const [lost] = await other.heard(2, 'accepted');
    other.ws.terminate();
    await until('the one is cancelled', async () => /CANCEL/.test(await stateOf(lost)));
    const again = await link.ask(4, 'kept', { ...long, client_reference: 'kept' });
    assert.equal(again.at(-1).type, 'answer');
    assert.equal(again.at(-1).task_id, kept.task_id);
    assert.ok(textOf(again).length > 0);
  });

  await t.test('a router that stops lets prompts end, and says goodbye', async () => {
    const last = link.ask(5, 'the last one', long);
    await link.heard(5, 'text');
    net.process.child.kill('SIGTERM');
    assert.equal((await last).at(-1).type, 'answer');
    assert.equal(await link.closed, 1001);
  });
});
