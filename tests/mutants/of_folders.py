"""Hugging Face folders with something wrong in one of their files, given to convert."""
import copy
import io
import json
import math
import shutil
import struct
import zipfile

NUMBERS = [0, -1, 1, 2**31, 2**31 - 1, 2**32, 2**63, 2**64, -2**63, 1e308, 1.5, -0.0, 2**24, 2**24 - 1, 4095, 4096, 4097,
           1e-320, math.nan, math.inf, -math.inf]
JSON_PIECES = [b"\0", b"\xff\xfe", b"[", b"{", b'"', b",", b"1e9999", b"-", b"/*x*/", b"\xef\xbb\xbf", b"\\u0000", b"NaN"]
WHOLE_FILES = [b"", b"null", b"[]", b"{}", b"1", b'"x"', b"[" * 100000, b'{"a":' * 100000, b"[" * 65 + b"]" * 65,
               b"\xef\xbb\xbf{}", b" " * 1000, b"\0" * 64, b"-", b"NaN", b'{"a":1}{"b":2}', b"<!DOCTYPE html><html></html>",
               b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n", b"\x1f\x8b\x08\0\0\0\0\0\0\3",
               b"PK\3\4" + bytes(60), b'{"a":' + b"1" * 100000 + b"}"]
OTHERS = ["micro-qwen3", "micro-qwen3moe-odd", "micro-gemma3n-odd"]  # beside the tiny model
NOT_READ = {"golden.json", "gguf-expected.json"}
CONFIG_KEYS = ["rope_scaling", "rope_parameters", "hidden_act", "attention_bias", "partial_rotary_factor", "quantization_config",
               "routed_scaling_factor", "clip_qkv", "num_key_value_heads", "unheard_of"]
OPCODES = [b"\x80\x02", b"(", b"t", b"R", b"b", b"u", b"s", b"}", b"]", b")", b"a", b"e", b"Q", b"q\x00", b"h\x00",
           b"r\xff\xff\xff\xff", b"j\xff\xff\xff\xff", b"\x8a\x10" + b"\xff" * 16, b"\x8b\xff\xff\xff\x7f", b"cos\nsystem\n",
           b"X\xff\xff\xff\xff", b"X\xff\xff\xff\x7f", b"\x8c\xff", b"\x95" + b"\xff" * 8, b"0", b"1", b"2", b".", b"K\x01",
           b"M\x01\x00", b"G" + b"\xff" * 8, b"\x85", b"\x86", b"\x87", b"N", b"\x93", b"\x94",
           b"ccollections\nOrderedDict\n", b"I1\n", b"L1L\n", b"P1\n", b"\x82\x01", b"i", b"o", b"\x81"]


def paths_of(value, path=()):
    """Every place in a JSON value; of long arrays and vocabularies the beginning."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for i, (key, inner) in enumerate(items):
        if i >= 30:
            break
        yield from paths_of(inner, (*path, key))


def safetensors_parts(data):
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]


def safetensors_file(header, data, size=None):
    text = json.dumps(header).encode()
    return struct.pack("<Q", (len(text) if size is None else size) % 2**64) + text + data


def predictor_pickle(rank, hidden, vocab):
    """What torch.save writes for {"fc1.weight": (rank, hidden), "fc2.weight": (vocab, rank)}."""
    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value

    def number(n):
        return b"J" + struct.pack("<i", n)

    def tensor(name, key, shape):
        rows, columns = shape
        return (text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text(b"storage") + b"ctorch\nFloatStorage\n" +
                text(key) + text(b"cpu") + number(rows * columns) + b"tQ" + number(0) + b"(" + number(rows) +
                number(columns) + b"t(" + number(columns) + number(1) + b"t\x89ccollections\nOrderedDict\n)RtR")

    return (b"\x80\x02}(" + tensor(b"fc1.weight", b"0", (rank, hidden)) +
            tensor(b"fc2.weight", b"1", (vocab, rank)) + b"u.")


class FolderMutants:
    name = "folders"

    def __init__(self, random, judge, models):
        self.random, self.judge = random, judge
        folders = [models / "variants" / "micro-odd-sharded", *(models.parent / name for name in OTHERS)]
        self.sources = [{p.name: p.read_bytes() for p in folder.iterdir() if p.name not in NOT_READ} for folder in folders]
        self.choose(0)

    def choose(self, number):
        """Takes this folder as the one to damage."""
        self.files = self.sources[number]
        self.json = {name: json.loads(data) for name, data in self.files.items() if name.endswith(".json")}
        config = self.json["config.json"]
        config = config.get("text_config", config)
        self.hidden, self.vocab, self.rank = config["hidden_size"], config["vocab_size"], 8

    def odd_value(self):
        return self.random.choice([None, True, False, "", "x", "\0", "\x1b[2J", [], {}, [[]], {"a": 1}, "y" * 100000, *NUMBERS])

    def changed_json(self, value):
        """A copy with one place removed, renamed, repeated or replaced."""
        value = copy.deepcopy(value)
        path = self.random.choice([p for p in paths_of(value) if p])
        inner = value
        for key in path[:-1]:
            inner = inner[key]
        last, what = path[-1], self.random.randrange(5)
        if what == 0:
            inner.pop(last)
        elif what == 1 and isinstance(inner, dict):
            inner[self.random.choice(["\0", "\x1b]0;x\x07", "a" * 100000, f"{last} "])] = inner.pop(last)
        elif what == 2 and isinstance(inner[last], list) and inner[last]:
            inner[last] = inner[last] * self.random.choice([0, 2, 50]) if len(inner[last]) < 50 else inner[last][:-1]
        else:
            inner[last] = self.odd_value()
        return value, f"{path} {what}"

    def odd_config(self, files):
        config = copy.deepcopy(self.json["config.json"])
        if self.random.random() < 0.6:
            key = self.random.choice([*config, *CONFIG_KEYS])
            config[key] = self.random.choice([*NUMBERS, self.odd_value(), {"rope_type": "yarn", "factor": 2.0},
                                              {"rope_theta": 10000.0, "rope_type": "default"}])
            did = f"config: {key} = {str(config[key])[:30]}"
        else:
            config, did = self.changed_json(config)
        files["config.json"] = self.written(config)
        return did

    def odd_json(self, files):
        name = self.random.choice([n for n in files if n.endswith(".json") and n != "config.json"])
        value, did = self.changed_json(self.json[name])
        files[name] = self.written(value)
        return f"{name}: {did}"

    def odd_vocabulary(self, files):
        whole = dict(self.json["tokenizer.json"])
        model = whole["model"] = dict(whole["model"], vocab=dict(whole["model"]["vocab"]), merges=list(whole["model"]["merges"]))
        whole["added_tokens"] = copy.deepcopy(whole["added_tokens"])
        vocab, merges, what = model["vocab"], model["merges"], self.random.randrange(8)
        some = self.random.choice(list(vocab))
        if what == 0:
            vocab[some] = self.random.choice(NUMBERS)
        elif what == 1:
            del vocab[some]
        elif what == 2:
            vocab[self.random.choice(["", "\0", "\x1b[2J", "zz" * 1000])] = self.random.choice([5000, 4096, 4095, 2**24 - 1, 0, -1])
        elif what == 3:
            merges.insert(0, self.random.choice(["a", "a b c", "zz yy", "", [], ["a"], ["a", "b", "c"], ["a", 1], 1, None,
                                                 ["a b", "c"], " ", " a"]))
        elif what == 4:
            merges += merges[:1]
        elif what == 5:
            whole["added_tokens"].append({"id": self.random.choice([0, 4076, 4077, 2**31, -1, 1.5, "x", 4095, 4096]),
                                          "content": self.random.choice(["<|x|>", "", " ", "a", "<|endoftext|>", "x" * 100000]),
                                          "special": self.random.choice([True, False, 1, None])})
        elif what == 6:
            vocab.clear()
        else:
            model["vocab"] = {k: self.random.choice([5, v]) for k, v in vocab.items()}
        files["tokenizer.json"] = self.written(whole)
        return f"vocabulary: {what}"

    def odd_index(self, files):
        if "model.safetensors.index.json" not in files:
            return self.odd_shard(files)
        index = copy.deepcopy(self.json["model.safetensors.index.json"])
        place = self.random.choice(list(index["weight_map"]))
        index["weight_map"][place] = self.random.choice(
            ["../x", "/etc/passwd", "", "..", "a/b", "\0", "model-00001-of-00002.safetensors", "nothere", "\x1b[2J", 5])
        files["model.safetensors.index.json"] = self.written(index)
        return f"index: {index['weight_map'][place]!r}"

    def odd_shard(self, files):
        name = self.random.choice([n for n in files if n.endswith(".safetensors")])
        header, data = safetensors_parts(files[name])
        tensor = self.random.choice([n for n in header if n != "__metadata__"])
        place, size, what = header[tensor], None, self.random.randrange(9)
        begin, end = place["data_offsets"]
        if what == 0:
            place["dtype"] = self.random.choice(["F64", "I8", "BF17", "", "F32", "F16", "BOOL", "F8_E4M3", "\x1b[2J", None, 1])
        elif what == 1:
            place["shape"] = self.random.choice([[], [0], [2**32, 2**32], [2**63, 2], [-1], [1.5], ["a"], [*place["shape"], 1],
                                                 place["shape"][::-1], [2**64 - 1], None, 3, [1] * 100000, [[1]]])
        elif what == 2:
            place["data_offsets"] = self.random.choice([[0, 0], [16, 8], [0, 2**63], [2**64 - 1] * 2, [-1, 5], [0], [0, 1, 2],
                                                        None, "x", [begin, end + 2], [begin + 2, end]])
        elif what == 3:
            size = self.random.choice([0, 1, 5, 2**63, 2**64 - 1, 10**8, 10**8 + 1, 16 << 20, len(files[name])])
        elif what == 4:
            header[self.random.choice(["", "\0", "x", "\x1b[2J", tensor + "2", "model.layers.0.self_attn.q_proj.bias"])] = \
                header.pop(tensor)
        elif what == 5:
            header["__metadata__"] = self.random.choice([None, 1, {"a": 1}, {"a": {"b": 1}}, [], {"a": "b" * 1000}])
        elif what == 6:
            data = data[:-self.random.choice([1, 2, 100])] if self.random.random() < 0.5 else data + bytes(8)
        elif what == 7:
            place["extra"] = self.odd_value()
        else:
            data = bytearray(data)
            for _ in range(self.random.choice([1, 1000])):
                at = self.random.randrange(len(data) // 2) * 2
                data[at:at + 2] = self.random.choice([b"\xc0\x7f", b"\x80\x7f", b"\x80\xff", b"\x7f\x7f"])
        files[name] = safetensors_file(header, bytes(data), size)
        return f"{name}: {tensor} {what}"

    def odd_bytes(self, files):
        name = self.random.choice(list(files))
        data, what = bytearray(files[name]), self.random.randrange(6)
        at = self.random.randrange(len(data))
        if what == 0:
            del data[at:]
        elif what == 1:
            for _ in range(self.random.choice([1, 2, 5])):
                data[self.random.randrange(min(len(data), self.random.choice([50, 2000, len(data)])))] ^= \
                    1 << self.random.randrange(8)
        elif what == 2:
            data[at:at] = self.random.choice(JSON_PIECES)
        elif what == 3:
            data = self.random.choice(WHOLE_FILES)
        elif what == 4:
            data += self.random.choice([b"x", b"\0", b" ", b"{}"])
        else:
            del data[at:at + self.random.choice([1, 3, 20])]
        files[name] = bytes(data)
        return f"{name}: bytes {what}"

    def no_file(self, files):
        name = self.random.choice(list(files))
        del files[name]
        return f"no {name}"

    CHANGES = [(odd_config, 4), (odd_json, 3), (odd_vocabulary, 3), (odd_index, 1), (odd_shard, 4), (odd_bytes, 3), (no_file, 1)]

    def written(self, value):
        return json.dumps(value, ensure_ascii=self.random.random() < 0.5).encode("utf-8", "surrogatepass")

    def predictor(self):
        """A .pt of the right shape with its pickle, storage or zip broken."""
        program = bytearray(predictor_pickle(self.rank, self.hidden, self.vocab))
        first, second = bytes(4 * self.rank * self.hidden), bytes(4 * self.rank * self.vocab)
        what = self.random.randrange(8)
        if what == 0:
            for _ in range(self.random.choice([1, 2, 4])):
                at = self.random.randrange(len(program))
                program[at:at] = self.random.choice(OPCODES)
        elif what == 1:
            for _ in range(self.random.choice([1, 2])):
                program[self.random.randrange(len(program))] = self.random.randrange(256)
        elif what == 2:
            del program[self.random.randrange(len(program)):]
        elif what == 3:
            program = b"\x80\x02" + b"".join(self.random.choices(OPCODES, k=self.random.choice([5, 50, 5000]))) + b"."
        elif what == 4:
            program = b"\x80\x02" + b"(" * self.random.choice([10, 100000]) + b"t" * self.random.choice([5, 100000]) + b"."
        elif what == 5:
            first = first[:-self.random.choice([1, 4, 400])]
        elif what == 6:
            at = self.random.choice([i for i in range(len(program) - 5) if program[i:i + 1] == b"J"])
            program[at + 1:at + 5] = struct.pack("<i", self.random.choice([0, -1, 2**31 - 1, -2**31, 1, 7, 9, 2**16]))
        squeezed = zipfile.ZIP_DEFLATED if what == 7 and self.random.random() < 0.3 else zipfile.ZIP_STORED
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", squeezed) as archive:
            root = self.random.choice(["m", "m", "", "../x", "a/b", "\x1b[2J", "m" * 300]) if what == 7 else "m"
            for name, data in (("data.pkl", bytes(program)), ("data/0", first), ("data/1", second), ("version", b"3\n")):
                archive.writestr(f"{root}/{name}", data)
        data = bytearray(out.getvalue())
        if what == 7:
            at = self.random.randrange(data.rfind(b"PK\5\6") - 300, len(data) - 4)
            data[at:at + 4] = struct.pack("<I", self.random.choice([0, 1, 8, 2**31, 2**32 - 1]))
        return bytes(data), f"predictor: {what}"

    def one(self):
        self.choose(self.random.randrange(len(self.sources)))
        files, did = dict(self.files), []
        command = ["convert", "folder", "--outfile", "out", "--no-progress", "-t", 2]
        command += self.random.choice([[], ["--outtype", "q4_0"], ["--outtype", "q8_0", "--transpose-down", "all"],
                                       ["--outtype", "f32"], ["--outtype", "bf16"], ["--dry-run"]])
        if self.random.random() < 0.15:
            data, what = self.predictor()
            self.judge.path("predictor.pt").write_bytes(data)
            command += ["--lm-head-predictor", "predictor.pt"]
            did.append(what)
        else:
            changes, weights = zip(*self.CHANGES)
            did.append(self.random.choices(changes, weights)[0](self, files))
        folder = self.judge.path("folder")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        outcome = self.judge(*command, output="out")
        if outcome.code == 0 and "--dry-run" not in command and self.random.random() < 0.3:
            # What convert made of it, runs or is refused.
            outcome = self.judge("run", "-m", "out", "-p", "hi you", "-n", 2, "-t", 2)
            command = [*command, "&&", "run"]
        return did, command, outcome

    def evidence(self):
        return [self.judge.path("folder"), self.judge.path("predictor.pt")]
