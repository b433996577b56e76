// `corten demo`: the one command of the README, seen by somebody who types it for the first time.
import assert from 'node:assert/strict';
import test from 'node:test';
import { corten } from './lib/corten.mjs';

const states = ['QUEUED', 'ASSIGNED', 'ACKED', 'PRECOMMITTED', 'COMMITTED', 'VALIDATED', 'COMPLETED'];

test('corten demo shows one prompt on its whole way, and exits 0', async (t) => {
  const { status, stdout, stderr } = await corten(t, ['demo'], { ms: 120_000 });
  assert.equal(status, 0, stdout + stderr);

  const at = states.map((state) => {
    const match = stdout.match(new RegExp(`\\+ *(\\d+) ms  ${state}`));
    assert.ok(match, `${state} is missing:\n${stdout}`);
    return { ms: Number(match[1]), index: match.index };
  });
  at.reduce((before, now) => {
    assert.ok(now.ms >= before.ms && now.index > before.index, stdout);
    return now;
  });

  assert.match(stdout, /3 nodes passed/);
  assert.match(stdout, /charged [1-9]\d* credits/);
  assert.match(stdout, /tested again and passed/);
  const [, deposits, ...places] = stdout.match(/deposits (\d+) = balances (\d+) \+ escrow (\d+) \+ reservations (\d+) \+ pending (\d+) \+ stake (\d+) \+ network (\d+) \+ withdrawals (\d+)/);
  assert.equal(places.map(BigInt).reduce((a, b) => a + b), BigInt(deposits));
  assert.match(stdout, /seq \d+ digest 0x[0-9a-f]{64} money ok/);
  assert.match(stdout, /corten dev/);
  assert.match(stdout, /corten ask/);
});

test('corten demo --json prints one document', async (t) => {
  const { status, stdout, stderr } = await corten(t, ['demo', '--json'], { ms: 120_000 });
  assert.equal(status, 0, stdout + stderr);
  const { text, task_id, session_id } = JSON.parse(stdout);
  assert.ok(text.length > 0 && task_id > 0 && session_id > 0);
});
