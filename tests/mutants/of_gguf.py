"""Models in GGUF files with one to three things wrong, given to every command that reads one."""
import struct

import tiny_gguf as gguf
from tiny_gguf import ARRAY, BOOL, F32, F64, I32, I64, STRING, U16, U32, U64, U8

INTEGERS = [0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 512, 513, 1023, 1024, 1025, 4095,
            4096, 65535, 65536, 65537, 2**20, 2**24, 2**24 + 1, 2**27, 2**27 + 1, 2**31 - 1, 2**31, 2**32 - 1, -1, -2,
            -2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -2**63]
FLOATS = [0.0, -0.0, 1.0, -1.0, float("nan"), float("inf"), float("-inf"), 1e-45, 1e-38, 1e30, 3.4e38, -3.4e38, 0.999999,
          1e12, 9.99e11, 1e-6, 0.5, 4.0]
TEXTS = ["", "\0", "a\0b", "\x1b[2J\x1b]52;c;AAAA\x07", "line1\nline2\r\nx", "\udcff\udcfe\udcc0\udc80", "\u202e\u2028x",
         "x" * 200, "y" * 70000, "z" * (1 << 20), "smallthinker", "llama", "gpt2", "%s%n%x", "{}", "../../etc/passwd", "-1",
         "0", "none", "linear", "yarn", "longrope", "qwen2", "default", "\u0085\u009b31m"]
TYPES = [*range(13), 13, 77, 2**31]
TENSOR_TYPES = [*range(17), 20, 23, 24, 25, 28, 30, 31, 34, 39, 40, -1, 2**31]


class GgufMutants:
    name = "gguf"

    def __init__(self, random, judge, models):
        self.random, self.judge = random, judge
        self.bases = [
            gguf.model(window=8, kind=gguf.TYPE_Q4_0, seed=1),
            gguf.model(layers=1, hidden=8, heads=2, kv_heads=2, head_dim=4, ffn=8, tied=False, seed=2),
            gguf.model(hidden=64, head_dim=32, experts=3, used=1, context=200, window=5, kind=gguf.TYPE_Q8_0,
                       transposed=False, seed=3),
            gguf.model(layers=3, hidden=32, heads=4, kv_heads=4, head_dim=8, kind=gguf.TYPE_F16, seed=4),
            gguf.model(layers=1, hidden=32, kind=gguf.TYPE_BF16, router=gguf.TYPE_F16, seed=5),
        ]
        judge.path("text.txt").write_text("Once upon a time there was a girl. " * 8)

    # ---- What can be wrong. Each gets a file, changes it and says what it did. ----

    def odd_value(self, kind):
        if kind == STRING:
            return self.random.choice(TEXTS)
        return self.random.choice(FLOATS if kind in (F32, F64) else INTEGERS)

    def odd_scalar(self, f):
        entry = self.random.choice([e for e in f.entries if e.type != ARRAY])
        entry.value = self.odd_value(entry.type)
        return f"{entry.key} = {str(entry.value)[:20]!r}"

    def odd_number(self, f):
        entry = self.random.choice([e for e in f.entries if e.key.startswith("smallthinker.") and e.type in (U32, F32)])
        entry.value = self.odd_value(entry.type)
        if entry.type == U32 and self.random.random() < 0.3:
            entry.type = self.random.choice([U64, U8, U16, I32, I64])
        return f"{entry.key} = {entry.value} of type {entry.type}"

    def other_type(self, f):
        entry = self.random.choice(f.entries)
        entry.type = self.random.choice(TYPES)
        entry.element, entry.count = None, None
        if entry.type == ARRAY:
            entry.element = self.random.choice(TYPES)
            entry.value = [self.odd_value(entry.element) for _ in range(self.random.choice([0, 1, 3]))]
            entry.count = self.random.choice([None, None, 0, 2**60, 2**31, 2**64 - 1])
        else:
            entry.value = self.odd_value(entry.type)
        return f"{entry.key} of type {entry.type}[{entry.element}]"

    def odd_array(self, f):
        entry = self.random.choice([e for e in f.entries if e.type == ARRAY])
        values, at = entry.value, self.random.randrange(len(entry.value) or 1)
        change = self.random.randrange(7)
        if change == 0:
            del values[at:]
        elif change == 1:
            values += [self.odd_value(entry.element)] * self.random.choice([1, 2, 1000])
        elif change == 2:
            entry.count = self.random.choice(INTEGERS) % 2**64
        elif change == 3:
            entry.element = self.random.choice(TYPES)
        elif values and change == 4:
            values[at] = self.odd_value(entry.element)
        elif values and change == 5:
            other = self.random.randrange(len(values))
            values[at], values[other] = values[other], values[at]
        elif values:
            values[at] = self.random.choice(values)
        return f"{entry.key}: change {change} at {at}"

    def odd_token(self, f):
        tokens = f.find("tokenizer.ggml.tokens").value
        merges = f.find("tokenizer.ggml.merges").value
        kinds = f.find("tokenizer.ggml.token_type").value
        what = self.random.choice(["text", "kinds", "merge", "id", "ends", "twice", "template", "split", "nfc", "flag"])
        if what == "text":
            tokens[self.random.randrange(len(tokens))] = self.random.choice(
                [*TEXTS[:14], "<|im_end|>", "\u0120", "\ufffd", "\U0010ffff"])
        elif what == "kinds":
            for _ in range(self.random.choice([1, 1, 50])):
                kinds[self.random.randrange(len(kinds))] = self.random.choice([0, 1, 2, 3, 4, 5, 6, 7, -1, 2**31 - 1])
        elif what == "merge":
            merges.insert(0, self.random.choice(["a", "a b", "a  b", " a", "a ", "", "  ", "a b c", "zz yy", "\0 \0", "< |",
                                                 "x" * 100000 + " y"]))
        elif what == "id":
            key = self.random.choice(["bos", "eos", "padding", "unknown", "eot"])
            f.set(f"tokenizer.ggml.{key}_token_id", self.random.choice([U32, I32, U64, U8, I64]), self.random.choice(INTEGERS))
        elif what == "ends":
            ids = [self.random.choice(INTEGERS) for _ in range(self.random.choice([0, 1, 2, 5000]))]
            f.set("smallthinker.tokenizer.end_of_generation", ARRAY, ids, self.random.choice([I32, U32, I64]))
        elif what == "twice":
            merges += merges[:1]
        elif what == "template":
            f.set("tokenizer.chat_template", STRING, self.random.choice(TEXTS))
        elif what == "split":
            f.set("tokenizer.ggml.pre", STRING, self.random.choice(TEXTS))
        elif what == "nfc":
            f.set("smallthinker.tokenizer.nfc", self.random.choice([BOOL, U8, STRING]), self.random.choice([0, 1, 2]))
        else:
            key = self.random.choice(["add_bos_token", "add_eos_token", "add_space_prefix"])
            f.set("tokenizer.ggml." + key, self.random.choice([BOOL, U32]), self.random.choice([0, 1]))
        return f"tokenizer: {what}"

    def key_twice(self, f):
        entry = self.random.choice(f.copy().entries)
        f.entries.insert(self.random.randrange(len(f.entries) + 1), entry)
        return f"{entry.key} twice"

    def no_key(self, f):
        entry = self.random.choice(f.entries)
        f.entries.remove(entry)
        return f"no {entry.key}"

    def odd_key(self, f):
        entry = self.random.choice(f.entries)
        old = entry.key
        entry.key = self.random.choice(["", "\0", old + "\0", "k\n" + old, "\x1b[31m" + old, "x" * 70000, old.upper(), "\udcff"])
        return f"{old} becomes {entry.key[:20]!r}"

    def new_key(self, f):
        key = self.random.choice(["rope.scaling.type", "rope.scaling.factor", "rope.scale_linear", "rope.dimension_count",
                                  "attention.scale", "expert_shared_count", "expert_weights_scale", "logit_scale", "x",
                                  "attention.sliding_window_pattern", "bundle.version", "leading_dense_block_count"])
        kind = self.random.choice([U32, F32, STRING, BOOL])
        f.set("smallthinker." + key, kind, self.odd_value(kind))
        return f"new {key}"

    def odd_alignment(self, f):
        value = self.random.choice([0, 1, 2, 3, 4, 8, 16, 24, 32, 64, 128, 65536, 131072, 2**31, 2**32 - 1])
        kind = self.random.choice([U32, U32, U32, I32, U64, STRING])
        f.set("general.alignment", kind, str(value) if kind == STRING else value)
        f.alignment = self.random.choice([32, min(max(1, value), 65536)])
        return f"alignment {value} of type {kind}"

    def odd_shape(self, f):
        t = self.random.choice(f.tensors)
        change = self.random.randrange(6)
        if change == 0:
            t.shape[self.random.randrange(len(t.shape))] = self.random.choice(
                [0, 1, 2, 31, 33, 2**31, 2**32, 2**40, 2**62, 2**63, 2**63 + 1, 2**64 - 1])
        elif change == 1:
            t.shape = [2**32, 2**32]
        elif change == 2:
            t.shape = [2**62, 4]
        elif change == 3:
            t.shape.append(self.random.choice([0, 1, 2]))
        elif change == 4:
            t.shape.reverse()
        else:
            t.dimensions = self.random.choice([0, 5, 255, 2**32 - 1])
        size = gguf.tensor_bytes(t.shape, t.type)
        if size is not None and size < 1 << 20 and self.random.random() < 0.5:
            t.data = t.data[:size].ljust(size, b"\0")
        return f"{t.name}: {t.shape}, {t.dimensions} dimensions"

    def other_tensor_type(self, f):
        t = self.random.choice(f.tensors)
        t.type = self.random.choice(TENSOR_TYPES)
        size = gguf.tensor_bytes(t.shape, t.type)
        if size is not None and size < 1 << 21 and self.random.random() < 0.8:
            t.data = self.random.randbytes(size)
        return f"{t.name} of type {t.type}"

    def odd_offset(self, f):
        t = self.random.choice(f.tensors)
        t.offset = self.random.choice([0, 1, 31, 32, 64, 2**63, 2**64 - 1, 2**64 - 32, 2**64 - 16, 2**40, 1 << 20])
        return f"{t.name} at {t.offset}"

    def odd_name(self, f):
        t = self.random.choice(f.tensors)
        old = t.name
        t.name = self.random.choice(["", self.random.choice(f.tensors).name, "\x1b[2J", "n\nl", "a" * 64, "a" * 70000,
                                     "blk.0.attn_q.bias", "lm_head_profiler.weight", "blk.999.attn_q.weight"])
        return f"{old} becomes {t.name[:20]!r}"

    def no_tensor(self, f):
        t = self.random.choice(f.tensors)
        f.tensors.remove(t)
        return f"no {t.name}"

    def new_tensor(self, f):
        hidden = f.find("smallthinker.embedding_length")
        width = hidden.value if hidden and isinstance(hidden.value, int) and 0 < hidden.value < 1000 else 32
        kind = self.random.choice([0, 1, 2, 8, 24])
        rank = self.random.choice([1, 32, 64, width, width + 32, 16384])
        shape = self.random.choice([[32], [64], [290], [rank * (width + 260)], [32, 260], [1, 1, 1, 1]])
        if kind in (2, 8):
            shape[0] = shape[0] // 32 * 32 or 32
        name = self.random.choice(["lm_head_profiler.weight", "lm_head_profiler.weight", "output.weight", "rope_freqs.weight",
                                   "blk.0.ffn_gate.weight", "blk.0.attn_q.bias", "blk.0.attn_q_norm.weight", "x"])
        size = gguf.tensor_bytes(shape, kind)
        if size > 1 << 24:
            return "nothing"
        f.tensors.append(gguf.Tensor(name, shape, kind, bytes(size) if size > 1 << 20 else self.random.randbytes(size)))
        return f"new {name} {shape} of type {kind}"

    def odd_header(self, f):
        what = self.random.randrange(4)
        if what == 0:
            f.version = self.random.choice([0, 1, 2, 4, 0x03000000, 2**32 - 1])
        elif what == 1:
            f.entry_count = self.random.choice(INTEGERS)
        elif what == 2:
            f.tensor_count = self.random.choice(INTEGERS)
        else:
            f.magic = self.random.choice([b"GGUG", b"\0\0\0\0", b"gguf", b"PK\3\4"])
        return f"header: {f.magic} {f.version} {f.entry_count} {f.tensor_count}"

    def odd_weights(self, f):
        t = self.random.choice(f.tensors)
        data = bytearray(t.data)
        size = gguf.BLOCKS.get(t.type, (1, 1))[1]
        words = {0: (b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff", b"\xff\xff\x7f\x7f"),
                 30: (b"\xc0\x7f", b"\x80\x7f", b"\x80\xff", b"\x7f\x7f")}
        word = self.random.choice(words.get(t.type, (b"\x01\x7e", b"\x00\x7c", b"\x00\xfc", b"\xff\x7b")))
        for _ in range(min(self.random.choice([1, 1, 3, 100000]), len(data))):
            at = self.random.randrange(len(data) // size or 1) * size
            data[at:at + len(word)] = word
        t.data = bytes(data[:len(t.data)])
        return f"{t.name}: {word.hex()}"

    def other_weights(self, f):
        t = self.random.choice(f.tensors)
        t.data = self.random.choice([bytes(len(t.data)), self.random.randbytes(len(t.data))])
        return f"{t.name}: zeros or anything"

    def split(self, f):
        f.set("split.count", self.random.choice([U16, U32, U64, I32]),
              self.random.choice([0, 1, 2, 3, 999, 1000, 2**31, 65535]))
        f.set("split.no", U16, self.random.choice([0, 1, 5]))
        return "split"

    CHANGES = [(odd_scalar, 1), (odd_number, 2), (other_type, 1), (odd_array, 2), (odd_token, 3), (key_twice, 1), (no_key, 1),
               (odd_key, 1), (new_key, 2), (odd_alignment, 1), (odd_shape, 2), (other_tensor_type, 2), (odd_offset, 1),
               (odd_name, 1), (no_tensor, 1), (new_tensor, 2), (odd_header, 1), (odd_weights, 3), (other_weights, 2),
               (split, 1)]

    def odd_bytes(self, data):
        data = bytearray(data)
        within = min(len(data), self.random.choice([64, 1000, 30000, len(data)]))
        at = self.random.randrange(within)
        what = self.random.randrange(5)
        if what == 0:
            del data[self.random.randrange(len(data)):]
        elif what == 1:
            for _ in range(self.random.choice([1, 2, 8])):
                data[self.random.randrange(within)] ^= 1 << self.random.randrange(8)
        elif what == 2:
            data[at:at + 8] = struct.pack("<Q", self.random.choice(INTEGERS) % 2**64)
        elif what == 3:
            del data[at:at + self.random.choice([1, 4, 8])]
        else:
            data[at:at] = self.random.randbytes(self.random.choice([1, 4, 8]))
        return bytes(data)

    def commands(self, model):
        tight = self.judge.memory(64)
        return [
            (30, ["run", "-m", model, "-p", "hi you", "-n", 2, "-t", 2], None),
            (8, ["run", "-m", model, "-p", "hi you", "-n", 4, "-t", 2, "--memory", tight], None),
            (2, ["run", "-m", model, "-p", "abc def", "-n", 2, "--cpu", "scalar", "-t", 1], None),
            (1, ["run", "-m", model, "-p", "hi", "-n", 3, "--lm-head", "check"], None),
            (3, ["inspect", model], None),
            (3, ["inspect", model, "--tensors", "--json"], None),
            (1, ["inspect", model, "--tensors"], None),
            (2, ["inspect", model, "--plan", "--memory", tight], None),
            (3, ["tokenize", "-m", model, "-p", "hello <|im_end|> w"], None),
            (1, ["detokenize", "-m", model, 1, 256, 5], None),
            (4, ["quantize", "--no-progress", model, "out", "Q4_0", 1], "out"),
            (4, ["bundle", model, "-o", "out", "--no-progress"], "out"),
            (2, ["strip", model, "-o", "out", "--no-progress"], "out"),
            (3, ["perplexity", "-m", model, "-f", "text.txt", "-c", 32, "-t", 2, "--no-progress"], None),
            (2, ["bench", "-m", model, "-p", 4, "-n", 2, "-r", 1, "--no-probe", "-t", 2], None),
            (2, ["logits", "-m", model, "-p", "hi", "-o", "out", "--all"], "out"),
            (2, ["verify", "-m", model, "-p", 12, "-t", "1,3", "--ubatch-size", "1,7"], None),
        ]

    @classmethod
    def changes_only(cls, random):
        """For change() alone: nothing is run."""
        mutants = cls.__new__(cls)
        mutants.random = random
        return mutants

    def change(self, file):
        """Does one to three things to a file; says what."""
        did = []
        changes, weights = zip(*self.CHANGES)
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            try:
                did.append(self.random.choices(changes, weights)[0](self, file))
            except (IndexError, AttributeError, TypeError):  # an earlier change took away what it needs
                continue
        return did

    def one(self):
        """Makes a mutant and runs a command on it: what was wrong with the file, the command, the outcome."""
        file = self.random.choice(self.bases).copy()
        did = self.change(file)
        data = gguf.dump(file)
        if self.random.random() < 0.12:
            data = self.odd_bytes(data)
            did.append("bytes")
        model = self.judge.path("mutant.gguf")
        model.write_bytes(data)
        commands = self.commands(model.name)
        _, command, output = self.random.choices(commands, [c[0] for c in commands])[0]
        # 2: the budget is too small for what the file claims to be; also a context or a thread's size may be.
        outcome = self.judge(*command, output=output, codes=(0, 1, 2))
        if outcome.code == 2 and "budget" not in outcome.error():
            outcome.findings.append("a usage error because of a file: " + outcome.error())
        return did, command, outcome

    def evidence(self):
        return [self.judge.path("mutant.gguf")]
