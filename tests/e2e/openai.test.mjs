// The official `openai` package, unchanged, against `corten dev`: with the bundled model, and with the words of `echo`.
import assert from 'node:assert/strict';
import test from 'node:test';
import { events } from './lib/http.mjs';
import { gather, startDev, verifyReceipt } from './lib/network.mjs';
import { until } from './lib/until.mjs';

const model = 'corten-demo';
const ask = (content, more = {}) => ({ model, messages: [{ role: 'user', content }], max_tokens: 24, ...more });
const complete = (prompt, more = {}) => ({ model, prompt, max_tokens: 24, temperature: 0, ...more });

// The error that a call ends in; it must end in one.
async function refused(call) {
  try {
    await call;
  } catch (error) {
    return error;
  }
  return assert.fail('it was not refused');
}

test('the bundled model behind the official client', async (t) => {
  const net = await startDev(t);
  const openai = net.openai();

  await t.test('a chat is answered whole, with usage, and its receipt holds', async () => {
    const answer = await openai.chat.completions.create(ask('In the beginning'));
    const [choice] = answer.choices;
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.model, model);
    assert.equal(choice.message.role, 'assistant');
    assert.ok(choice.message.content.length > 0);
    assert.match(choice.finish_reason, /^(stop|length)$/);
    assert.ok(answer.usage.prompt_tokens > 0 && answer.usage.completion_tokens > 0);
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
    assert.equal(answer.corten.session_reason.slice(0, 6), 'shared');
    await verifyReceipt(t, answer.corten.receipt, choice.message.content);
  });

  await t.test('a streamed chat brings the same text, and ends exactly once', async () => {
    const body = ask('And God said', { temperature: 0 });
    const whole = await openai.chat.completions.create(body);
    const stream = await openai.chat.completions.create({ ...body, stream: true, stream_options: { include_usage: true } });
    const all = await gather(stream);
    assert.equal(all.text, whole.choices[0].message.content);
    assert.equal(all.finish, whole.choices[0].finish_reason);
    assert.equal(all.ends, 1);
    assert.deepEqual(all.usage, whole.usage);
    await verifyReceipt(t, all.corten.receipt, all.text);
  });

  await t.test('without stream_options a stream says nothing about usage', async () => {
    const all = await gather(await openai.chat.completions.create(ask('Let there be', { stream: true })));
    assert.equal(all.usage, null);
    assert.equal(all.ends, 1);
  });

  await t.test('a completion is answered whole and streamed', async () => {
    const whole = await openai.completions.create(complete('In the beginning God created'));
    assert.equal(whole.object, 'text_completion');
    const all = await gather(await openai.completions.create(complete('In the beginning God created', { stream: true })));
    assert.equal(all.text, whole.choices[0].text);
    assert.equal(all.ends, 1);
  });

  await t.test('max_tokens and max_completion_tokens bound the answer, and the finish reason says so', async () => {
    for (const bound of [{ max_tokens: 3 }, { max_tokens: undefined, max_completion_tokens: 3 }]) {
      const answer = await openai.chat.completions.create(ask('And it came to pass', bound));
      assert.equal(answer.usage.completion_tokens, 3);
      assert.equal(answer.choices[0].finish_reason, 'length');
    }
  });

  await t.test('stop ends the text before the words that were named', async () => {
    const whole = (await openai.completions.create(complete('And the LORD'))).choices[0].text;
    const stop = whole.slice(6, 9);
    const answer = await openai.completions.create(complete('And the LORD', { stop: [stop] }));
    assert.equal(answer.choices[0].text, whole.slice(0, whole.indexOf(stop)));
    assert.equal(answer.choices[0].finish_reason, 'stop');
  });

  await t.test('a seed of the client gives the same words again, and the receipt says whose it is', async () => {
    const body = complete('Now it came to pass', { temperature: 1, seed: 42 });
    const [a, b] = [await openai.completions.create(body), await openai.completions.create(body)];
    const other = await openai.completions.create({ ...body, seed: 43 });
    assert.equal(a.choices[0].text, b.choices[0].text);
    assert.notEqual(a.choices[0].text, other.choices[0].text);
    const [says] = a.corten.receipt.answers.map((one) => one.says);
    assert.equal(says.seed_of, 'client');
    assert.equal(says.seed, '42');
  });

  await t.test('text content parts are read as one text', async () => {
    const parts = [{ type: 'text', text: 'In the ' }, { type: 'text', text: 'beginning' }];
    const [a, b] = await Promise.all([parts, 'In the beginning'].map((content) =>
      openai.chat.completions.create(ask(content, { temperature: 0 }))));
    assert.equal(a.choices[0].message.content, b.choices[0].message.content);
  });

  await t.test('redundancy 3 with majority: three nodes answer, and their texts are one', async () => {
    const corten = { redundancy: 3, validation: 'majority' };
    const answer = await openai.chat.completions.create(ask('And God saw', { temperature: 0, corten }));
    const receipt = answer.corten.receipt;
    assert.equal(receipt.validation, 'MAJORITY');
    assert.equal(receipt.redundancy, 3);
    const accepted = receipt.answers.filter((one) => one.accepted);
    assert.ok(accepted.length >= 2);
    assert.equal(new Set(accepted.map((one) => one.node)).size, accepted.length);
    assert.equal(new Set(accepted.map((one) => one.says.text_digest)).size, 1);
    await verifyReceipt(t, receipt, answer.choices[0].message.content);
    const streamed = await gather(await openai.chat.completions.create(ask('And God saw', { temperature: 0, stream: true, corten })));
    assert.equal(streamed.text, answer.choices[0].message.content);
    assert.equal(streamed.corten.session_id, answer.corten.session_id);
  });

  await t.test('models are listed and looked up', async () => {
    const names = [];
    for await (const one of openai.models.list()) names.push(one.id);
    assert.deepEqual(names, [model]);
    assert.equal((await openai.models.retrieve(model)).id, model);
    assert.equal((await refused(openai.models.retrieve('corten-dmeo'))).status, 404);
  });

  await t.test('the same client reference names one task, which is charged once', async () => {
    const corten = { client_reference: 'order 17' };
    const a = await openai.completions.create(complete('Thus saith', { corten }));
    const b = await openai.completions.create(complete('Thus saith', { corten }));
    assert.equal(b.corten.task_id, a.corten.task_id);
    assert.equal(b.choices[0].text, a.choices[0].text);
  });

  await t.test('an unknown model is a 404 that names the nearest one', async () => {
    const error = await refused(openai.chat.completions.create(ask('x', { model: 'corten-dmeo' })));
    assert.equal(error.constructor.name, 'NotFoundError');
    assert.equal(error.code, 'MODEL_UNKNOWN');
    assert.equal(error.param, 'model');
    assert.match(error.message, /corten-demo/);
  });

  await t.test('a bad key is a 401, a missing one as well', async () => {
    const error = await refused(net.openai('ck_wrong').chat.completions.create(ask('x')));
    assert.equal(error.constructor.name, 'AuthenticationError');
    assert.equal(error.code, 'KEY_UNKNOWN');
    assert.equal((await net.request('/v1/models', { key: null })).status, 401);
  });

  await t.test('what no node can honour is refused by name', async () => {
    const tools = [{ type: 'function', function: { name: 'f', parameters: {} } }];
    const image = [{ type: 'image_url', image_url: { url: 'data:,' } }];
    for (const [more, param] of [
      [{ tools }, 'tools'],
      [{ n: 2 }, 'n'],
      [{ logprobs: true }, 'logprobs'],
      [{ response_format: { type: 'json_object' } }, 'response_format.type'],
      [{ messages: [{ role: 'user', content: image }] }, 'messages[0].content[0].type'],
    ]) {
      const error = await refused(openai.chat.completions.create(ask('x', more)));
      assert.equal(error.status, 400);
      assert.equal(error.code, 'UNSUPPORTED_PARAM');
      assert.equal(error.param, param);
    }
  });

  await t.test('what is malformed is refused with its place', async () => {
    for (const [more, param] of [
      [{ temperature: 3 }, 'temperature'],
      [{ max_tokens: 0 }, 'max_tokens'],
      [{ messages: [{ role: 'king', content: 'x' }] }, 'messages[0].role'],
      [{ corten: { validation: 'coin flip' } }, 'validation'],
    ]) {
      const error = await refused(openai.chat.completions.create(ask('x', more)));
      assert.equal(error.status, 400, error.message);
      assert.equal(error.param, param, error.message);
    }
    const broken = await net.request('/v1/chat/completions', { body: '{"model":' });
    assert.equal(broken.status, 400);
    assert.equal(broken.body.error.type, 'invalid_request_error');
  });

  await t.test('a policy that is reserved and not built is refused by name', async () => {
    const error = await refused(openai.chat.completions.create(ask('x', { corten: { validation: 'judge' } })));
    assert.equal(error.code, 'POLICY_NOT_BUILT');
  });

  await t.test('a prompt over the context is refused as OpenAI names it', async () => {
    const error = await refused(openai.chat.completions.create(ask('word '.repeat(20_000))));
    assert.equal(error.status, 400);
    assert.equal(error.code, 'context_length_exceeded');
  });

  await t.test('more redundancy than there are nodes fails at once and says so', async () => {
    const error = await refused(openai.chat.completions.create(ask('x', { corten: { redundancy: 9 } })));
    assert.match(error.code, /^(NODES_TOO_FEW|NO_NODES)$/);
  });

  await t.test('many at once are all answered', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => openai.completions.create(complete(`Verse ${i}`, { max_tokens: 8 }))));
    assert.equal(new Set(answers.map((one) => one.corten.task_id)).size, 12);
  });

  await t.test('after all that the ledger replays to the same digest, and money is conserved', () => net.audit());
});

test('streams over the words of echo, slowly', async (t) => {
  const net = await startDev(t, ['--engine', 'echo=tokens=400,slow=10', '--model', 'words']);
  const openai = net.openai();
  const body = { model: 'words', messages: [{ role: 'user', content: 'count' }], stream: true };

  await t.test('a stream has one end as bytes: finish, usage, [DONE], and nothing behind it', async () => {
    const said = [];
    const options = { key: net.key, body: { ...body, max_tokens: 20, stream_options: { include_usage: true } } };
    for await (const event of events(`${net.url}/v1/chat/completions`, options)) said.push(event.data);
    assert.equal(said.at(-1), '[DONE]');
    assert.equal(said.filter((data) => data === '[DONE]').length, 1);
    const chunks = said.slice(0, -1).map((data) => JSON.parse(data));
    assert.equal(chunks.filter((chunk) => chunk.choices[0]?.finish_reason).length, 1);
    assert.equal(chunks.filter((chunk) => chunk.usage).length, 1);
    assert.equal(chunks.filter((chunk) => chunk.error).length, 0);
  });

  await t.test('the words come one after the other, as the node says them', async () => {
    const all = await gather(await openai.chat.completions.create({ ...body, max_tokens: 20 }));
    assert.ok(all.pieces > 1, `${all.pieces} pieces`);
  });

  await t.test('a client that leaves cancels its task, and pays for what it was sent at most', async () => {
    const { data: stream, response } = await openai.chat.completions.create({ ...body, max_tokens: 400 }).withResponse();
    const [session, task] = [response.headers.get('corten-session'), response.headers.get('corten-task')];
    let seen = 0;
    for await (const chunk of stream) if (chunk.choices[0]?.delta?.content && ++seen === 3) break;
    const ended = await until('the task is cancelled', async () => {
      const one = await net.task(session, task);
      return one.state === 'CANCELLED' && one;
    });
    const { reserved, charged } = ended;
    assert.equal(reserved, undefined);
    const receipt = await net.get(`/api/v3/receipts/${task}`);
    assert.ok(receipt.answers.every((one) => one.says.tokens_out < 400), JSON.stringify(receipt));
    assert.ok(BigInt(charged) < 400n, charged);
  });

  await t.test('a task is cancelled by its address as well, and its stream ends in an error', async () => {
    const { data: stream, response } = await openai.chat.completions.create({ ...body, max_tokens: 400 }).withResponse();
    const [session, task] = [response.headers.get('corten-session'), response.headers.get('corten-task')];
    const end = refused(gather(stream));
    await net.get(`/api/v1/tasks/${session}/${task}`, { method: 'DELETE' });
    assert.match((await end).message, /cancel/);
    assert.equal((await net.task(session, task)).state, 'CANCELLED');
    const again = await net.request(`/api/v1/tasks/${session}/${task}`, { method: 'DELETE' });
    assert.equal(again.body.error.code, 'TASK_ENDED');
  });

  await t.test('after all that the ledger replays to the same digest, and money is conserved', () => net.audit());
});
