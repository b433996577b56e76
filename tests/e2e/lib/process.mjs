// process.mjs - programs under test: started, waited for by what they print, and ended.
//
// A process leads a group of its own, so that whatever it leaves behind dies with the test. All errors show its whole
// output.
import { spawn } from 'node:child_process';

const LINE_MS_MAX = 30_000; // to wait for a line or an exit, unless a test says otherwise

const running = new Set();
process.on('exit', () => running.forEach((p) => p.killGroup()));

export class Process {
  #lines = [];
  #waiting = new Set();
  #open = {}; // of each stream: what came after its last newline

  // Starts a program that ends with the test `t` at the latest.
  constructor(t, command, args = [], { env = {}, cwd, name = command.split('/').pop() } = {}) {
    this.name = name;
    this.child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    running.add(this);
    for (const stream of ['stdout', 'stderr']) {
      this.#open[stream] = '';
      this.child[stream].setEncoding('utf8').on('data', (text) => this.#take(stream, text));
    }
    // Resolves once the process is gone and its output is complete: { status, signal }.
    this.exited = new Promise((resolve) => {
      const end = (status, signal) => {
        for (const stream of ['stdout', 'stderr']) if (this.#open[stream]) this.#take(stream, '\n');
        this.result = { status, signal };
        running.delete(this);
        resolve(this.result);
        for (const one of [...this.#waiting]) one.ended();
      };
      this.child.on('close', end);
      this.child.on('error', (error) => {
        this.#take('stderr', `${error.message}\n`);
        end(127, null);
      });
    });
    t.after(async () => {
      this.killGroup();
      await this.exited;
    });
  }

  #take(stream, text) {
    const lines = (this.#open[stream] + text).split('\n');
    this.#open[stream] = lines.pop();
    for (const line of lines) {
      this.#lines.push({ stream, line });
      for (const one of [...this.#waiting]) one.line({ stream, line });
    }
  }

  // All that it has printed so far; of one stream, if named.
  output(stream) {
    return this.#lines
      .filter((l) => !stream || l.stream === stream)
      .map((l) => l.line + '\n')
      .join('');
  }

  // The first match of a line with `pattern`, past or to come; of one stream, if named. `after`: look only at lines
  // from this number on (see lineCount).
  line(pattern, { ms = LINE_MS_MAX, stream, after = 0 } = {}) {
    const fits = (l) => (stream && l.stream !== stream ? null : l.line.match(pattern));
    for (const l of this.#lines.slice(after)) {
      const match = fits(l);
      if (match) return Promise.resolve(match);
    }
    return new Promise((resolve, reject) => {
      const settle = (how, value) => {
        clearTimeout(timer);
        this.#waiting.delete(one);
        how(value);
      };
      const fail = (what) => settle(reject, this.#error(`${what} before a line matched ${pattern}`));
      const one = {
        line: (l) => {
          const match = fits(l);
          if (match) settle(resolve, match);
        },
        ended: () => fail('it ended'),
      };
      const timer = setTimeout(() => fail(`${ms} ms passed`), ms);
      this.#waiting.add(one);
      if (this.result) one.ended();
    });
  }

  get lineCount() {
    return this.#lines.length;
  }

  #error(what) {
    const how = this.result ? ` (${JSON.stringify(this.result)})` : '';
    return new Error(`${this.name}: ${what}${how}; its output:\n${this.output()}`);
  }

  // Waits until it ends by itself: { status, signal }.
  async end({ ms = LINE_MS_MAX } = {}) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(this.#error(`did not end within ${ms} ms`)), ms);
    });
    try {
      return await Promise.race([this.exited, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  // Sends a signal and waits for the end.
  async stop(signal = 'SIGTERM', options) {
    if (!this.result) this.child.kill(signal);
    return this.end(options);
  }

  // Ends it and whatever it started, at once.
  killGroup() {
    if (!this.child.pid) return;
    try {
      process.kill(-this.child.pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error; // all of them are gone already
    }
  }
}

// Runs a program to its end: { status, signal, stdout, stderr }.
export async function run(t, command, args, options = {}) {
  const p = new Process(t, command, args, options);
  const result = await p.end(options);
  return { ...result, stdout: p.output('stdout'), stderr: p.output('stderr') };
}
