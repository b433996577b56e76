// network.mjs - a network under test: `corten dev`, or a router, miners and oracles as processes of their own.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { corten, startCorten } from './corten.mjs';
import { folder } from './folder.mjs';
import { request } from './http.mjs';
import { until } from './until.mjs';

export const DEV_KEY = 'default-dev-token';
const READY_MS_MAX = 60_000;

// What a client of a router needs, whoever started it.
export class Network {
  constructor(t, url, data, key = DEV_KEY) {
    Object.assign(this, { t, url, data, key });
  }

  // The official client, which shall not hide what happens behind tries of its own.
  openai(key = this.key) {
    return new OpenAI({ baseURL: `${this.url}/v1`, apiKey: key, maxRetries: 0, timeout: 60_000 });
  }

  request(path, options = {}) {
    return request(this.url + path, { key: this.key, ...options });
  }

  // The JSON of an answer that must be a success.
  async get(path, options) {
    const answer = await this.request(path, options);
    assert.ok(answer.status < 300, `${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  post(path, body, options) {
    return this.get(path, { body, ...options });
  }

  status() {
    return this.get('/api/v1/status');
  }

  task(session, task) {
    return this.get(`/api/v1/tasks/${session}/${task}`);
  }

  async why(task) {
    return (await this.get(`/api/v3/why/${task}`)).events;
  }

  balance(address) {
    return this.get(`/api/v1/accounts/${address}`).then((account) => BigInt(account.balance));
  }

  deposit(address, amount) {
    return this.post(`/api/v1/accounts/${address}/deposits`, { amount: String(amount) });
  }

  // A new API key with an account of its own and that much on it: { key, key_hash, account, ... }.
  async newKey(deposit, more = {}) {
    const key = await this.post('/api/v1/keys', { scopes: ['infer'], ...more });
    await this.deposit(key.account, deposit);
    return key;
  }

  // Waits until a session of one's own is over: the router knows no closed ones.
  closed(session) {
    return until(`session ${session} is closed`, async () => (await this.request(`/api/v1/sessions/${session}`)).status === 404);
  }

  // Waits until that many nodes may serve.
  serving(count, options) {
    return until(`${count} nodes serve`, async () => {
      const { nodes } = await this.status();
      return nodes.EPHEMERAL + nodes.RESERVED >= count;
    }, options);
  }

  // Runs `corten ARGS` against this router.
  corten(args, options = {}) {
    const env = { CORTEN_URL: this.url, CORTEN_API_KEY: this.key, NO_COLOR: '1', ...options.env };
    return corten(this.t, args, { ...options, env });
  }

  // `corten ledger VERB` of this network's folder: { seq, digest, money }.
  async ledger(verb = 'verify') {
    const { status, stdout, stderr } = await corten(this.t, ['ledger', verb, '--data', this.data]);
    assert.equal(status, 0, stdout + stderr);
    const [, seq, digest, money] = stdout.trimEnd().split('\n').pop().match(/^seq (\d+) digest (0x[0-9a-f]{64}) money (.*)$/);
    return { seq: Number(seq), digest, money };
  }

  // The ledger on disk, replayed by another process, comes to what the running router has: no entry was lost, none was
  // applied otherwise, and no money came or went. Looks until nothing was appended in between.
  async audit() {
    return until('the ledger stands still for a moment', async () => {
      const status = await this.status();
      const [verified, replayed] = await Promise.all([this.ledger('verify'), this.ledger('replay')]);
      if (verified.seq !== status.seq || replayed.seq !== status.seq) return null;
      assert.equal(verified.digest, status.digest);
      assert.equal(replayed.digest, status.digest);
      assert.equal(verified.money, 'ok');
      assertMoney(status);
      return status;
    }, { ms: 60_000 });
  }

  // The receipt of a task, checked by a program that asks nobody: with the text, if it is given.
  async receipt(task, text) {
    const receipt = await this.get(`/api/v3/receipts/${task}`);
    await verifyReceipt(this.t, receipt, text);
    return receipt;
  }
}

export async function verifyReceipt(t, receipt, text) {
  const dir = folder(t);
  writeFileSync(join(dir, 'receipt.json'), JSON.stringify(receipt));
  const args = ['receipt', 'verify', join(dir, 'receipt.json')];
  if (text !== undefined) {
    writeFileSync(join(dir, 'text'), text);
    args.push('--text', join(dir, 'text'));
  }
  const { status, stdout, stderr } = await corten(t, args);
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^valid$/m);
}

// docs/protocol.md, "Money": where all money is.
export function assertMoney({ money, money_ok }) {
  const { deposits, ...places } = Object.fromEntries(Object.entries(money).map(([name, credits]) => [name, BigInt(credits)]));
  assert.equal(money_ok, true);
  assert.equal(Object.values(places).reduce((a, b) => a + b), deposits, JSON.stringify(money));
}

// `corten dev` on a port and folder of its own. Adds `process`.
export async function startDev(t, args = [], { data = folder(t), ...options } = {}) {
  const all = ['dev', '--listen', '127.0.0.1:0', '--data', data, ...args];
  const process = await startCorten(t, all, { ms: READY_MS_MAX, ...options });
  const network = new Network(t, process.ready, data);
  network.process = process;
  tellDeath(t, process);
  return network;
}

// A program that died under a test says so itself: what the test sees is a closed socket.
function tellDeath(t, process) {
  t.after(() => {
    if (process.result?.signal && process.result.signal !== 'SIGKILL') t.diagnostic(`${process.name}: ${process.output().slice(-4000)}`);
  });
}

// The text that a stream of chat or completion chunks brought, and what its last chunks said.
export async function gather(stream) {
  const all = { text: '', pieces: 0, finish: null, usage: null, corten: null, ends: 0 };
  for await (const chunk of stream) {
    const choice = chunk.choices[0];
    const piece = choice?.delta?.content ?? choice?.text;
    if (piece) all.pieces++;
    all.text += piece ?? '';
    if (choice?.finish_reason) {
      all.finish = choice.finish_reason;
      all.ends++;
    }
    all.usage = chunk.usage ?? all.usage;
    all.corten = chunk.corten ?? all.corten;
  }
  return all;
}

// The task that a chat or completion belongs to, from the answer itself.
export const taskOf = (answer) => BigInt(`0x${answer.id.split('-')[1]}`).toString();

// Periods as short as those of `corten dev`, so that nobody waits for a network of one machine.
const PARAMS = {
  heartbeat_ms: 1000, oracle_window_ms: 5000, backoff_ms_min: 2000, backoff_ms_max: 60000, round_step_ms: 5000, round_ack_ms: 5000,
  round_precommit_ms: 60000, round_commit_ms: 5000, round_verdict_ms: 30000, audit_ms: 60000,
};
const NETWORK_ID = '7';

async function newKey(t, dir, name) {
  const path = join(dir, `${name}.json`);
  const { status, stdout, stderr } = await corten(t, ['key', 'new', path, '--light', '--json']);
  assert.equal(status, 0, stderr);
  return { path, address: JSON.parse(stdout).address };
}

// A router founded for `oracles` oracles, each program a process of its own. Miners and oracles are started by
// `miner(...)` and `oracle(...)`, so that a test decides when, how many and with which faults. Adds `process`,
// `processes` and `account`, that of the admin's API key, with `deposit` credits on it.
export async function startNetwork(t, { engine = 'echo', model = 'words', oracles = 1, params = {}, args = [], deposit = '1000000000' } = {}) {
  const data = folder(t);
  const [router, admin, ...oracleKeys] = await Promise.all(
    ['router', 'admin', ...Array.from({ length: oracles }, (_, i) => `oracle-${i + 1}`)].map((name) => newKey(t, data, name)),
  );
  const ends = await Promise.all(oracleKeys.map(async ({ path }) => {
    const { status, stdout, stderr } = await corten(t, ['oracle', 'chain-end', '--network', NETWORK_ID, '--key', path]);
    assert.equal(status, 0, stderr);
    return ['--oracle', stdout.trim()];
  }));
  const found = Object.entries({ ...PARAMS, ...params }).flatMap(([name, value]) => ['--param', `${name}=${value}`]);
  const start = async (...more) => {
    const p = await startCorten(t, ['router', '--data', data, '--key', router.path, '--admin-key', admin.path, ...args, ...more]);
    tellDeath(t, p);
    return p;
  };
  const process = await start('--listen', '127.0.0.1:0', '--found', '--network', NETWORK_ID, '--engine', engine, '--model', model, ...ends.flat(), ...found);
  const [, key] = await process.line(/API key, shown this once: (ck_[0-9a-f]{64})/);
  const net = new Network(t, process.ready, data, key);
  const port = Number(new URL(net.url).port);
  Object.assign(net, {
    process, port, model, processes: [],
    // Starts the router again, on the port that it had.
    async restart() {
      net.process = await start('--listen', `127.0.0.1:${port}`);
    },
    // Starts miner number n of this network; it goes through `at`, a port, if named. Resolves when it is attached.
    async miner(n, more = [], { at = port, engine: its = engine } = {}) {
      const miner = await newKey(t, data, `miner-${n}`).catch(() => ({ path: join(data, `miner-${n}.json`) }));
      const p = await startCorten(t, ['miner', '--router', `ws://127.0.0.1:${at}`, '--engine', its, '--model', model, '--key', miner.path, ...more]);
      p.node = p.ready.replace(/^node /, '');
      net.processes.push(p);
      return p;
    },
    async oracle(n = 1, more = [], { at = port } = {}) {
      const path = oracleKeys[n - 1].path;
      const p = await startCorten(t, ['oracle', '--router', `http://127.0.0.1:${at}`, '--engine', engine, '--model', model, '--key', path, ...more]);
      net.processes.push(p);
      return p;
    },
  });
  net.account = (await net.get('/api/v1/accounts/me')).address;
  if (deposit !== '0') await net.deposit(net.account, deposit);
  return net;
}
