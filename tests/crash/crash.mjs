// crash.mjs [--kills N] [--seed S] [--only ERA] - kills routers, miners and oracles under load, and holds what comes back
// against what was acknowledged. `make crash` builds and runs it; docs/simulation.md says what it has found.
//
// A run is eras: networks of their own, each founded, killed again and again, and checked after every kill. Everything
// that is left to chance follows from the seed: which process, where, how. What the scheduler does is not the seed's, so
// a repeated run meets the same plan and not the same instructions.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { until } from '../e2e/lib/until.mjs';
import { Check } from './check.mjs';
import { className, classOf, FILE_AND_OP, isSend, kindOf, phaseOf, PHASES } from './control.mjs';
import { Load } from './load.mjs';
import { World } from './world.mjs';

const WORKERS = 6;
const BOUNDARY_MS_MAX = 4000; // of load, until a boundary is given up that does not come
const ROUND_PROMPTS_MAX = 120; // and prompts
const NETWORK_KILLS_MAX = 30; // of one network: its ledger is verified whole after each
const OPENINGS_MAX = 5;       // kills in a row while a router opens
const DEEP_EVERY = 12;        // checks
const ROOM_MAX = 256 * 1024;  // bytes until a disk is full
const GOLDEN = 0.6180339887;
const FIRST_DEPOSIT = 1_000_000_000n;

const { values: options } = parseArgs({
  options: { kills: { type: 'string', default: '100' }, seed: { type: 'string' }, only: { type: 'string' }, verbose: { type: 'boolean' } },
});
const KILLS = Number(options.kills);
const SEED = Number(options.seed ?? Math.floor(Math.random() * 1e9));

// What each era is made of, and its share of the kills.
const ERAS = [
  { name: 'founding', share: 0.1, run: foundings },
  { name: 'rounds', share: 0.1, miners: 1, args: [], run: rounds },
  { name: 'one', share: 0.45, miners: 3, args: [], run: kills },
  { name: 'three', share: 0.2, miners: 4, args: ['--redundancy', '3', '--validation', 'majority'], run: kills },
  { name: 'builtin', share: 0.05, miners: 2, args: [], engine: 'builtin', model: 'corten-demo', run: kills },
  { name: 'faults', share: 0.1, miners: 2, args: [], run: faults },
];

// mulberry32: whole numbers below n, in an order that the seed decides.
function chance(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

// ---- what a run adds up to ----

const sum = {
  spread: 0,
  kills: { router: 0, miner: 0, oracle: 0 }, how: {}, boundaries: new Map(), awaited: new Map(), passed: new Map(), lost: 0n, faults: {}, checks: 0,
  done: {}, prompts: 0, answered: 0, failures: [], passedTests: 0,
};
const count = (map, name, by = 1) => map.set(name, (map.get(name) ?? 0) + by);
const tally = (object, name, by = 1) => (object[name] = (object[name] ?? 0) + by);
const say = (text) => options.verbose && console.log(text);

// ---- one network ----

class Era {
  static async open(t, era, random) {
    const self = new Era();
    const { engine, model, args } = era;
    const world = await World.make(t, { engine, model });
    world.args = args;
    Object.assign(self, { t, era, random, world, load: new Load(world, random), rounds: 0 });
    self.check = new Check(world, self.load, random);
    world.launch({ found: true });
    if (!(await world.ready())) throw new Error(`the router did not open:\n${world.router.output()}`);
    world.account = (await world.get('/api/v1/accounts/me')).address;
    await world.get(`/api/v1/accounts/${world.account}/deposits`, { body: { amount: String(FIRST_DEPOSIT), reference: 'first' } });
    world.given = FIRST_DEPOSIT;
    for (let n = 1; n <= era.miners; n++) await world.addMiner(n);
    world.startOracle();
    await self.serving();
    return self;
  }

  // The network goes on: nodes serve, without a hand.
  serving() {
    return until('nodes serve', async () => {
      const { nodes } = await this.world.status();
      return nodes.EPHEMERAL + nodes.RESERVED >= this.era.miners;
    }, { ms: 60_000 });
  }

  // Notes what the shim under a process has seen, and whether it acted.
  collect(one) {
    for (const [boundary, times] of one.control.take()) count(sum.passed, boundary, times);
    const fired = one.control.fired();
    if (fired === null) return null;
    sum.lost += one.control.get('lost');
    one.control.set('fired', 0);
    return fired;
  }

  // Which boundary to wait for: mostly one that was hit least, else whichever comes behind so many others. These numbers
  // spread evenly over their range, so that a long run leaves no gap.
  choose(phase, writes = phase === 'serving' ? 400 : 60) {
    const seen = [...sum.passed.keys()].filter((one) => phaseOf(one) === phase && !isSend(one));
    if (seen.length === 0 || this.random(3) === 0) return { wanted: null, pass: Math.floor(((sum.spread++ * GOLDEN) % 1) * writes), sends: this.random(4) ? 'no' : 'also' };
    const tries = (one) => (sum.boundaries.get(one) ?? 0) + (sum.awaited.get(one) ?? 0);
    seen.sort((a, b) => tries(a) - tries(b) || sum.passed.get(b) - sum.passed.get(a));
    const wanted = seen[this.random(Math.min(4, seen.length))];
    count(sum.awaited, wanted); // those that do not come are not waited for again and again
    return { wanted, pass: this.random(3) };
  }

  action() {
    return ['before', 'after', 'torn', 'power-before', 'power-after', 'power-before', 'power-after'][this.random(7)];
  }

  // Arms the router's shim and waits for its death under load; a boundary that does not come is replaced by kill -9.
  async killRouter() {
    const { world, load } = this;
    const { router, control } = world;
    const plan = { ...this.choose('serving'), action: this.action(), seed: this.random(2 ** 30) };
    control.arm(plan);
    load.start(WORKERS, ROUND_PROMPTS_MAX);
    await this.died(router, control, BOUNDARY_MS_MAX);
    await load.pause();
    return this.note('router', world.control, plan.action);
  }

  // kill -9 from outside, once so many prompts more were answered.
  async killAnyhow(name, process) {
    const { load } = this;
    const until_ = load.prompts.size + 1 + this.random(20);
    load.start(WORKERS);
    await until('prompts are answered', async () => load.prompts.size >= until_ || process.result, { ms: 60_000 });
    process.child.kill('SIGKILL');
    await process.exited;
    if (name !== 'router') await until('prompts are answered', async () => load.prompts.size >= until_ + 3, { ms: 60_000 });
    await load.pause();
    sum.kills[name]++;
    tally(sum.how, 'kill -9');
  }

  // A miner or an oracle dies just before, behind or within something that it sends.
  async killAtSend(name, one) {
    const { load } = this;
    const action = ['before', 'after', 'torn'][this.random(3)];
    one.control.arm({ action, pass: this.random(name === 'oracle' ? 4 : 20), sends: 'only', seed: this.random(2 ** 30) });
    load.start(WORKERS);
    await this.died(one.process, one.control, BOUNDARY_MS_MAX);
    const so_far = load.prompts.size;
    await until('prompts are answered', async () => load.prompts.size >= so_far + 3, { ms: 60_000 });
    await load.pause();
    return this.note(name, one.control, action);
  }

  async died(process, control, ms) {
    const late = new Promise((resolve) => setTimeout(resolve, ms, 'late').unref());
    await Promise.race([process.exited, late, this.load?.spent ?? late]);
    if (process.result) return;
    control.disarm();
    process.child.kill('SIGKILL');
    await process.exited;
  }

  // What it died of: the shim's act, or our kill -9.
  note(name, control, action) {
    const fired = this.collect({ control });
    sum.kills[name]++;
    tally(sum.how, fired === null ? 'kill -9' : action);
    if (fired !== null) count(sum.boundaries, fired);
    say(`  ${name} died ${fired === null ? 'by kill -9' : `${action}: ${className(fired)}`}`);
    return fired;
  }

  // A router that is told to end, and dies on the way; or does not, and the power fails behind it.
  async killClosing() {
    const { world, load } = this;
    load.start(WORKERS);
    const so_far = load.prompts.size;
    await until('prompts are sent', async () => load.prompts.size >= so_far + 5, { ms: 60_000 });
    await load.pause();
    const action = this.action();
    world.control.phase = 'closing';
    world.control.set('cut', 1);
    world.control.arm({ ...this.choose('closing'), action, seed: this.random(2 ** 30) });
    world.router.child.kill('SIGTERM');
    await this.died(world.router, world.control, 10_000);
    world.control.set('cut', 0);
    world.control.disarm();
    const { signal, status } = world.router.result;
    if (signal === 'SIGKILL') this.note('router', world.control, action);
    else if (status !== 0 || /Sanitizer/.test(world.router.output('stderr'))) load.violate(`SIGTERM: the router ended with ${status} ${signal}\n${world.router.output()}`);
    else tally(sum.faults, 'power cut behind a clean end');
    this.collect(world);
  }

  // Starts the router again; by chance it dies again while it opens. The last time it must open.
  async reopen({ calm = false } = {}) {
    const { world } = this;
    for (let i = 0; i < OPENINGS_MAX && !calm && this.random(4) === 0; i++) {
      const action = this.action();
      world.launch();
      world.control.arm({ ...this.choose('opening'), action, seed: this.random(2 ** 30) });
      if (await world.ready()) {
        world.control.disarm();
        await world.router.stop('SIGKILL');
        sum.kills.router++;
        tally(sum.how, 'kill -9');
        this.collect(world);
      } else if (world.router.result.signal === 'SIGKILL') {
        this.note('router', world.control, action);
      } else {
        throw new Error(`the router did not open:\n${world.router.output()}`);
      }
    }
    world.launch();
    if (!(await world.ready())) throw new Error(`the router did not open:\n${world.router.output()}`);
  }

  async verifyNow({ deep = false } = {}) {
    this.rounds++;
    await this.serving();
    await this.check.all({ deep: deep || this.rounds % DEEP_EVERY === 0 });
    sum.checks++;
    if (this.load.violations.length) {
      const all = this.load.violations.map((one) => one.stack ?? one);
      throw new Error(`era ${this.era.name}, round ${this.rounds}:\n${all.slice(0, 5).join('\n')}\n(${all.length} in all)\n${this.world.router.output('stderr').slice(-2000)}`);
    }
  }

  // Frees what a network holds, where others follow in the same run.
  async close() {
    for (const one of [this.world.router, ...this.world.miners.filter(Boolean).map((it) => it.process), this.world.oracle.process]) await one.stop('SIGKILL');
  }

  async end() {
    await this.verifyNow({ deep: true });
    this.collect(this.world);
    for (const one of [...this.world.miners.filter(Boolean), this.world.oracle]) this.collect(one);
    for (const [name, times] of Object.entries(this.check.done)) tally(sum.done, name, times);
    const all = [...this.load.prompts.values()];
    sum.prompts += all.length;
    sum.answered += all.filter((one) => one.known.text !== undefined).length;
  }
}

// ---- eras ----

// A network that dies while it is founded is founded by the same command again, and its owner gets a key that works.
async function foundings(t, era, random, share) {
  for (let i = 0; i < share; i++) {
    const self = new Era();
    const world = await World.make(t, {});
    Object.assign(self, { random, world, era });
    const action = self.action();
    const dev = i % 3 === 2;
    const launch = () => (dev ? world.launchDev() : world.launch({ found: true }));
    launch();
    world.control.arm({ ...self.choose('founding', 150), action, seed: random(2 ** 30) });
    const lives = await world.ready();
    world.control.disarm();
    if (lives) await world.router.stop('SIGKILL');
    self.note('router', world.control, action);
    world.router.killGroup();
    launch();
    if (!(await world.ready())) throw new Error(`founding ${i}, again: the router did not open:\n${world.router.output()}`);
    if (!world.key) throw new Error(`founding ${i}: nobody was told an API key:\n${world.router.output()}`);
    const { balance } = await world.get('/api/v1/accounts/me');
    if (dev && balance === '0') throw new Error(`founding ${i}: the developer's account has no money`);
    const { models } = await world.status();
    if (models.length !== 1) throw new Error(`founding ${i}: ${JSON.stringify(models)}`);
    await world.router.stop('SIGTERM');
    const verified = await world.ledger('verify');
    if (verified.money !== 'ok') throw new Error(`founding ${i}: ${JSON.stringify(verified)}`);
    self.collect(world);
    world.control.close();
    sum.checks++;
  }
}

// Kills among router, miners and oracle, each followed by a check of everything.
async function kills(t, era, random, share) {
  for (let left = share; left > 0; left -= NETWORK_KILLS_MAX) await killsOfOne(t, era, random, Math.min(left, NETWORK_KILLS_MAX));
}

async function killsOfOne(t, era, random, share) {
  const self = await Era.open(t, era, random);
  const { world } = self;
  const total = () => sum.kills.router + sum.kills.miner + sum.kills.oracle;
  const end = total() + share;
  while (total() < end) {
    const dice = random(100);
    if (dice < 12) {
      const one = world.miners[1 + random(era.miners)];
      await (random(3) ? self.killAtSend('miner', one) : self.killAnyhow('miner', one.process));
      world.startMiner(one.n);
    } else if (dice < 20) {
      await (random(3) ? self.killAtSend('oracle', world.oracle) : self.killAnyhow('oracle', world.oracle.process));
      world.startOracle();
    } else {
      if (dice < 28) await self.killAnyhow('router', world.router);
      else if (dice < 36) await self.killClosing();
      else await self.killRouter();
      self.collect(world);
      if (random(4) === 0) await world.ledger('verify'); // while nobody has it open, just as the crash left it
      await self.reopen();
    }
    await self.verifyNow();
  }
  await self.end();
  await self.close();
}

// A new node is tested while its oracle, the router or itself dies in the middle of the round, and serves all the same.
async function rounds(t, era, random, share) {
  const self = await Era.open(t, era, random);
  const { world } = self;
  for (let i = 0; i < share; i++) {
    const dice = random(4);
    const action = ['before', 'after', 'torn'][random(3)];
    const plan = { action, pass: random(dice < 3 ? 6 : 60), seed: random(2 ** 30), sends: dice < 3 ? 'only' : 'also' };
    const [name, one] = dice < 2 ? ['oracle', world.oracle] : dice === 2 ? ['miner', null] : ['router', world];
    if (one) one.control.arm(plan);
    const miner = await world.addMiner(1 + self.era.miners);
    if (!one) miner.control.arm(plan);
    await self.died(one ? (one.router ?? one.process) : miner.process, (one ?? miner).control, BOUNDARY_MS_MAX);
    self.note(name, (one ?? miner).control, action);
    if (name === 'oracle') world.startOracle();
    else if (name === 'miner') world.startMiner(miner.n);
    else await self.reopen({ calm: true });
    self.era = { ...self.era, miners: self.era.miners + 1 };
    await self.verifyNow();
  }
  await self.end();
}

// A disk that fails, and one that is full: the router stops by name, and says what to do.
async function faults(t, era, random, share) {
  const self = await Era.open(t, era, random);
  for (let i = 0; i < share; i++) {
    const how = ['fail-once', 'full', 'archive sync', 'fail-write', 'put sync', 'archive damaged', 'fail-always', 'archive lost'][i % 8];
    if (how === 'full') await fillDisk(self);
    else if (how === 'put sync') await failPut(self);
    else if (how === 'archive sync') await failArchiveSync(self);
    else if (how.startsWith('archive')) await harmArchive(self, how === 'archive lost');
    else await failSync(self, how);
    tally(sum.faults, how);
    self.collect(self.world);
    await self.reopen({ calm: true });
    await self.verifyNow();
  }
  await self.end();
}

async function ended(self, what, message) {
  const { world, load } = self;
  const { status, signal } = await world.router.end({ ms: 90_000 });
  await load.pause();
  load.failing = false;
  load.puts = true;
  const said = world.router.output('stderr');
  if (signal || status === 0 || !message.test(said) || /Sanitizer/.test(said))
    load.violate(`${what}: the router ended with ${status ?? signal}, and said:\n${world.router.output('stderr')}`);
}

async function failSync(self, how) {
  const { world, load, random } = self;
  const op = how === 'fail-write' ? 'write' : 'sync';
  const wanted = classOf(random(4) ? 'ledger log' : 'ledger', op); // the latter when its log is copied
  load.failing = true;
  load.puts = false; // a payload that cannot be put is refused, and no more
  world.control.set('cut', 1); // what was not synced is lost as well, once it has ended
  world.control.arm({ action: how === 'fail-write' ? 'fail-once' : how, wanted, mask: FILE_AND_OP, pass: kindOf(wanted) === 'ledger' ? 0 : random(20), seed: random(2 ** 30) });
  load.start(WORKERS);
  await ended(self, `${how} of ${kindOf(wanted)}`, /(failed to sync|could not be written).*check (it|the disk) before starting again/s);
  world.control.set('cut', 0);
}

// A sync that fails while the archive's log is copied only puts the copying off; then the power fails as well.
async function failArchiveSync(self) {
  const { world, load, random } = self;
  world.control.arm({ action: 'fail-once', wanted: classOf('archive', 'sync'), mask: FILE_AND_OP });
  load.start(WORKERS);
  await until('a sync of the archive failed', async () => world.control.fired() !== null, { ms: 60_000 });
  world.control.set('fired', 0);
  world.control.arm({ action: 'power-before', pass: random(200), seed: random(2 ** 30) });
  await self.died(world.router, world.control, BOUNDARY_MS_MAX);
  await load.pause();
  self.note('router', world.control, 'power-before');
}

// A payload whose sync fails is refused by name; unless it was the heartbeat's sync, then the router stops. Then the power
// fails.
async function failPut(self) {
  const { world, load, random } = self;
  load.failing = true;
  world.control.set('cut', 1);
  world.control.arm({ action: 'fail-once', wanted: classOf('ledger log', 'sync'), mask: FILE_AND_OP });
  await until('a sync failed', async () => (await load.putPayload(), world.control.fired() !== null), { ms: 60_000 });
  await load.putPayload();
  world.control.set('fired', 0);
  world.control.arm({ action: 'power-before', seed: random(2 ** 30) });
  if (!world.router.result) await load.putPayload();
  await self.died(world.router, world.control, BOUNDARY_MS_MAX);
  self.note('router', world.control, 'power-before');
  world.control.set('cut', 0);
  load.failing = false;
}

// The archive is no authority: without it, or with noise in its place, the next start makes it again.
async function harmArchive(self, lost) {
  const { world, load, random } = self;
  load.start(WORKERS);
  const soFar = load.prompts.size;
  await until('prompts are sent', async () => load.prompts.size >= soFar + 10, { ms: 60_000 });
  await load.pause();
  await world.router.stop('SIGKILL');
  sum.kills.router++;
  tally(sum.how, 'kill -9');
  const path = join(world.data, 'archive.db');
  if (lost) rmSync(path);
  else writeFileSync(path, Buffer.from(Array.from({ length: 100 }, () => random(256))), { flag: 'r+' });
  rmSync(`${path}-wal`, { force: true });
}

async function fillDisk(self) {
  const { world, load, random } = self;
  load.failing = true;
  world.control.room = random(ROOM_MAX);
  load.start(WORKERS);
  await ended(self, 'a full disk', /the disk is full.*free some space/s);
  // Started without room it says so again, or serves as long as it needs none.
  world.launch();
  if (!(await world.ready()) && !/the disk is full/.test(world.router.output('stderr')))
    load.violate(`opened on a full disk the router said:\n${world.router.output()}`);
  await world.router.stop('SIGKILL');
  world.control.room = null;
}

// ---- the run ----

async function runEra(era, index) {
  const afters = [];
  const t = { after: (f) => afters.push(f), diagnostic: console.log };
  const share = Math.max(1, Math.round(KILLS * era.share));
  const begin = Date.now();
  try {
    await era.run(t, era, chance(SEED * 31 + index), share);
    sum.passedTests++;
    console.log(`ok ${era.name} (${Math.round((Date.now() - begin) / 1000)} s)`);
  } catch (error) {
    sum.failures.push(error);
    console.log(`not ok ${era.name} (seed ${SEED}): ${error.stack}`);
  } finally {
    for (const after of afters.reverse()) await after();
  }
}

function report() {
  const all = Object.values(sum.kills).reduce((a, b) => a + b);
  const lists = (object) => Object.entries(object).map(([name, times]) => `${times} ${name}`).join(', ');
  const files = (map) => [...map.keys()].filter((one) => !isSend(one));
  console.log(`kills: ${all} (${lists(sum.kills)}); how: ${lists(sum.how)}; sectors lost: ${sum.lost}`);
  console.log(`faults: ${lists(sum.faults)}`);
  const per = PHASES.map((phase) => {
    const of = (map) => files(map).filter((one) => phaseOf(one) === phase).length;
    return `${phase} ${of(sum.boundaries)} of ${of(sum.passed)}`;
  });
  console.log(`write boundaries died at: ${files(sum.boundaries).length} of ${files(sum.passed).length} seen (${per.join(', ')})`);
  console.log(`checks: ${sum.checks}, of ${sum.prompts} prompts (${sum.answered} answered): ${lists(sum.done)}`);
  for (const boundary of files(sum.passed).sort((a, b) => a - b)) say(`  ${sum.boundaries.get(boundary) ?? 0} kills of ${sum.passed.get(boundary)} at ${className(boundary)}`);
  console.log(`seed ${SEED} (make crash KILLS=${KILLS} SEED=${SEED})`);
}

// So that what was started ends with us: see ../e2e/lib/process.mjs.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

const begin = Date.now();
for (const [index, era] of ERAS.entries()) if (!options.only || options.only === era.name) await runEra(era, index);
report();
console.log(`${Math.round((Date.now() - begin) / 1000)} s`);
console.log(`${sum.passedTests} passed, ${sum.failures.length} failed`);
process.exit(sum.failures.length > 0 ? 1 : 0);
