"""GGUF files as lists of entries and tensors that need not make sense, and tiny models of any shape.

Written from the format's description, not from the project's reader: it makes what that must refuse."""
import copy
import dataclasses
import struct

import numpy

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
# ggml type id: (values per block, bytes per block)
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
          11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 24: (1, 1), 30: (1, 2)}
TYPE_F32, TYPE_F16, TYPE_Q4_0, TYPE_Q8_0, TYPE_BF16 = 0, 1, 2, 8, 30


@dataclasses.dataclass
class Entry:
    """One key; `element` and `count` for arrays, where the count may lie."""
    key: str
    type: int
    value: object
    element: int = None
    count: int = None


@dataclasses.dataclass
class Tensor:
    name: str
    shape: list
    type: int
    data: bytes
    offset: int = None  # None: where it belongs
    dimensions: int = None  # None: as many as the shape has


@dataclasses.dataclass
class File:
    entries: list = dataclasses.field(default_factory=list)
    tensors: list = dataclasses.field(default_factory=list)
    magic: bytes = b"GGUF"
    version: int = 3
    alignment: int = 32
    entry_count: int = None
    tensor_count: int = None

    def copy(self):
        return copy.deepcopy(self)

    def find(self, key):
        return next((e for e in self.entries if e.key == key), None)

    def set(self, key, kind, value, element=None):
        entry = self.find(key)
        if entry is None:
            self.entries.append(Entry(key, kind, value, element))
        else:
            entry.type, entry.value, entry.element = kind, value, element


def integer(value, size):
    """The low bytes of any integer."""
    return (int(value) & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def text(value):
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


def scalar(kind, value):
    """A value of a type that has a size; strings too. b"" for types that do not exist."""
    if kind == STRING:
        return text(value if isinstance(value, (str, bytes)) else str(value))
    form = FORMATS.get(kind)
    if form is None:
        return value if isinstance(value, bytes) else b""
    if form in "fd":
        try:
            return struct.pack("<" + form, value)
        except (OverflowError, struct.error):
            return struct.pack("<" + form, float("inf"))
    return integer(value if not isinstance(value, (str, bytes, float)) else len(str(value)), struct.calcsize(form))


def entry_bytes(entry):
    out = text(entry.key) + integer(entry.type, 4)
    if entry.type != ARRAY:
        return out + scalar(entry.type, entry.value)
    out += integer(entry.element, 4) + integer(len(entry.value) if entry.count is None else entry.count, 8)
    return out + b"".join(scalar(entry.element, v) for v in entry.value)


def dump(file):
    """The bytes of a file, each lie of it included."""
    out = [file.magic, integer(file.version, 4)]
    out.append(integer(len(file.tensors) if file.tensor_count is None else file.tensor_count, 8))
    out.append(integer(len(file.entries) if file.entry_count is None else file.entry_count, 8))
    out += [entry_bytes(e) for e in file.entries]
    alignment = file.alignment or 32
    at = 0
    for t in file.tensors:
        out += [text(t.name), integer(len(t.shape) if t.dimensions is None else t.dimensions, 4)]
        out += [integer(n, 8) for n in t.shape]
        out += [integer(t.type, 4), integer(at if t.offset is None else t.offset, 8)]
        if t.offset is None:
            at += -(-len(t.data) // alignment) * alignment
    header = b"".join(out)
    header += bytes(-len(header) % alignment)
    return header + b"".join(t.data + bytes(-len(t.data) % alignment) for t in file.tensors if t.offset is None)


def tensor_bytes(shape, kind):
    """Bytes of a tensor; None where the type has no known size."""
    if kind not in BLOCKS:
        return None
    values, size = BLOCKS[kind]
    count = 1
    for n in shape:
        count *= n
    return count // values * size


def encode(values, kind):
    """Floats (n) as the bytes of a type."""
    x = numpy.asarray(values, dtype=numpy.float32)
    if kind == TYPE_F32:
        return x.tobytes()
    if kind == TYPE_F16:
        return x.astype(numpy.float16).tobytes()
    if kind == TYPE_BF16:
        return (x.view(numpy.uint32) >> 16).astype(numpy.uint16).tobytes()
    blocks = x.reshape(-1, 32)
    if kind == TYPE_Q8_0:
        d = numpy.abs(blocks).max(1) / 127
        q = numpy.round(blocks / numpy.where(d == 0, 1, d)[:, None]).astype(numpy.int8).view(numpy.uint8)
    else:
        d = blocks[numpy.arange(len(blocks)), numpy.abs(blocks).argmax(1)] / -8
        levels = numpy.clip(blocks / numpy.where(d == 0, 1, d)[:, None] + 8.5, 0, 15).astype(numpy.uint8)
        q = levels[:, :16] | levels[:, 16:] << 4
    return numpy.concatenate([d.astype(numpy.float16).view(numpy.uint8).reshape(-1, 2), q], axis=1).tobytes()


def byte_alphabet():
    """The 256 characters that byte-level BPE writes bytes as, in order of the bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b if b in plain else next(others)) for b in range(256)]


def model(layers=2, hidden=32, heads=2, kv_heads=1, head_dim=16, experts=4, used=2, ffn=32, context=64, window=0,
          kind=TYPE_F32, router=TYPE_F32, transposed=True, tied=True, seed=0, scale=0.3):
    """A valid tiny SmallThinker with random weights and a vocabulary of all bytes and two special tokens."""
    random = numpy.random.default_rng(seed)
    file = File()
    file.set("general.architecture", STRING, "smallthinker")
    file.set("general.name", STRING, "mutant")
    numbers = {"block_count": layers, "context_length": context, "embedding_length": hidden, "feed_forward_length": ffn,
               "attention.head_count": heads, "attention.head_count_kv": kv_heads, "attention.key_length": head_dim,
               "attention.value_length": head_dim, "expert_count": experts, "expert_used_count": used,
               "expert_feed_forward_length": ffn, "expert_gating_func": 2}
    if window:
        numbers["attention.sliding_window"] = window
    for key, value in numbers.items():
        file.set("smallthinker." + key, U32, value)
    file.set("smallthinker.attention.layer_norm_rms_epsilon", F32, 1e-5)
    file.set("smallthinker.rope.freq_base", F32, 10000.0)
    file.set("smallthinker.ffn_down_transposed", BOOL, int(transposed))
    tokens = [*byte_alphabet(), "<|endoftext|>", "<|im_end|>"]
    file.set("tokenizer.ggml.model", STRING, "gpt2")
    file.set("tokenizer.ggml.pre", STRING, "qwen2")
    file.set("tokenizer.ggml.tokens", ARRAY, tokens, STRING)
    file.set("tokenizer.ggml.token_type", ARRAY, [1] * 256 + [3, 3], I32)
    file.set("tokenizer.ggml.merges", ARRAY, ["h i", "t h"], STRING)
    file.find("tokenizer.ggml.tokens").value += ["hi", "th"]
    file.find("tokenizer.ggml.token_type").value += [1, 1]
    file.set("tokenizer.ggml.eos_token_id", U32, 256)
    file.set("tokenizer.ggml.bos_token_id", U32, 256)
    vocab = len(tokens)

    def add(name, shape, kind, ones=False):
        count = int(numpy.prod(shape))
        values = numpy.ones(count) if ones else random.standard_normal(count) * scale
        file.tensors.append(Tensor(name, list(shape), kind, encode(values, kind)))

    add("token_embd.weight", [hidden, vocab], kind)
    for layer in range(layers):
        name = f"blk.{layer}.".__add__
        add(name("attn_norm.weight"), [hidden], TYPE_F32, ones=True)
        add(name("attn_q.weight"), [hidden, heads * head_dim], kind)
        add(name("attn_k.weight"), [hidden, kv_heads * head_dim], kind)
        add(name("attn_v.weight"), [hidden, kv_heads * head_dim], kind)
        add(name("attn_output.weight"), [heads * head_dim, hidden], kind)
        add(name("ffn_norm.weight"), [hidden], TYPE_F32, ones=True)
        add(name("ffn_gate_inp.weight"), [hidden, experts], router)
        add(name("ffn_gate_exps.weight"), [hidden, ffn, experts], kind)
        add(name("ffn_up_exps.weight"), [hidden, ffn, experts], kind)
        add(name("ffn_down_exps.weight"), [hidden, ffn, experts] if transposed else [ffn, hidden, experts], kind)
    add("output_norm.weight", [hidden], TYPE_F32, ones=True)
    if not tied:
        add("output.weight", [hidden, vocab], kind)
    return file
