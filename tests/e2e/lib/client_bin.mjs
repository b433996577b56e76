// The client WebSocket's binary frames, written from docs/protocol.md, "Client WebSocket", and from nothing else.

const types = ['key', 'submit', 'watch', 'cancel', 'leave'];
const finishes = ['stop', 'length', 'cancelled'];

const number = (value, size) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value)));
  return bytes.subarray(8 - size);
};
const text = (value = '') => {
  const bytes = Buffer.from(value);
  return Buffer.concat([number(bytes.length, 4), bytes]);
};
const e4 = (value) => number(Math.round(value * 10000), 4);

function submitBody(body) {
  const flags = (body.stream ? 1 : 0) | (body.seed === undefined ? 0 : 2) | (body.temperature === undefined ? 0 : 4);
  return [
    number(1, 1), number(flags, 1), number(body.session_id ?? 0, 8), number(body.seed ?? 0, 8),
    number(body.max_tokens ?? 0, 4), number(body.top_k ?? 0, 4), e4(body.temperature ?? 1), e4(body.top_p ?? 1),
    e4(body.presence_penalty ?? 0), e4(body.frequency_penalty ?? 0), number(body.redundancy ?? 0, 1),
    number(body.priority ?? 255, 1), number((body.timeout ?? 0) * 1000, 4), number((body.precommit_timeout ?? 0) * 1000, 4),
    text(body.model), text(body.validation), text(body.privacy), text(body.client_reference), number(0, 1),
    text(body.extra && JSON.stringify(body.extra)), text(body.prompt),
  ];
}

export function encode(frame) {
  const head = [number(types.indexOf(frame.type), 1)];
  if (frame.type === 'key') return Buffer.concat([...head, Buffer.from(frame.key)]);
  head.push(number(frame.ref, 8));
  if (frame.type === 'submit') head.push(...submitBody(frame.body));
  if (frame.type === 'watch' || frame.type === 'cancel') head.push(number(frame.session_id ?? 0, 8), number(frame.task_id, 8));
  if (frame.type === 'watch') head.push(number(frame.from ?? 0, 4));
  return Buffer.concat(head);
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  number(size) {
    const bytes = Buffer.alloc(8);
    this.bytes.copy(bytes, 8 - size, this.at, this.at + size);
    this.at += size;
    return bytes.readBigUInt64BE();
  }

  take(size) {
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }

  text() {
    return this.take(Number(this.number(4))).toString();
  }
}

function answer(r, streamed) {
  const ids = { session_id: String(r.number(8)), task_id: String(r.number(8)) };
  const finish_reason = finishes[Number(r.number(1))];
  const [prompt_tokens, completion_tokens] = [Number(r.number(4)), Number(r.number(4))];
  const usage = { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
  const charged = String(r.number(8));
  const seq = Number(r.number(8));
  const digest = r.take(32).toString('hex');
  const model = r.text();
  const whole = r.text();
  return { ...ids, finish_reason, usage, charged, seq, digest, model, ...(streamed ? {} : { text: whole }) };
}

// What the router said, as the frames in JSON have it. `streamed` says of which refs text has come.
export function decode(bytes, streamed) {
  const r = new Reader(bytes);
  const type = Number(r.number(1));
  const ref = Number(r.number(8));
  const frame = (name, members) => ({ type: name, ...(ref ? { ref } : {}), ...members });
  if (type === 0x80) {
    const network = String(r.number(8));
    const router = `0x${r.take(20).toString('hex')}`;
    return frame('welcome', { network, router, prompts_max: Number(r.number(4)) });
  }
  if (type === 0x81) return frame('accepted', { session_id: String(r.number(8)), task_id: String(r.number(8)), known: r.number(1) === 1n });
  if (type === 0x82) {
    streamed.add(ref);
    return frame('text', { at: Number(r.number(4)), text: r.text() });
  }
  if (type === 0x83) return frame('answer', answer(r, streamed.has(ref)));
  if (type === 0x84) return frame('cancelled', {});
  if (type === 0x85) return frame('error', JSON.parse(bytes.subarray(9)));
  throw new Error(`a frame of type ${type}`);
}
