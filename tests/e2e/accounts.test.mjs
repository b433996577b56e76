// Twenty API keys, each with an account of its own, on three miners: all get answers, and each pays exactly what it owes.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startDev, verifyReceipt } from './lib/network.mjs';

const ACCOUNTS = 20;
const START = 50_000_000n;
const MILLION = 1_000_000n;
const BP = 10_000n;

const up = (a, b) => (a + b - 1n) / b;

// docs/protocol.md, "Money": what each answer that stands earns, and the fees on it, from the receipt alone.
function owed(receipt, params) {
  const paid = receipt.answers.filter((one) => one.accepted).map(({ says, price_in, price_out }) =>
    (BigInt(says.tokens_in) * BigInt(price_in) + BigInt(says.tokens_out) * BigInt(price_out)) / MILLION);
  const fees = paid.map((pay) => up(pay * BigInt(params.router_fee_bp), BP) + up(pay * BigInt(params.oracle_fee_bp), BP));
  return { paid, total: [...paid, ...fees].reduce((a, b) => a + b, 0n) };
}

test('twenty accounts on three miners', async (t) => {
  const net = await startDev(t, ['--engine', 'echo', '--model', 'words', '--slots', '2']);
  const { params } = await net.get('/api/v1/info');
  const keys = await Promise.all(Array.from({ length: ACCOUNTS }, () => net.newKey(START)));

  await t.test('each key has an account of its own, with what was deposited', async () => {
    assert.equal(new Set(keys.map((one) => one.account)).size, ACCOUNTS);
    for (const { account } of keys) assert.equal(await net.balance(account), START);
  });

  const answers = await Promise.all(keys.map(({ key }, i) =>
    net.openai(key).chat.completions.create({
      model: 'words',
      messages: [{ role: 'user', content: `account ${i} asks for its ${'very '.repeat(i)}own words` }],
      temperature: 0,
      corten: i % 4 === 0 ? { redundancy: 3, validation: 'majority' } : {},
    })));

  await t.test('all get answers at the same time', () => {
    for (const answer of answers) assert.ok(answer.choices[0].message.content);
    assert.equal(new Set(answers.map((one) => one.corten.task_id)).size, ACCOUNTS);
  });

  await t.test('each is charged its usage at its nodes\' prices and the fees on it, to the credit', async () => {
    for (const [i, { account }] of keys.entries()) {
      const { receipt, charged } = answers[i].corten;
      const { paid, total } = owed(receipt, params);
      assert.equal(BigInt(charged), total, JSON.stringify(receipt));
      assert.equal(BigInt(receipt.charged), total);
      assert.deepEqual(receipt.answers.filter((one) => one.accepted).map((one) => BigInt(one.paid)), paid);
      assert.equal(await net.balance(account), START - total);
      await verifyReceipt(t, receipt, answers[i].choices[0].message.content);
    }
  });

  await t.test('an account that has nothing left is refused by name, and is charged nothing', async () => {
    const poor = await net.newKey(1);
    await assert.rejects(net.openai(poor.key).completions.create({ model: 'words', prompt: 'x' }), (error) => {
      assert.equal(error.status, 402);
      assert.equal(error.code, 'BALANCE_SHORT');
      return true;
    });
    assert.equal(await net.balance(poor.account), 1n);
  });

  await t.test('a key over its budget is refused by name, while its account has money', async () => {
    const bounded = await net.newKey(START, { budget: '1' });
    await assert.rejects(net.openai(bounded.key).completions.create({ model: 'words', prompt: 'x' }), (error) => {
      assert.equal(error.code, 'KEY_BUDGET');
      return true;
    });
  });

  await t.test('a key that was revoked opens nothing', async () => {
    const gone = await net.newKey(START);
    await net.get(`/api/v1/keys/${gone.key_hash}`, { method: 'DELETE' });
    await assert.rejects(net.openai(gone.key).models.list(), (error) => {
      assert.equal(error.status, 401);
      assert.equal(error.code, 'KEY_REVOKED');
      return true;
    });
  });

  await t.test('a key without the scope for it makes no keys and no deposits', async () => {
    const [{ key, account }] = keys;
    for (const [path, body] of [['/api/v1/keys', {}], [`/api/v1/accounts/${account}/deposits`, { amount: '5' }]])
      assert.equal((await net.request(path, { key, body })).status, 403, path);
  });

  await t.test('one account does not see the tasks and receipts of another', async () => {
    const { session_id: session, task_id: task } = answers[0].corten;
    for (const path of [`/api/v1/tasks/${session}/${task}`, `/api/v3/receipts/${task}`])
      assert.ok([403, 404].includes((await net.request(path, { key: keys[1].key })).status), path);
  });

  await t.test('the same deposit reference counts once', async () => {
    const [{ account }] = keys;
    const before = await net.balance(account);
    await net.post(`/api/v1/accounts/${account}/deposits`, { amount: '7', reference: 'invoice 1' });
    await net.request(`/api/v1/accounts/${account}/deposits`, { body: { amount: '7', reference: 'invoice 1' } });
    assert.equal(await net.balance(account), before + 7n);
  });

  await t.test('the ledger replays to the same digest, and money is conserved', () => net.audit());
});
