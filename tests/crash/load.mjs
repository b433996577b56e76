// load.mjs - clients under whom a network crashes, and the book that they keep: what was asked for, and what was
// acknowledged. The book lives outside of the network, and is what a restarted network is held against.
import { events } from '../e2e/lib/http.mjs';
import { until } from '../e2e/lib/until.mjs';

const TOKENS_MAX = 24;
const REQUEST_MS_MAX = 30_000;
const DEATH_MS_MAX = 5000; // a socket that breaks under a client is a crash, and the crash is seen soon
const AT_ONCE = 16; // prompts that are asked for again together

export class Violation extends Error {}

// How a prompt may end: the named errors of docs/protocol.md, "HTTP", that are not the router's own fault.
const ENDS = /^(stream_interrupted|answer_replaced|NODES_SILENT|NODES_DECLINED|TOO_SLOW|NO_NODES|ENGINE_FAILED|POISON|SESSION_CLOSED|ANSWER_REJECTED)$/;
// What says that the request was not taken: to be asked again.
const REFUSALS = /^(LEDGER_BUSY|TASKS_FULL|RATE_LIMITED|IN_FLIGHT_LIMIT|NO_NODES|NODES_TOO_FEW|NODES_SILENT|DRAINING|STOPPING|SESSION_CLOSED|SESSION_NOT_OPEN)$/;

// A prompt that some client sent. `known`: what was acknowledged of it; the rest may have happened or not.
//      task, session   it was accepted
//      text, charged   it was answered
//      error           it ended with this
export class Prompt {
  constructor(number, kind, reference) {
    Object.assign(this, { number, kind, reference, known: {}, tries: 0, pieces: '' });
  }

  get text() {
    return `prompt ${this.number}`;
  }

  get isSettled() {
    return this.known.text !== undefined || this.known.error !== undefined;
  }
}

export class Load {
  #world;
  #random;
  #workers = [];
  #running = false;
  #end = Infinity;
  #next = 1;

  constructor(world, random) {
    this.#world = world;
    this.#random = random;
    this.prompts = new Map(); // by number
    this.deposits = []; // { reference, amount, acknowledged }
    this.payloads = []; // { text, cid }
    this.violations = [];
    this.puts = true; // payloads are put beside prompts
    this.failing = false; // the disk is: refusals may say so
  }

  // Whether a refusal is one that passes: the request was not taken, and is to be asked again.
  passes(code) {
    return REFUSALS.test(code) || (this.failing && code === 'IO');
  }

  violate(what) {
    this.violations.push(new Violation(what));
  }

  // Runs until pause(), or until so many more prompts were sent: then `spent` resolves. A worker sends one request after
  // the other.
  start(workers, prompts_max = Infinity) {
    this.#running = true;
    this.#end = this.#next + prompts_max;
    this.#workers = Array.from({ length: workers }, () => this.#work());
    this.spent = Promise.all(this.#workers).then(() => 'late');
  }

  // Lets what is under way end.
  async pause() {
    this.#running = false;
    await Promise.all(this.#workers);
    this.#workers = [];
    this.spent = undefined;
  }

  async #work() {
    while (this.#running && this.#next < this.#end && !this.#world.router.result) await this.one().catch((error) => this.violations.push(error));
  }

  async one() {
    const dice = this.#random(100);
    if (dice < 5) return this.#deposit();
    if (dice < 10 && this.puts) return this.putPayload();
    const kinds = ['chat', 'completion', 'stream', 'native'];
    const number = this.#next++;
    const prompt = new Prompt(number, kinds[this.#random(kinds.length)], this.#random(4) === 0 ? null : `reference ${number}`);
    this.prompts.set(number, prompt);
    return this.ask(prompt);
  }

  // ---- what a client sends ----

  #body(prompt) {
    const corten = prompt.reference ? { client_reference: prompt.reference } : {};
    const base = { model: this.#world.model, temperature: 0, max_tokens: TOKENS_MAX };
    switch (prompt.kind) {
      case 'chat':
        return ['/v1/chat/completions', { ...base, messages: [{ role: 'user', content: prompt.text }], corten }];
      case 'completion':
        return ['/v1/completions', { ...base, prompt: prompt.text, corten }];
      case 'stream':
        return ['/v1/completions', { ...base, prompt: prompt.text, stream: true, corten }];
      case 'native':
        return ['/api/v1/completions', { ...base, prompt: prompt.text, ...(prompt.reference ? { client_reference: prompt.reference } : {}) }];
    }
    throw new Error(`no such kind of prompt: ${prompt.kind}`);
  }

  // Sends a prompt, or repeats it, and writes down what comes.
  async ask(prompt) {
    prompt.tries++;
    const router = this.#world.router;
    try {
      if (prompt.kind === 'stream') await this.#stream(prompt);
      else await this.#unary(prompt);
    } catch (error) {
      if (error instanceof Violation || error.code === 'ERR_ASSERTION') throw error;
      await this.#brokeOff(router, prompt, error);
    }
  }

  async #unary(prompt) {
    const [path, body] = this.#body(prompt);
    const { status, body: answer } = await this.#world.request(path, { body, ms: REQUEST_MS_MAX });
    if (status >= 300) return this.#failed(prompt, answer.error);
    const choice = answer.choices[0];
    this.#answered(prompt, answer.corten, choice.message?.content ?? choice.text);
  }

  async #stream(prompt) {
    const [path, body] = this.#body(prompt);
    const url = this.#world.url + path;
    let text = '';
    let ends = 0;
    let last = null;
    for await (const { data } of events(url, { key: this.#world.key, body, signal: AbortSignal.timeout(REQUEST_MS_MAX) })) {
      if (ends) throw new Violation(`prompt ${prompt.number}: its stream went on behind its end: ${data}`);
      if (data === '[DONE]') {
        ends++;
        continue;
      }
      const chunk = JSON.parse(data);
      if (chunk.error) {
        this.#failed(prompt, chunk.error);
        return;
      }
      text += chunk.choices[0]?.text ?? '';
      last = chunk.corten ?? last;
    }
    if (!ends) throw new Error('the stream broke off'); // by a crash; else brokeOff() will say so
    this.#answered(prompt, last, text);
  }

  // ---- what is written down ----

  #answered(prompt, corten, text) {
    const known = { task: corten.task_id, session: corten.session_id, text, charged: corten.charged };
    this.#agree(prompt, known);
    if (prompt.known.error) throw new Violation(`prompt ${prompt.number} had ended with ${prompt.known.error}, and is answered now: ${text}`);
    if (corten.receipt) prompt.receipt = corten.receipt;
    Object.assign(prompt.known, known);
  }

  #failed(prompt, error) {
    if (!error?.code || !error.message) throw new Violation(`prompt ${prompt.number}: an error without a name: ${JSON.stringify(error)}`);
    // The stream has ended, and the task may go on: who has a reference asks for its outcome.
    if (/^(stream_interrupted|answer_replaced)$/.test(error.code)) {
      if (error.task_id) this.#agree(prompt, { task: error.task_id, session: error.session_id });
      if (error.task_id) Object.assign(prompt.known, { task: error.task_id, session: error.session_id });
      prompt.interrupted = true;
      return;
    }
    if (error.task_id && ENDS.test(error.code)) {
      const known = { task: error.task_id, session: error.session_id };
      this.#agree(prompt, known);
      if (prompt.known.text !== undefined) throw new Violation(`prompt ${prompt.number} was answered, and ends with ${error.code} now`);
      Object.assign(prompt.known, known, { error: error.code });
      return;
    }
    if (!this.passes(error.code)) throw new Violation(`prompt ${prompt.number}: ${JSON.stringify(error)}`);
    prompt.refused = error.code;
  }

  // What is told again must be what was told before.
  #agree(prompt, known) {
    for (const [name, value] of Object.entries(known))
      if (prompt.known[name] !== undefined && value !== undefined && prompt.known[name] !== value)
        throw new Violation(`prompt ${prompt.number} (${prompt.reference}): its ${name} was ${prompt.known[name]}, and is ${value} now`);
  }

  // A connection that breaks off is right only where the router has died.
  async #brokeOff(router, prompt, error) {
    if (error.message.match(/: (\d+) \{"error"/)) {
      this.#failed(prompt, JSON.parse(error.message.slice(error.message.indexOf('{'))).error);
      return;
    }
    const death = await Promise.race([router.exited, new Promise((resolve) => setTimeout(resolve, DEATH_MS_MAX, null).unref())]);
    if (!death) throw new Violation(`prompt ${prompt.number} (${prompt.kind}) broke off under a living router: ${error.cause ?? error}`);
  }

  // ---- money and payloads ----

  async #deposit() {
    const deposit = { reference: `deposit ${this.#next++}`, amount: 1000 + this.#random(1000), acknowledged: false };
    this.deposits.push(deposit);
    await this.repeatDeposit(deposit);
  }

  async repeatDeposit(deposit) {
    const router = this.#world.router;
    try {
      const { status, body } = await this.#world.request(`/api/v1/accounts/${this.#world.account}/deposits`,
        { body: { amount: String(deposit.amount), reference: deposit.reference } });
      if (status < 300) deposit.acknowledged = true;
      else if (!this.passes(body.error?.code)) this.violate(`a deposit: ${status} ${JSON.stringify(body)}`);
    } catch (error) {
      await this.#brokeOff(router, { number: deposit.reference, kind: 'deposit' }, error);
    }
  }

  async putPayload() {
    const router = this.#world.router;
    const text = `payload ${this.#next++} ${'x'.repeat(this.#random(20_000))}`;
    try {
      const { status, body } = await this.#world.request('/api/v3/payloads', { method: 'PUT', body: text });
      if (status < 300) this.payloads.push({ text, cid: body.cid });
      else if (!this.passes(body.error?.code)) this.violate(`a payload: ${status} ${JSON.stringify(body)}`);
    } catch (error) {
      await this.#brokeOff(router, { number: text.slice(0, 12), kind: 'payload' }, error);
    }
  }

  // ---- after a restart ----

  // Asks for all that have a reference and no outcome yet, until they have one.
  async settle(ms) {
    const open = () => [...this.prompts.values()].filter((one) => one.reference && !one.isSettled);
    await until('every prompt with a reference has an outcome', async () => {
      await Promise.all(open().slice(0, AT_ONCE).map((one) => this.ask(one)));
      return open().length === 0 || this.#world.router.result || this.violations.length > 0;
    }, { ms });
  }
}
