// src/crypto against the implementations that wallets and IPFS use: ethers and multiformats. Whatever a wallet
// signs, stores or prints, Corten must read, and the other way round, byte for byte.
//
// Values are drawn from a seed: CORTEN_SEED=… repeats a failure, whose message names it.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { ethers } from "ethers";
import { base36 } from "multiformats/bases/base36";
import { base58btc } from "multiformats/bases/base58";
import { CID } from "multiformats/cid";
import * as raw from "multiformats/codecs/raw";
import { sha256, sha512 } from "multiformats/hashes/sha2";

const root = resolve(fileURLToPath(import.meta.url), "../../..");
const build = process.env.BUILD ?? "build";
const seed = process.env.CORTEN_SEED ?? ethers.hexlify(ethers.randomBytes(4));
const said = `seed ${seed}`;

const SCRYPT_N_LIGHT = 4096;
const SCRYPT_N_USUAL = 131072; // what ethers uses when nobody says otherwise
const DAG_PB = 0x70;

// ---- repeatable values ----

let draws = 0;

function bytes(size) {
    const parts = [];
    for (let have = 0; have < size; have += 32)
        parts.push(ethers.getBytes(ethers.id(`${seed} ${draws++}`)));
    return ethers.concat([...parts, "0x"]).slice(0, 2 + 2 * size);
}

const below = (n) => Number(BigInt(bytes(8)) % BigInt(n));
const pick = (list) => list[below(list.length)];
const uint = (bits) => BigInt(bytes(bits / 8));
const text = () => Array.from({ length: below(40) }, () => pick([..."aZ09 \n\"\\{}", "é", "中", "🔑"])).join("");
const hex = (string) => ethers.hexlify(ethers.toUtf8Bytes(string));

// ---- the probe: a line in, a line out, in order ----

let probe, waiting, folder;

function ask(...words) {
    return new Promise((done, failed) => {
        waiting.push({ done, failed });
        probe.stdin.write(`${words.join(" ")}\n`);
    });
}

async function ok(...words) {
    const line = await ask(...words);
    assert.match(line, /^ok/, `${words.join(" ")}: ${said}`);
    return line.split(" ").slice(1);
}

before(() => {
    execFileSync("make", ["-s", `BUILD=${build}`, `${build}/probe`], { cwd: root, stdio: "inherit" });
    folder = mkdtempSync(join(tmpdir(), "corten-crypto-"));
    waiting = [];
    probe = spawn(resolve(root, build, "probe"), { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: probe.stdout }).on("line", (line) => waiting.shift().done(line));
    probe.on("exit", (code) => waiting.forEach(({ failed }) => failed(new Error(`the probe ended: ${code}`))));
});

after(async () => {
    const ended = new Promise((done) => probe.on("exit", done));
    probe.stdin.end();
    assert.equal(await ended, 0);
    rmSync(folder, { recursive: true });
});

// ---- hashes, addresses, signatures ----

test("Keccak-256 and SHA-256 are equal at every length around a block", async () => {
    for (const size of [0, 1, 7, 8, 31, 32, 55, 56, 63, 64, 65, 134, 135, 136, 137, 271, 272, 273, 1000, 5000]) {
        const data = bytes(size);
        assert.deepEqual(await ok("keccak", data), [ethers.keccak256(data)], said);
        assert.deepEqual(await ok("sha256", data), [ethers.sha256(data)], said);
    }
});

test("addresses and their checksums are equal", async () => {
    for (let i = 0; i < 60; i++) {
        const key = bytes(32);
        assert.deepEqual(await ok("address", key), [ethers.computeAddress(key)], said);
        const address = ethers.getAddress(bytes(20));
        assert.deepEqual(await ok("checksum", address), [address], said);
        assert.deepEqual(await ok("checksum", address.toLowerCase()), [address], said);
    }
});

test("what ethers refuses as a checksum we refuse", async () => {
    let refused = 0;
    for (let i = 0; i < 60; i++) {
        const right = ethers.getAddress(bytes(20));
        const letters = [...right].flatMap((c, i) => (i > 1 && /[a-f]/i.test(c) ? [i] : []));
        const at = pick(letters);
        const c = right[at] === right[at].toLowerCase() ? right[at].toUpperCase() : right[at].toLowerCase();
        const other = right.slice(0, at) + c + right.slice(at + 1);
        const line = await ask("checksum", other);
        assert.equal(line.startsWith("ok"), ethers.isAddress(other), `${other}: ${said}`);
        refused += line.startsWith("error INVALID") ? 1 : 0;
    }
    assert.ok(refused > 50, said); // a few are all of one case by chance
});

test("signatures of digests are equal, and each side recovers the other's signer", async () => {
    for (let i = 0; i < 60; i++) {
        const key = new ethers.SigningKey(bytes(32));
        const digest = bytes(32);
        const [signature] = await ok("sign", key.privateKey, digest);
        assert.equal(signature, key.sign(digest).serialized, said);
        const address = ethers.computeAddress(key.privateKey);
        assert.deepEqual(await ok("recover", digest, signature), [address], said);
        assert.equal(ethers.recoverAddress(digest, signature), address, said);
    }
});

// ---- typed messages: random types, random values ----

const array = (type, one) => () => {
    const items = Array.from({ length: below(5) }, one);
    return {
        type: `${type}[]`,
        value: items.map((item) => item.value),
        words: ["[", ...items.flatMap((item) => item.words), "]"],
    };
};

const kinds = {
    uint: () => {
        const bits = 8 * (1 + below(8));
        const value = uint(bits);
        return { type: `uint${bits}`, value, words: ["uint", value] };
    },
    uint256: () => {
        const value = uint(64);
        return { type: "uint256", value, words: ["uint", value] };
    },
    bool: () => {
        const value = below(2) === 1;
        return { type: "bool", value, words: ["bool", value] };
    },
    address: () => {
        const value = bytes(20);
        return { type: "address", value, words: ["address", value] };
    },
    bytes32: () => {
        const value = bytes(32);
        return { type: "bytes32", value, words: ["bytes32", value] };
    },
    fixed: () => {
        const size = 1 + below(32);
        const value = bytes(size);
        return { type: `bytes${size}`, value, words: ["fixed", value] };
    },
    bytes: () => {
        const value = bytes(below(300));
        return { type: "bytes", value, words: ["bytes", value] };
    },
    string: () => {
        const value = text();
        return { type: "string", value, words: ["string", hex(value)] };
    },
    uints: array("uint64", () => {
        const value = uint(64);
        return { value, words: ["uint", value] };
    }),
    addresses: array("address", () => {
        const value = bytes(20);
        return { value, words: ["address", value] };
    }),
    // A struct of its own, whose type stands behind the outer one's.
    inner: () => {
        const member = kinds[pick(["uint", "string", "bytes32"])]();
        return {
            type: "Inner",
            value: { member: member.value },
            words: ["{", hex(`Inner(${member.type} member)`), ...member.words, "}"],
            types: { Inner: [{ name: "member", type: member.type }] },
        };
    },
};

function message() {
    const fields = Array.from({ length: 1 + below(12) }, (_, i) => ({ name: `f${i}`, kind: pick(Object.keys(kinds)) }));
    const inner = fields.filter(({ kind }) => kind === "inner");
    for (const extra of inner.slice(1)) extra.kind = "uint"; // one type of that name a message
    const made = fields.map(({ kind, name }) => ({ name, kind, ...kinds[kind]() }));
    const types = {
        Command: made.map(({ name, type }) => ({ name, type })),
        ...made.find(({ types }) => types)?.types,
    };
    const type = ethers.TypedDataEncoder.from(types).encodeType("Command");
    return {
        types,
        value: Object.fromEntries(made.map(({ name, value }) => [name, value])),
        words: ["{", hex(type), ...made.flatMap(({ words }) => words), "}"],
        kinds: made.map(({ kind }) => kind),
    };
}

test("EIP-712 digests and signatures are equal for random types and values", async () => {
    const seen = new Set();
    for (let i = 0; i < 120; i++) {
        const wallet = new ethers.Wallet(bytes(32));
        const network = uint(64);
        const { types, value, words, kinds: used } = message();
        used.forEach((kind) => seen.add(kind));
        const domain = { name: "Corten", version: "1", chainId: network };

        const [digest, signature] = await ok("eip712", wallet.privateKey, network, ...words);
        const why = `${JSON.stringify(types)}: ${said}`;
        assert.equal(digest, ethers.TypedDataEncoder.hash(domain, types, value), why);
        assert.equal(signature, await wallet.signTypedData(domain, types, value), why);
        assert.deepEqual(await ok("recover", digest, signature), [wallet.address], why);
    }
    assert.deepEqual([...seen].sort(), Object.keys(kinds).sort(), `not every kind was drawn: ${said}`);
});

// ---- keystores, both ways ----

const passwords = ["", "p", "correct horse battery staple", "x".repeat(200)];

async function weWriteTheyRead(password, n) {
    const key = bytes(32);
    const path = join(folder, `ours-${draws}.json`);
    await ok("keystore-write", hex(path), hex(password), n, key);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const json = readFileSync(path, "utf8");
    assert.ok(ethers.isKeystoreJson(json), said);
    assert.equal(JSON.parse(json).crypto.kdfparams.n, n);
    const account = await ethers.decryptKeystoreJson(json, password);
    assert.equal(account.privateKey, key, said);
    assert.equal(account.address, ethers.computeAddress(key), said);
}

async function theyWriteWeRead(password, scrypt) {
    const wallet = new ethers.Wallet(bytes(32));
    const path = join(folder, `theirs-${draws}.json`);
    const json = await ethers.encryptKeystoreJson(wallet, password, scrypt ? { scrypt } : {});
    writeFileSync(path, json, { mode: 0o600 });
    assert.deepEqual(await ok("keystore-read", hex(path), hex(password)), [wallet.privateKey, "private"], said);
    return { path, json };
}

test("ethers opens our keystores", async () => {
    for (const password of passwords) await weWriteTheyRead(password, SCRYPT_N_LIGHT);
    await weWriteTheyRead("usual", SCRYPT_N_USUAL);
});

test("we open the keystores of ethers", async () => {
    for (const password of passwords) await theyWriteWeRead(password, { N: SCRYPT_N_LIGHT, r: 8, p: 1 });
    await theyWriteWeRead("other parameters", { N: 1024, r: 4, p: 6 });
    await theyWriteWeRead("usual");
});

test("a wrong password, another key's file and a shared file are told apart", async () => {
    const { path, json } = await theyWriteWeRead("right", { N: SCRYPT_N_LIGHT, r: 8, p: 1 });
    assert.match(await ask("keystore-read", hex(path), hex("wrong")), /^error DENIED .*wrong password/);
    chmodSync(path, 0o644);
    assert.equal((await ok("keystore-read", hex(path), hex("right")))[1], "exposed");
    const other = { ...JSON.parse(json), address: bytes(20).slice(2) };
    writeFileSync(path, JSON.stringify(other));
    assert.match(await ask("keystore-read", hex(path), hex("right")), /^error CORRUPT /);
    const key = bytes(32);
    assert.match(await ask("keystore-write", hex(path), "0x", SCRYPT_N_LIGHT, key), /^error EXISTS /);
    assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), other);
});

// ---- CIDs ----

test("CIDs are equal, and each side reads the other's", async () => {
    for (let i = 0; i < 60; i++) {
        const content = ethers.getBytes(bytes(below(500)));
        const cid = CID.create(1, raw.code, await sha256.digest(content));
        assert.deepEqual(await ok("cid", ethers.hexlify(content)), [cid.toString()], said);
        const digest = ethers.hexlify(cid.multihash.digest);
        assert.deepEqual(await ok("cid-decode", cid), [digest], said);
    }
});

test("other spellings and kinds of CID are refused by name", async () => {
    const content = ethers.getBytes(bytes(100));
    const hash = await sha256.digest(content);
    const cid = CID.create(1, raw.code, hash);
    const refused = {
        "version 0": CID.create(0, DAG_PB, hash).toString(),
        "dag-pb": CID.create(1, DAG_PB, hash).toString(),
        "sha2-512": CID.create(1, raw.code, await sha512.digest(content)).toString(),
        base58btc: cid.toString(base58btc),
        base36: cid.toString(base36),
    };
    for (const [name, spelling] of Object.entries(refused))
        assert.match(await ask("cid-decode", spelling), new RegExp(`^error UNSUPPORTED .*${name}`));
});
