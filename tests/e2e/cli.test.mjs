// The command line against a running network: help, errors, tables and JSON.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { corten } from './lib/corten.mjs';
import { folder } from './lib/folder.mjs';
import { startDev } from './lib/network.mjs';
import { until } from './lib/until.mjs';

const subcommands = ['demo', 'dev', 'router', 'miner', 'oracle', 'ask', 'session', 'task', 'node', 'account', 'key', 'ledger', 'receipt'];

test('help that a newcomer can follow', async (t) => {
  const { status, stdout } = await corten(t, ['--help']);
  assert.equal(status, 0);
  for (const name of subcommands) {
    assert.match(stdout, new RegExp(`^  ${name} +\\S`, 'm'));
    const help = await corten(t, [name, '--help']);
    assert.equal(help.status, 0, name);
    assert.match(help.stdout, new RegExp(`^  corten ${name}|^Starts a network`, 'm'), `${name} has an example`);
    for (const option of ['--json', '--config', '--help']) assert.ok(help.stdout.includes(option), `${name} ${option}`);
    assert.equal((await corten(t, ['help', name])).stdout, help.stdout);
  }
});

test('mistakes are told with their place and the nearest right word', async (t) => {
  const dir = folder(t);
  const config = join(dir, 'corten.ini');
  writeFileSync(config, '[ask]\nmodle = x\n');
  for (const [args, words, env] of [
    [['kye'], /there is no subcommand "kye"; did you mean "key"\?/],
    [['ask', '--modle', 'x', 'hi'], /--modle: there is no option "modle"; did you mean "model"\?/],
    [['ask', '--config', config, 'hi'], /corten\.ini:2: there is no option "modle"; did you mean "model"\?/],
    [['ask', '--max-tokens', 'many', 'hi'], /--max-tokens: max-tokens is a number, not "many"/],
    [['ask', 'hi'], /CORTEN_MAX_TOKENS: max-tokens is a number/, { CORTEN_MAX_TOKENS: 'many' }],
    [['ask', '--temperature', 'hot', 'hi'], /--temperature is a number from 0 to 2/],
    [['session', 'shwo', '1'], /there is no "shwo"; did you mean "show"\?/],
    [['task', 'show', '1'], /expected show SESSION TASK/],
    [['account', 'deposit', '0x1', 'much'], /"much" is no amount/],
  ]) {
    const { status, stderr, stdout } = await corten(t, args, { env });
    assert.equal(status, 2, args.join(' '));
    assert.match(stderr, words);
    assert.equal(stdout, '');
  }
});

test('a router that is not there is named', async (t) => {
  const { status, stderr } = await corten(t, ['ask', '--url', 'http://127.0.0.1:1', 'hi']);
  assert.equal(status, 1);
  assert.match(stderr, /http:\/\/127\.0\.0\.1:1/);
});

test('the small subcommands against a network', async (t) => {
  const net = await startDev(t, ['--engine', 'echo', '--model', 'words']);
  const dir = folder(t);
  const ok = async (args, options) => {
    const result = await net.corten(args, options);
    assert.equal(result.status, 0, `${args.join(' ')}: ${result.stderr}`);
    return result;
  };
  const json = async (args) => JSON.parse((await ok([...args, '--json'])).stdout);

  await t.test('ask streams the answer to standard output and says on standard error that it is verified', async () => {
    const { stdout, stderr } = await ok(['ask', 'what', 'words', 'are', 'there']);
    assert.ok(stdout.trim().length > 0);
    assert.match(stderr, /^verified: task \d+$/m);
    const again = await ok(['ask', '--temperature', '0', '--no-stream', 'same']);
    assert.equal((await ok(['ask', '--temperature', '0', 'same'])).stdout, again.stdout);
    assert.match((await ok(['ask', '--verbose', 'hi'])).stderr, /tokens in, \d+ out; session \d+ \(shared/);
    assert.equal((await ok(['ask', '--quiet', 'hi'])).stderr, '');
  });

  await t.test('ask --json prints one document, and --receipt keeps a proof that verifies offline', async () => {
    const path = join(dir, 'r.json');
    const said = await json(['ask', '--receipt', path, '--temperature', '0', 'prove it']);
    assert.equal(said.verified, true);
    assert.ok(said.text && said.task_id && said.session_id && said.usage.completion_tokens > 0);
    writeFileSync(join(dir, 'text'), said.text);
    const good = await corten(t, ['receipt', 'verify', path, '--text', join(dir, 'text')]);
    assert.equal(good.status, 0, good.stdout);
    writeFileSync(join(dir, 'text'), `${said.text}!`);
    const bad = await corten(t, ['receipt', 'verify', path, '--text', join(dir, 'text')]);
    assert.equal(bad.status, 1);
    assert.match(bad.stdout, /NOT VALID/);
  });

  await t.test('a receipt that was tampered with anywhere does not verify', async () => {
    const receipt = JSON.parse(readFileSync(join(dir, 'r.json'), 'utf8'));
    const [answer] = receipt.answers;
    const flip = (hex) => hex.slice(0, -1) + (hex.endsWith('0') ? '1' : '0');
    for (const [name, change] of [
      ['task', (r) => (r.task = String(BigInt(r.task) + 1n))],
      ['record', (r) => (r.answers[0].record = flip(answer.record))],
      ['salt', (r) => (r.answers[0].salt = flip(answer.salt))],
      ['precommit', (r) => (r.answers[0].precommit = flip(answer.precommit))],
      ['signature', (r) => (r.answers[0].signature = `0x00${answer.signature.slice(4)}`)],
      ['node', (r) => (r.answers[0].node = `0x${'11'.repeat(20)}`)],
      ['accepted', (r) => (r.answers[0].accepted = false)],
    ]) {
      const copy = structuredClone(receipt);
      change(copy);
      writeFileSync(join(dir, 'bad.json'), JSON.stringify(copy));
      const { status, stdout } = await corten(t, ['receipt', 'verify', join(dir, 'bad.json')]);
      assert.equal(status, 1, `${name}: ${stdout}`);
    }
  });

  await t.test('ask fails with the server\'s words', async () => {
    for (const [args, words] of [
      [['ask', '--model', 'wrods', 'hi'], /MODEL_UNKNOWN: .*words/],
      [['ask', '--api-key', 'ck_no', 'hi'], /KEY_UNKNOWN/],
      [['ask', '--validation', 'judge', 'hi'], /POLICY_NOT_BUILT/],
      [['ask', '--session', '999999999999', 'hi'], /SESSION_UNKNOWN/],
    ]) {
      const { status, stderr } = await net.corten(args);
      assert.equal(status, 1, args.join(' '));
      assert.match(stderr, words);
    }
  });

  await t.test('session create, list, show, top-up and close', async () => {
    const made = await json(['session', 'create', '--model', 'words', '--name', 'mine', '--escrow', '0.5coins', '--nodes-min', '1', '--nodes-max', '1', '--set', 'priority=7']);
    const id = made.session_id;
    await until('it is active', async () => (await json(['session', 'show', id])).state === 'ACTIVE');
    assert.equal((await json(['session', 'show', id])).escrow, '500000');
    assert.equal((await json(['session', 'show', id])).priority, 7);
    assert.match((await ok(['session', 'list'])).stdout, new RegExp(`${id} .*ACTIVE.*mine`));
    await ok(['session', 'top-up', id, '250000']);
    assert.equal((await json(['session', 'show', id])).escrow, '750000');
    await ok(['ask', '--session', id, 'in my session']);
    await ok(['session', 'close', id]);
    await net.closed(id);
    const { status, stderr } = await net.corten(['session', 'show', id]);
    assert.equal(status, 1);
    assert.match(stderr, /SESSION_UNKNOWN/);
  });

  await t.test('task list, show, why and cancel', async () => {
    const said = await json(['ask', '--temperature', '0', 'a task']);
    const { session_id: session, task_id: task } = said;
    assert.match((await ok(['task', 'list', session])).stdout, new RegExp(`${task} .*COMPLETED`));
    const shown = await json(['task', 'show', session, task]);
    assert.equal(shown.state, 'COMPLETED');
    assert.equal(shown.result, said.text);
    assert.match((await ok(['task', 'why', task])).stdout, /COMPLETED/);
    const { status, stderr } = await net.corten(['task', 'cancel', session, task]);
    assert.equal(status, 1);
    assert.match(stderr, /TASK_ENDED/);
  });

  await t.test('node list and show, and an invitation that is one line to paste', async () => {
    const { miners } = await json(['node', 'list']);
    assert.equal(miners.length, 3);
    assert.match((await ok(['node', 'list'])).stdout, new RegExp(`${miners[0].address} +(EPHEMERAL|RESERVED|TESTING|RELEASED)`));
    assert.equal((await json(['node', 'show', miners[0].address])).address, miners[0].address);
    assert.match((await ok(['node', 'invite'])).stdout, /^corten key new \S+ && corten miner --router ws:\/\/127\.0\.0\.1:\d+ .*--invite [0-9a-f]{64}\n$/);
  });

  await t.test('account show, deposit, key-new, keys and key-revoke', async () => {
    const me = await json(['account', 'show']);
    const before = BigInt(me.balance);
    await ok(['account', 'deposit', me.address, '1.5coins', '--reference', 'cli']);
    assert.equal(BigInt((await json(['account', 'show', me.address])).balance), before + 1_500_000n);
    const made = await json(['account', 'key-new', '--deposit', '5coins', '--budget', '1coin', '--budget-hours', '24', '--scope', 'infer']);
    assert.match(made.key, /^ck_[0-9a-f]{64}$/);
    assert.equal((await json(['account', 'show', made.account])).balance, '5000000');
    assert.ok((await ok(['ask', '--api-key', made.key, 'with a key'])).stdout.trim());
    assert.match((await ok(['account', 'keys'])).stdout, new RegExp(made.key_hash));
    await ok(['account', 'key-revoke', made.key_hash]);
    const { status, stderr } = await net.corten(['ask', '--api-key', made.key, 'too late']);
    assert.equal(status, 1);
    assert.match(stderr, /KEY_REVOKED/);
  });

  await t.test('ledger export, import and backup carry the same ledger elsewhere', async () => {
    await ok(['ledger', 'backup', '--data', net.data, '--out', join(dir, 'backup.db')]);
    await ok(['ledger', 'export', '--ledger', `sqlite:${join(dir, 'backup.db')}`, '--out', join(dir, 'ledger.bin')]);
    await ok(['ledger', 'import', '--ledger', `sqlite:${join(dir, 'again.db')}`, '--in', join(dir, 'ledger.bin')]);
    const [a, b] = await Promise.all(['backup.db', 'again.db'].map((name) => json(['ledger', 'verify', '--ledger', `sqlite:${join(dir, name)}`])));
    assert.deepEqual(a, b);
    assert.equal(a.money_ok, true);
  });

  await t.test('a ledger in which one byte was changed is refused, with its position', async () => {
    const bytes = readFileSync(join(dir, 'ledger.bin'));
    bytes[Math.floor(bytes.length / 2)] ^= 1;
    writeFileSync(join(dir, 'bent.bin'), bytes);
    const { status, stderr } = await corten(t, ['ledger', 'import', '--ledger', `sqlite:${join(dir, 'bent.db')}`, '--in', join(dir, 'bent.bin')]);
    assert.equal(status, 1);
    assert.match(stderr, /\d/);
  });
});
