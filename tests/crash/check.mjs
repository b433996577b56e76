// check.mjs - holds a network that came back against the book of its clients.
//
//   kept      what was acknowledged is there: accepted tasks end, answers have the same text, money, payloads
//   once      a reference names one task with one outcome, a deposit counts once
//   claimed   no task on the ledger that no client sent, no charge that no task explains
//   agrees    the ledger, verified and replayed by another program, has the digest of the running router
//   receipts  of answers that were given hold, with the text
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../e2e/lib/until.mjs';
import { corten } from './world.mjs';

const CHECK_MS_MAX = 30_000;
const AGAIN = 4;           // old prompts that each check repeats
const RECEIPTS = 2;        // whose receipts it verifies
const AT_ONCE = 8;
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

// docs/protocol.md, "Payloads": CIDv1, raw, SHA-256.
function cidOf(hex) {
  const bytes = Buffer.from(`01551220${hex.replace(/^0x/, '')}`, 'hex');
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  bits = bits.padEnd(Math.ceil(bits.length / 5) * 5, '0');
  return `b${bits.match(/.{5}/g).map((five) => BASE32[parseInt(five, 2)]).join('')}`;
}

async function inParts(all, each) {
  for (let i = 0; i < all.length; i += AT_ONCE) await Promise.all(all.slice(i, i + AT_ONCE).map(each));
}

export class Check {
  #world;
  #load;
  #random;
  #checked = new Set(); // prompts whose answers were found after some restart

  constructor(world, load, random) {
    this.#world = world;
    this.#load = load;
    this.#random = random;
    this.done = { answers: 0, again: 0, entries: 0, replays: 0, receipts: 0 };
  }

  #violate(what) {
    this.#load.violate(what);
  }

  // `deep`: everything; else what is new, and samples of what is old.
  async all({ deep = false } = {}) {
    const load = this.#load;
    await inParts(load.deposits.filter((one) => !one.acknowledged), (one) => load.repeatDeposit(one));
    await load.settle(CHECK_MS_MAX);
    if (this.#world.router.result) return;
    await until('no task lives', async () => (await this.#world.status()).tasks.live === 0, { ms: CHECK_MS_MAX });
    await this.#answers(deep);
    await this.#again(deep);
    await this.#payloads(deep);
    await this.#money();
    if (deep) await this.#claimed();
    await this.#agrees();
    await this.#receipts(deep);
  }

  // ---- kept ----

  async #answers(deep) {
    const all = [...this.#load.prompts.values()].filter((one) => one.known.task && (deep || !this.#checked.has(one)));
    await inParts(all, async (one) => {
      const answer = await this.#world.request(`/api/v1/tasks/${one.known.session}/${one.known.task}`);
      if (answer.status !== 200) return this.#violate(`task ${one.known.task} of prompt ${one.number} was acknowledged: ${answer.status} ${JSON.stringify(answer.body)}`);
      this.#isKept(one, answer.body);
      this.#checked.add(one);
      this.done.answers++;
    });
  }

  #isKept(one, task) {
    const { text, charged, error } = one.known;
    if (text !== undefined && (task.state !== 'COMPLETED' || task.result !== text || task.charged !== charged))
      this.#violate(`prompt ${one.number} was answered "${text}" for ${charged}; now: ${JSON.stringify(task)}`);
    if (error !== undefined && (task.state === 'COMPLETED' || task.cause === 'NONE'))
      this.#violate(`prompt ${one.number} ended with ${error}; now: ${JSON.stringify(task)}`);
    // One whose client went away was answered, or says why not.
    if (text === undefined && error === undefined && !one.reference && task.state !== 'COMPLETED' && task.cause === 'NONE')
      this.#violate(`prompt ${one.number} was accepted and ended without a reason: ${JSON.stringify(task)}`);
  }

  async #payloads(deep) {
    const all = this.#load.payloads;
    await inParts(deep ? all : all.slice(-AT_ONCE), async ({ text, cid }) => {
      const { status, body } = await this.#world.request(`/api/v3/payloads/${cid}`);
      if (status !== 200 || body !== text) this.#violate(`payload ${cid} was acknowledged: ${status} ${String(body).slice(0, 200)}`);
    });
  }

  // ---- once ----

  async #again(deep) {
    const old = [...this.#load.prompts.values()].filter((one) => one.reference && one.isSettled);
    const some = deep ? old : Array.from({ length: Math.min(AGAIN, old.length) }, () => old[this.#random(old.length)]);
    await inParts(some, async (one) => {
      await this.#load.ask(one); // it agrees with what is known of it, or says so itself
      this.done.again++;
    });
    const deposits = this.#load.deposits;
    if (deposits.length) await this.#load.repeatDeposit(deposits[this.#random(deposits.length)]);
  }

  // What the account has is what it was given less what its answers cost: those that were acknowledged at least, and all
  // that are on the ledger exactly (#claimed).
  async #money() {
    const { balance } = await this.#world.get(`/api/v1/accounts/${this.#world.account}`);
    const given = this.#world.given + this.#load.deposits.reduce((sum, one) => sum + BigInt(one.amount), 0n);
    const cost = [...this.#load.prompts.values()].reduce((sum, one) => sum + BigInt(one.known.charged ?? 0), 0n);
    if (this.#load.deposits.every((one) => one.acknowledged) && BigInt(balance) > given - cost)
      this.#violate(`the account has ${balance}, more than the ${given} given less ${cost} for answers`);
    const { money_ok: holds, money } = await this.#world.status();
    if (!holds) this.#violate(`money is not conserved: ${JSON.stringify(money)}`);
  }

  // ---- claimed ----

  async #claimed() {
    const { status, stdout, stderr } = await corten(this.#world.t, ['ledger', 'show', '--data', this.#world.data]);
    if (status !== 0) return this.#violate(`corten ledger show: ${stderr}`);
    const tasks = new Map();
    let given = 0n;
    let charged = 0n;
    for (const line of stdout.trimEnd().split('\n')) {
      const entry = JSON.parse(line);
      this.done.entries++;
      for (const event of entry.events) {
        const [[name, e]] = Object.entries(event);
        if (name === 'deposited' && e.account === this.#world.account) given += BigInt(e.amount);
        if (name === 'task_created') tasks.set(e.task, { ...e, ends: 0 });
        if (name === 'task_refunded') charged += BigInt(e.charged);
        if (name === 'task_moved' && isEnd(e.to)) tasks.get(e.task).ends++;
      }
    }
    for (const { task, ends } of tasks.values()) if (ends !== 1) this.#violate(`task ${task} ended ${ends} times`);
    await this.#isAskedFor(tasks);
    const asked = this.#world.given + this.#load.deposits.reduce((sum, one) => sum + BigInt(one.amount), 0n);
    if (given !== asked) this.#violate(`the ledger has deposits of ${given}, and ${asked} were asked for`);
    const { balance } = await this.#world.get(`/api/v1/accounts/${this.#world.account}`);
    if (BigInt(balance) !== given - charged) this.#violate(`the account has ${balance} of ${given}, and its tasks cost ${charged}`);
  }

  // Each task on the ledger is some client's prompt, and each prompt is one task at most.
  async #isAskedFor(tasks) {
    const byTask = new Map([...this.#load.prompts.values()].filter((one) => one.known.task).map((one) => [one.known.task, one.number]));
    const seen = new Map();
    await inParts([...tasks.values()], async (task) => {
      const number = byTask.get(task.task) ?? (await this.#promptOf(task));
      const prompt = this.#load.prompts.get(number);
      if (!prompt) return this.#violate(`task ${task.task} is nobody's: ${JSON.stringify(task)}`);
      if (seen.has(number)) this.#violate(`prompt ${number} (${prompt.reference}) became two tasks: ${seen.get(number)} and ${task.task}`);
      seen.set(number, task.task);
    });
    for (const [task, number] of byTask) if (!tasks.has(task)) this.#violate(`task ${task} of prompt ${number} was acknowledged and is not on the ledger`);
  }

  async #promptOf(task) {
    const { status, body } = await this.#world.request(`/api/v3/payloads/${cidOf(task.prompt_digest)}`);
    if (status !== 200) return null;
    const request = typeof body === 'string' ? JSON.parse(body) : body;
    const text = request.prompt ?? request.messages?.[0]?.content;
    return Number(String(text).match(/prompt (\d+)/)?.[1]);
  }

  // ---- agrees ----

  async #agrees() {
    await until('the ledger stands still for a moment', async () => {
      const status = await this.#world.status();
      const [verified, replayed] = await Promise.all([this.#world.ledger('verify'), this.#world.ledger('replay')]);
      if (verified.seq !== status.seq || replayed.seq !== status.seq) return false;
      if (verified.digest !== status.digest || replayed.digest !== status.digest || verified.money !== 'ok')
        this.#violate(`at entry ${status.seq} the router has ${status.digest}, verified ${JSON.stringify(verified)}, replayed ${JSON.stringify(replayed)}`);
      this.done.replays++;
      return true;
    }, { ms: CHECK_MS_MAX });
  }

  // ---- receipts ----

  async #receipts(deep) {
    const answered = [...this.#load.prompts.values()].filter((one) => one.known.text !== undefined);
    for (let i = 0; i < (deep ? 4 : 1) * RECEIPTS && answered.length > 0; i++) {
      const one = answered[this.#random(answered.length)];
      const { status, body } = await this.#world.request(`/api/v3/receipts/${one.known.task}`);
      if (status !== 200) {
        this.#violate(`prompt ${one.number} has no receipt: ${status} ${JSON.stringify(body)}`);
        continue;
      }
      const place = join(this.#world.place, 'receipt.json');
      const text = join(this.#world.place, 'text');
      writeFileSync(place, JSON.stringify(body));
      writeFileSync(text, one.known.text);
      const result = await corten(this.#world.t, ['receipt', 'verify', place, '--text', text]);
      if (result.status !== 0) this.#violate(`the receipt of prompt ${one.number}: ${result.stdout}${result.stderr}`);
      this.done.receipts++;
    }
  }
}

const isEnd = (state) => ['COMPLETED', 'CANCELLED', 'EXPIRED', 'FAILED'].includes(state);
