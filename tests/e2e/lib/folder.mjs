// folder.mjs - an empty folder for one test, removed with it; KEEP=1 in the environment keeps it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'corten-e2e-'));
  t.after(() => {
    if (!process.env.KEEP) rmSync(path, { recursive: true, force: true });
  });
  return path;
}
