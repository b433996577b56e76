// corten.mjs - the program under test.
import { fileURLToPath } from 'node:url';
import { Process, run } from './process.mjs';

const root = fileURLToPath(new URL('../../..', import.meta.url));
export const CORTEN = process.env.CORTEN ?? `${root}build/corten`;

// Runs `corten ARGS` to its end: { status, signal, stdout, stderr }.
export const corten = (t, args, options) => run(t, CORTEN, args, { cwd: root, ...options });

// Starts `corten ARGS` and waits until it prints "ready ...". Adds `ready`: what stands behind the word.
export async function startCorten(t, args, options = {}) {
  const p = new Process(t, CORTEN, args, { cwd: root, name: `corten ${args[0]}`, ...options });
  p.ready = (await p.line(/^ready ?(.*)$/, { stream: 'stdout', ...options }))[1].trim();
  return p;
}
