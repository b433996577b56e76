// The native HTTP API of a router: sessions, selection, payloads by URN, results inline and by reference, receipts.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import * as Digest from 'multiformats/hashes/digest';
import { events } from './lib/http.mjs';
import { startDev } from './lib/network.mjs';
import { until } from './lib/until.mjs';

const SHA2_256 = 0x12;
const sha256 = (bytes) => createHash('sha256').update(bytes).digest();
// As a public implementation of IPFS writes it.
const urnOf = (bytes) => `ipfs://${CID.createV1(raw.code, Digest.create(SHA2_256, sha256(bytes)))}`;

test('the native routes of a router', async (t) => {
  const net = await startDev(t, ['--engine', 'echo', '--model', 'words']);
  const greedy = { model: 'words', temperature: 0, max_tokens: 16 };
  const refused = async (path, options) => {
    const { status, body } = await net.request(path, options);
    assert.ok(status >= 400, `${path} was not refused`);
    return { status, ...body.error };
  };
  const active = (id) => until('the session is active', async () => (await net.get(`/api/v1/sessions/${id}`)).state === 'ACTIVE');
  const open = async (more) => {
    const { session_id: id } = await net.post('/api/v1/sessions', { model: 'words', nodes_min: 1, nodes_max: 1, escrow: '1000000', ...more });
    await active(id);
    return id;
  };
  const close = async (id) => {
    await net.post(`/api/v1/sessions/${id}/close`, {});
    await net.closed(id);
  };
  const complete = (path, prompt, more = {}) => net.post(path, { ...greedy, prompt, ...more });

  await t.test('info, status, ping, about and metrics are open to everybody', async () => {
    const info = await net.get('/api/v1/info', { key: null });
    const status = await net.get('/api/v1/status', { key: null });
    assert.equal(info.network, status.network);
    assert.equal(info.params.heartbeat_ms, 1000);
    assert.equal(info.params.router_fee_bp, 200);
    assert.equal(status.status, 'ready');
    assert.match(status.digest, /^0x[0-9a-f]{64}$/);
    assert.equal((await net.get('/api/v1/ping', { key: null })).status, 'ok');
    assert.match((await net.request('/metrics', { key: null })).body, /^corten_ledger_entries_total \d+$/m);
    assert.equal((await net.request('/healthz', { key: null })).status, 200);
    assert.equal((await net.request('/readyz', { key: null })).status, 200);
  });

  await t.test('a route that is none is a 404 that names the nearest one, a wrong method a 405', async () => {
    const error = await refused('/api/v1/sesions');
    assert.equal(error.status, 404);
    assert.equal(error.code, 'ROUTE_UNKNOWN');
    assert.match(error.message, /\/api\/v1\/sessions/);
    assert.equal((await refused('/api/v1/status', { method: 'DELETE' })).status, 405);
  });

  const plain = await complete('/api/v1/completions', 'a prompt');

  await t.test('v1 completions answer in OpenAI\'s shape with the task\'s id', async () => {
    assert.equal(plain.object, 'text_completion');
    assert.equal(plain.task_id, plain.corten.task_id);
    assert.ok(plain.choices[0].text);
    const task = await net.task(plain.session_id, plain.task_id);
    assert.equal(task.state, 'COMPLETED');
    assert.equal(task.result, plain.choices[0].text);
    assert.deepEqual(task.usage, plain.usage);
    assert.equal(task.assigned_miners.length, 1);
  });

  await t.test('v2 and v3 store the prompt before they submit, and name prompt and answer by URN', async () => {
    for (const version of ['v2', 'v3']) {
      const answer = await complete(`/api/${version}/completions`, `by reference, ${version}`);
      assert.equal(answer.urn, urnOf(answer.choices[0].text));
      const task = await net.task(answer.session_id, answer.task_id);
      const stored = await net.request(`/api/v3/payloads/${task.prompt.replace('ipfs://', '')}`);
      const bytes = typeof stored.body === 'string' ? stored.body : JSON.stringify(stored.body);
      assert.equal(JSON.parse(bytes).prompt, `by reference, ${version}`);
      assert.equal(task.prompt, urnOf(bytes));
      const text = await net.request(`/api/v3/payloads/${answer.urn.replace('ipfs://', '')}`);
      assert.equal(text.body, answer.choices[0].text);
    }
  });

  await t.test('a payload is put and read by its content, and only by who has to do with it', async () => {
    const bytes = Buffer.from('some bytes of mine');
    const put = await net.get('/api/v3/payloads', { method: 'PUT', body: bytes, headers: { 'content-type': 'application/octet-stream' } });
    assert.equal(put.urn, urnOf(bytes));
    assert.equal((await net.request(`/api/v3/payloads/${put.cid}`)).body, bytes.toString());
    const other = await net.newKey(1000);
    assert.ok([403, 404].includes((await net.request(`/api/v3/payloads/${put.cid}`, { key: other.key })).status));
    const wrong = await refused(`/api/v3/payloads?cid=${put.cid}`, { method: 'PUT', body: Buffer.from('others') });
    assert.equal(wrong.code, 'DIGEST_DIFFERS');
  });

  await t.test('a session whose result is a reference gives the URN, and the text at its address', async () => {
    const id = await open({ result: 'reference' });
    const answer = await complete(`/api/v3/completions/${id}`, 'where is it?');
    assert.equal(answer.session_id, id);
    assert.equal(answer.choices[0].text, '');
    const { body: text } = await net.request(`/api/v3/payloads/${answer.urn.replace('ipfs://', '')}`);
    assert.equal(urnOf(text), answer.urn);
    await net.receipt(answer.task_id, text);
    await close(id);
  });

  await t.test('a session is selected by route, by header, by body, and by what it is', async () => {
    const id = await open({ mode: 'hybrid', name: 'chosen' });
    const body = { ...greedy, prompt: 'choose' };
    for (const [path, more] of [
      [`/api/v1/completions/${id}`, { body }],
      ['/v1/completions', { body, headers: { 'corten-session': id } }],
      ['/v1/completions', { body: { ...body, corten: { session_id: id } } }],
    ]) {
      const answer = await net.get(path, more);
      assert.equal(answer.corten.session_id, id, path);
      assert.equal(answer.corten.session_reason, 'named');
    }
    const byMode = await net.get('/v1/completions', { body, headers: { 'corten-mode': 'hybrid' } });
    assert.equal(byMode.corten.session_id, id);
    assert.equal(byMode.corten.session_reason, 'own');
    const shared = await net.get('/v1/completions', { body });
    assert.notEqual(shared.corten.session_id, id);
    assert.match(shared.corten.session_reason, /^shared/);
    for (const [corten, param] of [[{ redundancy: 3 }, 'redundancy'], [{ validation: 'majority' }, 'validation'], [{ privacy: 'restricted' }, 'privacy']]) {
      const error = await refused('/v1/completions', { body: { ...body, corten: { session_id: id, ...corten } } });
      assert.equal(error.param, param, error.message);
    }
    await close(id);
  });

  await t.test('a private session is served by the nodes that it names and no others', async () => {
    const { miners } = await net.get('/api/v1/miners');
    const { address: node } = miners[1];
    const id = await open({ privacy: 'restricted', allowed: [node] });
    for (let i = 0; i < 3; i++) {
      const answer = await complete(`/api/v1/completions/${id}`, `private ${i}`);
      assert.deepEqual((await net.task(id, answer.task_id)).assigned_miners, [node]);
    }
    await close(id);
    assert.equal((await refused('/api/v1/sessions', { body: { model: 'words', privacy: 'encrypted' } })).code, 'NOT_BUILT');
  });

  await t.test('a session of one account takes no tasks of another', async () => {
    const id = await open({});
    const other = await net.newKey(1_000_000);
    const error = await refused(`/api/v1/completions/${id}`, { key: other.key, body: { ...greedy, prompt: 'let me in' } });
    assert.match(error.code, /^SESSION_(ACCESS|UNKNOWN)$/);
    assert.match((await refused(`/api/v1/sessions/${id}/close`, { key: other.key, body: {} })).code, /^(SESSION_UNKNOWN|NOT_AUTHORIZED|KEY_SCOPE)$/);
    await close(id);
  });

  await t.test('what a session cannot be is refused with the field at fault', async () => {
    for (const [more, code] of [
      [{ model: 'wrods' }, 'VALUE_INVALID'],
      [{ redundancy: 3, quorum: 4, nodes_min: 3, nodes_max: 3 }, 'QUORUM_RANGE'],
      [{ redundancy: 3, quorum: 1, validation: 'majority', nodes_min: 3, nodes_max: 3 }, 'QUORUM_MAJORITY'],
      [{ redundancy: 3, quorum: 2, nodes_min: 1, nodes_max: 1 }, 'REDUNDANCY_RANGE'],
      [{ validation: 'judge' }, 'POLICY_NOT_BUILT'],
      [{ escrow: '99999999999999' }, 'BALANCE_SHORT'],
      [{ colour: 'red' }, 'VALUE_INVALID'],
    ])
      assert.equal((await refused('/api/v1/sessions', { body: { model: 'words', escrow: '1000', ...more } })).code, code, JSON.stringify(more));
  });

  await t.test('the same session reference opens one session', async () => {
    const body = { model: 'words', escrow: '1000', reference: 'once' };
    const [a, b] = [await net.request('/api/v1/sessions', { body }), await net.request('/api/v1/sessions', { body })];
    assert.equal(a.status, 201);
    assert.equal(b.status, 200);
    assert.equal(b.body.session_id, a.body.session_id);
    await close(a.body.session_id);
  });

  await t.test('a stream that ended is read again from any place on', async () => {
    const { session_id: session, task_id: task } = plain;
    const text = plain.choices[0].text;
    for (const from of [0, 4]) {
      const said = [];
      const options = { method: 'GET', key: net.key, headers: from ? { 'last-event-id': String(from) } : {} };
      for await (const { data } of events(`${net.url}/api/v1/tasks/${session}/${task}?stream=1`, options)) said.push(data);
      assert.equal(said.at(-1), '[DONE]');
      assert.equal(said.slice(0, -1).map((data) => JSON.parse(data).choices[0]?.text ?? '').join(''), text.slice(from));
    }
  });

  await t.test('the states of a task come in their order, by name and number', async () => {
    const moved = (await net.why(plain.task_id)).filter((one) => one.event === 'task_moved').map((one) => one.to);
    assert.deepEqual(moved, ['ASSIGNED', 'ACKED', 'PRECOMMITTED', 'COMMITTED', 'VALIDATED', 'COMPLETED']);
    const names = (await net.why(plain.task_id)).map((one) => one.event);
    for (const name of ['session_selected', 'task_created', 'task_offered', 'task_revealed', 'task_paid']) assert.ok(names.includes(name), name);
  });

  await t.test('what is not built says so by name', async () => {
    for (const path of ['/api/v3/delegate', '/api/v3/validate', '/api/v3/offchain/result', '/v1/embeddings']) {
      const error = await refused(path, { body: {} });
      assert.equal(error.status, 501);
      assert.equal(error.code, 'NOT_BUILT');
    }
  });

  await t.test('after all that the ledger replays to the same digest, and money is conserved', () => net.audit());
});
