// until.mjs - asks a program again and again until it says what a test waits for, within a bound.
import { setTimeout as pause } from 'node:timers/promises';

const UNTIL_MS_MAX = 30_000;
const PAUSE_MS = 25; // between an answer and the next question, so that the question is not the load

// The first truthy value that `ask` resolves to. What it throws counts as "not yet"; the last of it is shown where time
// runs out.
export async function until(what, ask, { ms = UNTIL_MS_MAX } = {}) {
  const end = Date.now() + ms;
  let last;
  do {
    try {
      last = await ask();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    await pause(PAUSE_MS);
  } while (Date.now() < end);
  throw new Error(`${ms} ms passed, and still not: ${what}; last seen: ${last?.stack ?? JSON.stringify(last)}`);
}
