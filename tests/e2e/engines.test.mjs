// The `openai` engine: a network in front of another OpenAI-compatible server, which here is a second network.
import assert from 'node:assert/strict';
import test from 'node:test';
import { gather, startDev } from './lib/network.mjs';

test('a network whose nodes stream from an OpenAI-compatible server', async (t) => {
  const behind = await startDev(t, ['--model', 'corten-demo']);
  const net = await startDev(t, ['--engine', `openai=${behind.url}/v1`, '--model', 'corten-demo', '--miners', '2'], {
    env: { CORTEN_ENGINE_KEY: behind.key },
  });
  const body = { model: 'corten-demo', prompt: 'In the beginning', temperature: 0, max_tokens: 16 };
  const right = await behind.openai().completions.create(body);

  await t.test('the words of that server come through, whole and streamed', async () => {
    const whole = await net.openai().completions.create(body);
    assert.equal(whole.choices[0].text, right.choices[0].text);
    const all = await gather(await net.openai().completions.create({ ...body, stream: true }));
    assert.equal(all.text, right.choices[0].text);
    assert.equal(all.ends, 1);
  });

  await t.test('receipt and node say what nobody could measure: the digest is declared, the class unverified', async () => {
    const answer = await net.openai().completions.create(body);
    const receipt = await net.receipt(answer.corten.task_id, answer.choices[0].text);
    assert.equal(receipt.model_digest, 'declared');
    assert.equal(receipt.model_class, 'UNVERIFIED');
    const { miners } = await net.get('/api/v1/miners');
    for (const { engine, models: [model] } of miners) {
      assert.equal(engine, 'OPENAI');
      assert.equal(model.declared, true);
      assert.equal(model.class, 'UNVERIFIED');
    }
  });

  await t.test('a server that is gone is a named error, and costs nothing', async () => {
    const { address } = await net.get('/api/v1/accounts/me');
    const before = await net.balance(address);
    await behind.process.stop('SIGKILL');
    await assert.rejects(net.openai().completions.create(body), (error) => {
      assert.match(error.code, /^(ENGINE_FAILED|POISON|NODES_DECLINED)$/);
      return true;
    });
    assert.equal(await net.balance(address), before);
    await net.audit();
  });
});
