// soak.mjs [--tasks N] - sends many prompts through a small network and watches the memory of its processes. State that
// should end and does not shows as growth that goes on: what the second half adds must be next to nothing.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { request } from '../e2e/lib/http.mjs';
import { until } from '../e2e/lib/until.mjs';
import { World } from './world.mjs';

const WORKERS = 24;
const STEPS = 10;
const GROWTH_MAX = 256; // bytes a task, from the middle of the run to its end

const { values: options } = parseArgs({ options: { tasks: { type: 'string', default: '20000' }, references: { type: 'boolean' } } });
const TASKS = Number(options.tasks);

const afters = [];
const t = { after: (f) => afters.push(f) };
const rss = (process) => Number(readFileSync(`/proc/${process.child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+) kB/)[1]);

const world = await World.make(t, {});
world.launch({ found: true });
if (!(await world.ready())) throw new Error(world.router.output());
world.account = (await world.get('/api/v1/accounts/me')).address;
await world.get(`/api/v1/accounts/${world.account}/deposits`, { body: { amount: '1000000000000', reference: 'first' } });
for (let n = 1; n <= 2; n++) await world.addMiner(n);
world.startOracle();
await until('nodes serve', async () => (await world.status()).nodes.RESERVED + (await world.status()).nodes.EPHEMERAL >= 2);

let sent = 0;
let answered = 0;
const errors = new Map();
async function work(end) {
  while (sent < end) {
    const number = ++sent;
    const stream = number % 3 === 0;
    const body = { model: world.model, prompt: `prompt ${number}`, temperature: 0, max_tokens: 16, stream };
    if (options.references) body.corten = { client_reference: `reference ${number}` };
    const { status, body: answer } = await request(`${world.url}/v1/completions`, { key: world.key, body });
    if (status === 200) answered++;
    else errors.set(answer.error.code, (errors.get(answer.error.code) ?? 0) + 1);
  }
}

const processes = { router: world.router, miner: world.miners[1].process, oracle: world.oracle.process };
const seen = [];
const begin = Date.now();
for (let step = 1; step <= STEPS; step++) {
  await Promise.all(Array.from({ length: WORKERS }, () => work((TASKS * step) / STEPS)));
  seen.push(Object.fromEntries(Object.entries(processes).map(([name, process]) => [name, rss(process)])));
  const { tasks, audits } = await world.status();
  console.log(`${sent} prompts, ${answered} answered, ${Math.round(sent / ((Date.now() - begin) / 1000))} a second; live ${tasks.live}, audits ${audits}; kB: ${JSON.stringify(seen.at(-1))}`);
}
let failed = 0;
const half = seen[STEPS / 2 - 1];
for (const name of Object.keys(processes)) {
  const growth = ((seen.at(-1)[name] - half[name]) * 1024) / (TASKS / 2);
  const good = growth <= GROWTH_MAX;
  failed += !good;
  console.log(`${good ? 'ok' : 'not ok'} ${name}: ${growth.toFixed(1)} bytes a task in the second half`);
}
if (errors.size) console.log(JSON.stringify([...errors]));
for (const after of afters.reverse()) await after();
console.log(`${Object.keys(processes).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
