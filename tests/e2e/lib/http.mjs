// http.mjs - plain requests: JSON, and server-sent events as they come.

// { status, headers, body }: the body parsed if it is JSON, else its text.
export async function request(url, { method, key, body, headers = {}, ms = 30_000 } = {}) {
  const response = await fetch(url, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      ...(key ? { authorization: `Bearer ${key}` } : {}),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined || typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
    signal: AbortSignal.timeout(ms),
  });
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').includes('json');
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}

// Yields { id, event, data } for each event of a stream; comments are left out. Ends when the server ends it, and throws
// where the stream breaks off inside an event.
export async function* events(url, { method = 'POST', key, body, headers = {}, signal } = {}) {
  const response = await fetch(url, {
    method,
    headers: {
      ...(key ? { authorization: `Bearer ${key}` } : {}),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  let rest = '';
  let event = {};
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines.map((l) => l.replace(/\r$/, ''))) {
      if (line === '') {
        if ('data' in event) yield event;
        event = {};
      } else if (!line.startsWith(':')) {
        const [, name, value] = line.match(/^([^:]*):? ?(.*)$/);
        event[name] = name === 'data' && 'data' in event ? `${event.data}\n${value}` : value;
      }
    }
  }
  if (rest || Object.keys(event).length) throw new Error(`${url}: the stream broke off inside an event`);
}
