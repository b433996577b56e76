// replay.mjs - replays an exported ledger through the core in WebAssembly.
//
//     node tools/wasm/replay.mjs CORE.wasm LEDGER.export [--played]
//
// Prints the position, the running digest and the root of the state. --played: signatures of test histories, whose first
// 20 bytes are the signer's address. Real ones need a `recover(digest, signature)` that gives an address; with ethers:
//     (digest, signature) => getBytes(recoverAddress(digest, hexlify(signature)))

import { readFileSync } from 'node:fs';

const MAGIC = 'corten-ledger-1\n';

// docs/protocol.md, "Ledger": the portable file.
export function* batches(file) {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    if (Buffer.from(file.subarray(0, 16)).toString('latin1') !== MAGIC)
        throw new Error('this is no exported ledger');
    let at = 24;
    while (file[at] === 0x42) {
        const body = at + 93;
        yield {
            count: view.getUint32(at + 9),
            router: file.subarray(at + 13, at + 33),
            timeMs: view.getBigUint64(at + 49),
            body: file.subarray(body, body + view.getUint32(at + 89)),
        };
        at = body + view.getUint32(at + 89);
    }
    if (file[at] !== 0x45)
        throw new Error(`the file is damaged at byte ${at}`);
}

export function* entries(batch) {
    const view = new DataView(batch.body.buffer, batch.body.byteOffset, batch.body.byteLength);
    for (let at = 0, i = 0; i < batch.count; i++) {
        const size = view.getUint16(at);
        yield batch.body.subarray(at + 2, at + 2 + size);
        at += 2 + size;
    }
}

export const played = (digest, signature) => signature.slice(0, 20);

export async function replay(wasm, file, recover) {
    const { instance } = await WebAssembly.instantiate(wasm, {});
    const core = instance.exports;
    const bytes = (at, size) => new Uint8Array(core.memory.buffer, at, size);
    const answer = () => Buffer.from(bytes(core.room_answer(), 32)).toString('hex');
    let opened = false;
    for (const batch of batches(file)) {
        for (const entry of entries(batch)) {
            bytes(core.room_entry(), entry.length).set(entry);
            if (!opened && !core.replay_open(entry.length))
                throw new Error('the first entry is no genesis, or asks for more memory than there is');
            opened = true;
            bytes(core.room_author(), 20).set(batch.router);
            const count = core.replay_signatures(entry.length);
            for (let i = 0; i < count; i++) {
                const signature = bytes(core.replay_signature(entry.length, i), 65).slice();
                const digest = bytes(core.room_answer(), 32).slice();
                bytes(core.room_signer(i), 20).set(recover(digest, signature));
            }
            core.replay_apply(entry.length, batch.timeMs);
        }
        core.replay_batch_end();
    }
    core.replay_check();
    core.replay_digest();
    const digest = answer();
    core.replay_root();
    return { seq: core.replay_seq(), digest, root: answer() };
}

if (process.argv[1]?.endsWith('replay.mjs')) {
    const [wasm, file, how] = process.argv.slice(2);
    if (!file || how !== '--played') {
        console.error('usage: node tools/wasm/replay.mjs CORE.wasm LEDGER.export --played');
        process.exit(2);
    }
    const { seq, digest, root } = await replay(readFileSync(wasm), readFileSync(file), played);
    console.log(`seq ${seq} digest 0x${digest} root 0x${root}`);
}
