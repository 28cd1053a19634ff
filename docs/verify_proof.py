"""Check a proof with nothing of auditfuse: python verify_proof.py PROOF.json NAME+ID+KEY (see proofs.md)."""

# ruff: noqa: E401, E501, E701, I001, PTH123, SIM115
# fmt: off
import base64, hashlib, json, re, struct, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()
def require(holds, what): return None if holds else sys.exit(f"NOT proved: {what}")
def once(pairs): return require(len(dict(pairs)) == len(pairs), "a field stands twice") or dict(pairs)
def raw(text, size, read=bytes.fromhex, write=bytes.hex):  # so many bytes, in their only spelling
    return require((len(read(text)), write(read(text))) == (size, text), "a value is misspelt") or read(text)
def root(leaf, index, size, path):  # RFC 6962, section 2.1.1
    require(type(index) is int and 0 <= index < size and type(path) is list, "no such leaf")
    require(bool(path) == (size > 1), "a path is too short or too long")
    if size == 1: return sha(b"\0", leaf)
    half, sibling = 1 << (size - 1).bit_length() - 1, raw(path[-1], 32)
    if index < half: return sha(b"\1", root(leaf, index, half, path[:-1]), sibling)
    return sha(b"\1", sibling, root(leaf, index - half, size - half, path[:-1]))

proof = json.load(open(sys.argv[1], encoding="utf-8"), object_pairs_hook=once)
name, key_id, key = sys.argv[2].split("+", 2)
text, lines = re.fullmatch("(.+\n)\n((?:— [^ \n]+ [^ \n]+\n)+)", proof["checkpoint"], re.S).groups()
signed = [raw(one, 68, base64.b64decode, lambda read: base64.b64encode(read).decode())
          for one in re.findall(f"— {re.escape(name)} (.+)\n", lines)]
signed = [one[4:] for one in signed if one[:4].hex() == key_id]
for one in signed: Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:]).verify(one, text.encode())
origin, size, tree = text.split("\n")[:3]
require(signed and origin == name, "the checkpoint is not signed by this key")
require(set(proof) == {"format", "checkpoint", "segments"} and proof["format"] == "auditfuse-proof/1", "no proof")
for segment in proof["segments"]:
    require(set(segment) == {"entry", "index", "path", "rows"} and segment["rows"], "a part is missing or unknown")
    log = json.loads(segment["entry"])
    place = struct.pack(">H", len(log["topic_id"])) + log["topic_id"].encode()
    leaf = place + struct.pack(">IQ", log["partition"], log["n"]) + sha(segment["entry"].encode())
    require(root(leaf, segment["index"], int(size), segment["path"]) == base64.b64decode(tree), "no such log entry")
    for row in segment["rows"]:
        at, item, parts = row["offset"], row["item"], set(row) - {"index", "offset", "item", "path"}
        require(parts in ({"c"}, {"meta", "salt_m", "cp"}, {"meta", "salt_m", "payload", "salt_p"}), "no row")
        if "payload" in row: row["cp"] = sha(raw(row["salt_p"], 16), row["payload"].encode()).hex()
        if "meta" in row: row["c"] = sha(sha(raw(row["salt_m"], 16), row["meta"].encode()), raw(row["cp"], 32)).hex()
        leaf = struct.pack(">QI", at, item) + raw(row["c"], 32)
        sealed = root(leaf, row["index"], log["segment"]["rows"], row["path"]).hex() == log["segment"]["merkle_root"]
        require(sealed and type(at) is type(item) is int, f"offset {at} item {item} is not the row sealed there")
        print(f"proved: {log['topic_id']}/{log['partition']} offset {at} item {item}: {', '.join(sorted(parts))}")
require(proof["segments"], "there is no row")
