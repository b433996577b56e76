// control.mjs - the page of memory that a test and the shim under the program share: see shim.h.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';

const KINDS = ['ledger', 'ledger log', 'ledger index', 'owner', 'archive', 'archive log', 'archive index', 'folder', 'socket', 'other'];
const OPS = ['write', 'truncate', 'sync', 'unlink', 'rename', 'create', 'send'];
const PARTS = ['', 'head', 'frame', 'page', 'commit', 'commit page'];
const ORDINALS = ['1st', '2nd', '3rd', '4th', '5th-8th', '9th-16th', '17th-32nd', 'later'];
export const PHASES = ['founding', 'opening', 'serving', 'closing'];
export const ACTIONS = ['nothing', 'before', 'after', 'torn', 'power-before', 'power-after', 'fail-once', 'fail-always'];

const CLASSES = 65536;
const ALL = 0xffffffffffffffffn;
const FIELDS = ['armed', 'countdown', 'wanted', 'mask', 'sends', 'action', 'seed', 'phase', 'room', 'fired', 'firedClass', 'lost', 'cut', 'refused'];
const COUNTS_AT = FIELDS.length * 8;

// What a boundary is called: "serving: ledger log write commit page, 3rd since the last sync".
export function className(number) {
  const [phase, kind, op, part, ordinal] = [number >> 14, (number >> 10) & 15, (number >> 6) & 15, (number >> 3) & 7, number & 7];
  const when = OPS[op] === 'send' ? '' : `, ${ORDINALS[ordinal]} since its last sync`;
  return `${PHASES[phase]}: ${KINDS[kind]} ${OPS[op]}${PARTS[part] && ` ${PARTS[part]}`}${when}`;
}

// What is done to that file, in any phase: with the mask FILE_AND_OP.
export const classOf = (kind, op) => (KINDS.indexOf(kind) << 10) | (OPS.indexOf(op) << 6);
export const isSend = (number) => OPS[(number >> 6) & 15] === 'send';
export const phaseOf = (number) => PHASES[number >> 14];
export const kindOf = (number) => KINDS[(number >> 10) & 15];

// The same file and operation, whatever the part and the ordinal.
export const FILE_AND_OP = (15 << 10) | (15 << 6);

export class Control {
  constructor(path) {
    this.path = path;
    this.fd = openSync(path, 'w+', 0o600);
    writeSync(this.fd, Buffer.alloc(COUNTS_AT + CLASSES * 8), 0, COUNTS_AT + CLASSES * 8, 0);
    this.set('room', ALL);
  }

  set(field, value) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    writeSync(this.fd, bytes, 0, 8, FIELDS.indexOf(field) * 8);
  }

  get(field) {
    const bytes = Buffer.alloc(8);
    readSync(this.fd, bytes, 0, 8, FIELDS.indexOf(field) * 8);
    return bytes.readBigUInt64LE();
  }

  set phase(name) {
    this.set('phase', PHASES.indexOf(name));
  }

  // Disks are full from here on once files grew by so many bytes; null: there is room again.
  set room(bytes) {
    this.set('room', bytes ?? ALL);
  }

  // Tells the shim at which boundary to act, from now on: the one after `pass` others of that class. null: any write, or
  // with sends 'also' and 'only' whatever is sent. Of a class only the bits of `mask` count.
  arm({ action, wanted = null, mask = CLASSES - 1, pass = 0, seed = 0, sends = 'no' }) {
    this.set('fired', 0);
    this.set('lost', 0);
    this.set('action', ACTIONS.indexOf(action));
    this.set('countdown', pass);
    this.set('wanted', wanted === null ? ALL : wanted & mask);
    this.set('mask', mask);
    this.set('sends', ['no', 'also', 'only'].indexOf(sends));
    this.set('seed', seed);
    this.set('armed', 1);
  }

  disarm() {
    this.set('armed', 0);
  }

  // The boundary at which it acted, or null.
  fired() {
    return this.get('fired') ? Number(this.get('firedClass')) : null;
  }

  // How often each boundary was passed since the last call: Map of class and count.
  take() {
    const bytes = Buffer.alloc(CLASSES * 8);
    readSync(this.fd, bytes, 0, bytes.length, COUNTS_AT);
    writeSync(this.fd, Buffer.alloc(CLASSES * 8), 0, CLASSES * 8, COUNTS_AT);
    const counts = new Map();
    for (let i = 0; i < CLASSES; i++) {
      const count = bytes.readUInt32LE(i * 8);
      if (count) counts.set(i, count);
    }
    return counts;
  }

  close() {
    closeSync(this.fd);
  }
}
