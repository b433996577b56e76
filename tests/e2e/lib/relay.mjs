// relay.mjs - a TCP relay that cuts what runs through it, on demand or all the time.
import { connect, createServer } from 'node:net';
import { once } from 'node:events';

// Listens on an ephemeral port of the loopback and passes connections on to `port`. Ends with the test `t`.
export async function relay(t, port, host = '127.0.0.1') {
  const pairs = new Set();
  let refusing = false;

  const server = createServer((from) => {
    if (refusing) return void from.resetAndDestroy();
    const to = connect(port, host);
    const pair = { from, to };
    pairs.add(pair);
    const gone = () => {
      pairs.delete(pair);
      from.destroy();
      to.destroy();
    };
    for (const socket of [from, to]) socket.setNoDelay(true).on('error', gone).on('close', gone);
    from.pipe(to).pipe(from);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const self = {
    port: server.address().port,
    cuts: 0, // connections cut so far
    get open() {
      return pairs.size;
    },
    // Cuts all connections, as a dying network does: by a reset, with whatever was on the way lost. Gives their number.
    cut() {
      const count = pairs.size;
      for (const { from, to } of [...pairs]) {
        from.resetAndDestroy();
        to.resetAndDestroy();
      }
      pairs.clear();
      self.cuts += count;
      return count;
    },
    // Cuts now and refuses new connections, until it is called with false.
    refuse(on = true) {
      refusing = on;
      if (on) self.cut();
    },
    // Cuts all connections every `ms`, until the function that it gives is called or the test ends.
    cutEvery(ms) {
      const timer = setInterval(() => self.cut(), ms);
      timers.add(timer);
      return () => clearInterval(timer);
    },
  };
  const timers = new Set();
  t.after(() => {
    timers.forEach(clearInterval);
    self.refuse();
    server.close();
  });
  return self;
}
