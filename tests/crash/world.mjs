// world.mjs - a network to be crashed: a router behind the shim, miners and an oracle, each a process of its own.
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { folder } from '../e2e/lib/folder.mjs';
import { request } from '../e2e/lib/http.mjs';
import { Process, run } from '../e2e/lib/process.mjs';
import { Control } from './control.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const build = `${root}${process.env.BUILD ?? 'build'}`;
const CORTEN = process.env.CORTEN ?? `${build}/corten`;
const SHIM = `${build}/crash_shim.so`;
const NETWORK_ID = '7';
const END_MS_MAX = 20_000;
const READY_MS_MAX = 20_000;

// Periods as short as those of `corten dev`; a node that is lost is given up soon, so that tasks move on.
const PARAMS = {
  heartbeat_ms: 1000, oracle_window_ms: 3000, backoff_ms_min: 500, backoff_ms_max: 2000, round_step_ms: 3000, round_ack_ms: 3000,
  round_precommit_ms: 20000, round_commit_ms: 5000, round_verdict_ms: 20000, audit_ms: 30000,
};

export const corten = (t, args) => run(t, CORTEN, args, { cwd: root, ms: END_MS_MAX });

async function mustRun(t, args) {
  const { status, stdout, stderr } = await corten(t, args);
  if (status !== 0) throw new Error(`corten ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

export class World {
  // `place` keeps keys and control pages, and `data` is the router's folder, which alone the shim looks at.
  static async make(t, { engine = 'echo', model = 'words', params = {} } = {}) {
    const place = realpathSync(folder(t));
    const w = new World();
    Object.assign(w, { t, place, data: join(place, 'net'), engine, model, generation: 0, args: [], miners: [], oracle: null, router: null, key: null });
    w.params = Object.entries({ ...PARAMS, ...params }).flatMap(([name, value]) => ['--param', `${name}=${value}`]);
    await Promise.all(['router', 'admin', 'oracle'].map((name) => w.newKey(name)));
    const end = await mustRun(t, ['oracle', 'chain-end', '--network', NETWORK_ID, '--key', w.keyFile('oracle')]);
    w.foundArgs = ['--found', '--network', NETWORK_ID, '--engine', engine, '--model', model, '--oracle', end, ...w.params];
    w.control = new Control(join(place, 'router.control'));
    return w;
  }

  keyFile(name) {
    return join(this.place, `${name}.json`);
  }

  newKey(name) {
    return mustRun(this.t, ['key', 'new', this.keyFile(name), '--light']);
  }

  // Starts a program behind the shim, or without it where there is no control page.
  spawn(args, control, name) {
    const env = control ? { LD_PRELOAD: SHIM, CRASH_FOLDER: this.data, CRASH_CONTROL: control.path, ASAN_OPTIONS: 'verify_asan_link_order=0' } : {};
    return new Process(this.t, CORTEN, args, { cwd: root, env, name });
  }

  // Starts the router, without waiting for anything.
  launch({ found = false } = {}) {
    const args = ['router', ...this.args, '--data', this.data, '--key', this.keyFile('router'), '--admin-key', this.keyFile('admin'),
      '--listen', `127.0.0.1:${this.port ?? 0}`, ...(found ? this.foundArgs : [])];
    this.control.phase = found ? 'founding' : 'opening';
    this.router = this.spawn(args, this.control, 'corten router');
    this.generation++;
    return this.router;
  }

  // The same with `corten dev`, which founds by itself, makes its keys, and starts miner and oracle.
  launchDev() {
    this.control.phase = 'founding';
    this.key = 'default-dev-token';
    this.router = this.spawn(['dev', '--data', this.data, '--listen', '127.0.0.1:0', '--engine', this.engine, '--model', this.model, '--miners', '1'],
      this.control, 'corten dev');
    return this.router;
  }

  // Resolves to true when the router serves, false if it ended before.
  async ready() {
    const router = this.router;
    const line = await router.line(/^ready (\S+)$/, { stream: 'stdout', ms: READY_MS_MAX }).catch((error) => {
      if (!router.result) throw error;
      return null;
    });
    const shown = router.output('stderr').match(/API key, shown this once: (ck_[0-9a-f]{64})/);
    if (shown) this.key = shown[1];
    if (!line) return false;
    this.url = line[1];
    this.port = Number(new URL(this.url).port);
    this.control.phase = 'serving';
    return true;
  }

  request(path, options = {}) {
    return request(this.url + path, { key: this.key, ...options });
  }

  // The JSON of an answer that must be a success.
  async get(path, options) {
    const answer = await this.request(path, options);
    if (answer.status >= 300) throw Object.assign(new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`), { answer });
    return answer.body;
  }

  status() {
    return this.get('/api/v1/status');
  }

  // Starts miner number n; its control page counts what it sends.
  startMiner(n) {
    const one = this.miners[n] ?? { n, name: `miner-${n}`, control: new Control(join(this.place, `miner-${n}.control`)) };
    this.miners[n] = one;
    const args = ['miner', '--router', `ws://127.0.0.1:${this.port}`, '--engine', this.engine, '--model', this.model, '--slots', '4',
      '--key', this.keyFile(one.name)];
    one.control.phase = 'serving';
    one.process = this.spawn(args, one.control, one.name);
    return one;
  }

  async addMiner(n) {
    await this.newKey(`miner-${n}`);
    return this.startMiner(n);
  }

  startOracle() {
    this.oracle ??= { name: 'oracle', control: new Control(join(this.place, 'oracle.control')) };
    const args = ['oracle', '--router', `http://127.0.0.1:${this.port}`, '--engine', this.engine, '--model', this.model, '--key', this.keyFile('oracle')];
    this.oracle.control.phase = 'serving';
    this.oracle.process = this.spawn(args, this.oracle.control, 'oracle');
    return this.oracle;
  }

  // `corten ledger verify` or `replay`: { seq, digest, money }.
  async ledger(verb) {
    const out = await mustRun(this.t, ['ledger', verb, '--data', this.data]);
    const found = out.split('\n').pop().match(/^seq (\d+) digest (0x[0-9a-f]{64}) money (.*)$/);
    if (!found) throw new Error(`corten ledger ${verb}: ${out}`);
    return { seq: Number(found[1]), digest: found[2], money: found[3] };
  }
}
