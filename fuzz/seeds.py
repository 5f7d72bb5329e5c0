#!/usr/bin/env python3
"""Writes the seed corpus: small files that the parsers accept, made by hand or cut from the shipped model.

usage: seeds.py FOLDER   one folder per fuzz target below FOLDER
"""
import collections
import io
import json
import pathlib
import pickle
import random
import struct
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "models" / "tiny-smallthinker"
sys.path.insert(0, str(ROOT / "tests" / "mutants"))
import tiny_gguf  # noqa: E402
from of_gguf import GgufMutants  # noqa: E402


def safetensors_file(header: dict, data: bytes) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def safetensors():
    one = {"x": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    yield "one", safetensors_file(one, bytes(16))
    yield "none", safetensors_file({}, b"")
    types = {"__metadata__": {"format": "pt"},
             "a": {"dtype": "BF16", "shape": [2, 0], "data_offsets": [0, 0]},
             "b": {"dtype": "F16", "shape": [], "data_offsets": [0, 2]},
             "c": {"dtype": "F32", "shape": [1, 1, 3], "data_offsets": [2, 14]}}
    yield "types", safetensors_file(types, bytes(14))
    # The names of the shipped model with tensors of two values; alone, it is the header only.
    shipped = (MODELS / "model" / "model.safetensors").read_bytes()
    length = struct.unpack_from("<Q", shipped)[0]
    names = [name for name in json.loads(shipped[8:8 + length]) if name != "__metadata__"][:16]
    header = {name: {"dtype": "BF16", "shape": [2, 1], "data_offsets": [4 * i, 4 * i + 4]}
              for i, name in enumerate(names)}
    yield "shipped", safetensors_file(header, bytes(4 * len(names)))
    yield "shipped-header", json.dumps(header).encode()


def pickled_tensor(name: bytes, storage: bytes, count: int, shape: bytes) -> bytes:
    def text(value: bytes) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value

    return (text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text(b"storage") + b"ctorch\n" + storage + b"\n" +
            text(b"0") + text(b"cpu") + b"K" + bytes([count]) + b"tQK\0" + shape + b"\x89ccollections\nOrderedDict\n)RtR")


def torch_pt():
    pickles = {
        "one": b"\x80\x02}" + pickled_tensor(b"w", b"FloatStorage", 6, b"K\2K\3\x86K\3K\1\x86") + b"s.",
        "two": b"\x80\x02}(" + pickled_tensor(b"a", b"HalfStorage", 8, b"K\x08\x85K\1\x85") +
               pickled_tensor(b"b", b"BFloat16Storage", 8, b"))") + b"u.",
        "ordered": b"\x80\x02ccollections\nOrderedDict\n)R(" +
                   pickled_tensor(b"w", b"FloatStorage", 1, b"K\1\x85K\1\x85") + b"u}X\1\0\0\0mNsb.",
        "protocol4": pickle.dumps(collections.OrderedDict(), protocol=4),
        "empty": b"\x80\x02}.",
    }
    with zipfile.ZipFile(MODELS / "model" / "model_lm_head.pt") as shipped:
        pickles["shipped"] = shipped.read("model_lm_head/data.pkl")
    for name, program in pickles.items():
        yield name + "-pickle", program
        for zip64 in (False, True):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w") as archive:
                for entry, data in (("data.pkl", program), ("data/0", bytes(64)), ("version", b"3\n")):
                    with archive.open("m/" + entry, "w", force_zip64=zip64) as out:
                        out.write(data)
            yield name + ("-zip64" if zip64 else ""), file.getvalue()


def gguf_text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def gguf():
    scalars = [b"\1", b"\2", b"\3\0", b"\4\0", b"\5\0\0\0", b"\6\0\0\0", struct.pack("<f", 0.5), b"\1",
               gguf_text(b"text"), struct.pack("<IQ3i", 5, 3, -1, 0, 1), bytes(8), bytes(8), bytes(8)]
    values = [gguf_text(b"key.%d" % kind) + struct.pack("<I", kind) + value for kind, value in enumerate(scalars)]
    values.append(gguf_text(b"tokens") + struct.pack("<IIQ", 9, 8, 2) + gguf_text(b"a") + gguf_text(b"bc"))
    tensors = [gguf_text(b"w") + struct.pack("<I2QIQ", 2, 4, 2, 0, 0),
               gguf_text(b"q") + struct.pack("<I1QIQ", 1, 32, 2, 32)]
    for version in (2, 3):
        for n_values, n_tensors in ((0, 0), (len(values), 0), (0, 2), (len(values), 2)):
            file = b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_values)
            file += b"".join(values[:n_values]) + b"".join(tensors[:n_tensors])
            file += bytes(-len(file) % 32) + (bytes(64) if n_tensors else b"")
            yield f"v{version}-{n_values}-{n_tensors}", file


def config_json():
    config = json.loads((MODELS / "model" / "config.json").read_text())
    yield "tiny", json.dumps(config).encode()
    config["rope_parameters"] = {"rope_type": "linear", "rope_theta": config.pop("rope_theta"), "factor": 4}
    config["initializer_range"] = float("nan")
    yield "rope-parameters", json.dumps(config).encode()
    for micro in sorted(MODELS.parent.glob("micro-*")):
        yield micro.name, json.dumps(json.loads((micro / "config.json").read_text())).encode()


def tokenizer_json():
    whole = json.loads((MODELS / "model" / "tokenizer.json").read_text(encoding="utf-8"))
    for size in (256, 280):
        small = json.loads(json.dumps(whole))
        vocab = {text: i for text, i in whole["model"]["vocab"].items() if i < size}
        small["model"]["vocab"] = vocab
        small["model"]["merges"] = [m for m in whole["model"]["merges"] if m.replace(" ", "") in vocab]
        for i, token in enumerate(small["added_tokens"]):
            token["id"] = size + i
        yield str(size), json.dumps(small).encode()
        small["model"]["merges"] = [m.split(" ") for m in small["model"]["merges"]]
        small["added_tokens"] = []
        yield f"{size}-pairs", json.dumps(small, ensure_ascii=False).encode()
    yield "pieces", (MODELS.parent / "micro-gemma3n" / "tokenizer.json").read_bytes()


def small_templates():
    return json.loads((ROOT / "tests" / "data" / "chat" / "jinja-micro.json").read_text())


def jinja_parse():
    for i, case in enumerate(small_templates()):
        yield f"small-{i}", case["template"].encode()


def jinja_render():
    context = {"messages": [{"role": "user", "content": "Gr\u00fc\u00dfe <|im_end|>"},
                            {"role": "assistant", "content": "\u00df\n", "tool_calls": [{"a": [1.5, None, True]}]}]}
    chat = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ m|tojson }}<|im_end|>\n{% endfor %}"
    yield "chat", chat.encode() + b"\0" + json.dumps(context).encode()
    for i, case in enumerate(small_templates()):
        yield f"small-{i}", case["template"].encode() + b"\0" + json.dumps({**context, **case["context"]}).encode()


def routing_trace():
    header = b"STROUTE1" + struct.pack("<4I2Q", 2, 3, 2, 0, 100, 200)
    yield "token", header + struct.pack("<I4H", 1, 0, 1, 2, 0)
    yield "passes", header + struct.pack("<I8H", 2, 0, 1, 2, 0, 1, 2, 0, 2) + struct.pack("<I4H", 1, 2, 1, 0, 2) * 3
    yield "hot-set", b"smallthinker-hot-set 1\nlayers 2 experts 3\n5000 1 10000\n0 1234 2500\n"


def saved_logits():
    header = b"_logits_" + struct.pack("<3i10i", 5, 3, 2, *[0, 1, 2] * 3, 0)
    yield "two-windows", header + struct.pack("<2f4H", 1e-4, -3, 0, 1, 65535, 0) * 4
    yield "even", b"_logits_" + struct.pack("<3i3i", 3, 2, 1, 0, 1, 0) + struct.pack("<2f2H", 0, -0.7, 0, 0)


def imatrix():
    value = gguf_text(b"general.type") + struct.pack("<I", 8) + gguf_text(b"imatrix")
    tensors = [gguf_text(b"w.in_sum2") + struct.pack("<I2QIQ", 2, 4, 2, 0, 0),
               gguf_text(b"w.counts") + struct.pack("<I2QIQ", 2, 1, 2, 0, 32)]
    file = b"GGUF" + struct.pack("<IQQ", 3, 2, 1) + value + b"".join(tensors)
    file += bytes(-len(file) % 32)
    yield "experts", file + struct.pack("<8f2f", 1, 2, 3, 4, 0, 0, 0, 0, 2, 0) + bytes(24)


def model_output():
    cases = json.loads((ROOT / "tests" / "data" / "chat" / "parse.json").read_text())
    for case in cases:
        options = (case["start"] == "think") | (case["tools"] is None) << 1 | case["cut"] << 2
        yield case["id"], bytes([options, 0]) + case["output"].encode()


def engine():
    """Tiny models, and every way in which the tests damage them."""
    small = {"layers": 1, "hidden": 8, "heads": 2, "kv_heads": 1, "head_dim": 4, "experts": 2, "used": 1, "ffn": 4}
    quantised = {**small, "hidden": 32, "head_dim": 32, "heads": 1, "ffn": 32}
    bases = [tiny_gguf.model(**small), tiny_gguf.model(**small, tied=False, transposed=False, window=2),
             tiny_gguf.model(**quantised, kind=tiny_gguf.TYPE_Q4_0, transposed=False),
             tiny_gguf.model(**quantised, kind=tiny_gguf.TYPE_Q8_0), tiny_gguf.model(**small, kind=tiny_gguf.TYPE_F16)]
    for i, base in enumerate(bases):
        yield f"good-{i}", tiny_gguf.dump(base)
    mutants = GgufMutants.changes_only(random.Random(1))
    for i in range(400):
        file = bases[i % len(bases)].copy()
        mutants.change(file)
        data = tiny_gguf.dump(file)
        if len(data) <= 1 << 16:  # longer ones make a slow fuzzer
            yield f"damaged-{i}", data


def convert():
    """A folder of files: each its number, its length and its bytes."""
    def folder(*files):
        return b"".join(bytes([number]) + struct.pack("<I", len(data)) + data for number, data in files)

    tokenizer = next(tokenizer_json())[1]
    vocab = 256 + len(json.loads(tokenizer)["added_tokens"])
    D, H, K, d, E, F, L = 32, 2, 1, 16, 2, 32, 2
    config = {"architectures": ["SmallThinkerForCausalLM"], "model_type": "smallthinker", "hidden_size": D,
              "num_hidden_layers": L, "num_attention_heads": H, "num_key_value_heads": K, "head_dim": d,
              "moe_ffn_hidden_size": F, "moe_num_primary_experts": E, "moe_num_active_primary_experts": 1,
              "norm_topk_prob": True, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": None, "rope_layout": [1] * L,
              "sliding_window_size": 4, "sliding_window_layout": [0, 1], "tie_word_embeddings": True,
              "max_position_embeddings": 64, "vocab_size": vocab, "eos_token_id": 256}
    shapes = {"model.embed_tokens.weight": [vocab, D], "model.norm.weight": [D]}
    for i in range(L):
        layer = f"model.layers.{i}."
        shapes |= {layer + "input_layernorm.weight": [D], layer + "post_attention_layernorm.weight": [D],
                   layer + "self_attn.q_proj.weight": [H * d, D], layer + "self_attn.k_proj.weight": [K * d, D],
                   layer + "self_attn.v_proj.weight": [K * d, D], layer + "self_attn.o_proj.weight": [D, H * d],
                   layer + "block_sparse_moe.primary_router.weight": [E, D]}
        for e in range(E):
            expert = f"{layer}block_sparse_moe.experts.{e}."
            shapes |= {expert + "gate.weight": [F, D], expert + "up.weight": [F, D], expert + "down.weight": [D, F]}
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    weights = safetensors_file(header, random.Random(2).randbytes(at // 2).translate(bytes(b & 63 for b in range(256))) * 2)
    generation = json.dumps({"bos_token_id": 256, "eos_token_id": [256]}).encode()
    softmax = json.dumps({**config, "moe_primary_router_apply_softmax": True, "tie_word_embeddings": False}).encode()
    config = json.dumps(config).encode()
    yield "good", folder((0, config), (1, tokenizer), (2, weights), (4, generation))
    yield "softmax", folder((0, softmax), (1, tokenizer), (2, weights))
    yield "no-weights", folder((0, config), (1, tokenizer))
    for name, program in torch_pt():
        yield "predictor-" + name, folder((0, config), (1, tokenizer), (2, weights), (5, program))


def hub():
    commit, sha256 = "0" * 40, "0" * 64
    yield "refs", json.dumps({"branches": [{"name": "main", "targetCommit": commit}]}).encode()
    large = {"type": "file", "size": 9, "oid": commit, "lfs": {"oid": sha256, "size": 9, "pointerSize": 135}}
    small = {"type": "file", "size": 9, "oid": commit}
    names = ["a-Q4_K_M.gguf", "b/a-Q8_0-00001-of-00002.gguf", "b/a-Q8_0-00002-of-00002.gguf", "model.safetensors"]
    tree = [{**large, "path": name} for name in names] + [{**small, "path": "config.json"}]
    yield "tree", json.dumps(tree).encode()
    for i, text in enumerate(("Content-Range: bytes 1-2/3\r\n", "Link: <https://a/b?c>; rel=\"next\"\r\n",
                              "https://a.b:1/c", "ann/a-GGUF:Q4_0")):
        yield f"text-{i}", text.encode()


def session_load():
    header = {"model": "m", "fingerprint": "f", "vocabulary": "v", "template": "t", "kernels": "k", "cache_type": "i8",
              "kv_heads": 1, "head_dim": 2, "vocab_size": 10, "windows": [{"window": 0, "layers": 1}, {"window": 5, "layers": 1}]}

    def record(kind, payload):
        return struct.pack("<BH", kind, len(payload)) + payload

    def tile(group, number, end):
        return record(3, struct.pack("<Iqq", group, number, end) + bytes(128 * (8 + 2 + 16)))

    def sealed(*records):
        text = json.dumps(header).encode()
        return b"\1" + struct.pack("<H", len(text)) + text + b"".join(records)

    said = record(1, b'{"role":"user","content":"a"}')
    called = record(1, b'{"role":"assistant","content":"","reasoning_content":"b","tool_calls":[{"id":"c","type":"function",'
                       b'"function":{"name":"d","arguments":"{}"}}]}')
    tokens = record(2, struct.pack("<q130i", 0, *[7] * 130))
    sampler, settings = record(4, struct.pack("<IIQ", 7, 0, 22)), record(5, b"{}")
    yield "text", sealed(said, called, sampler, settings, record(7, struct.pack("<Qqq", 1, 2, 0)))
    turn = sealed(said, tokens, tile(0, 0, 128), tile(0, 1, 130), tile(1, 0, 128), tile(1, 1, 130),
                  record(7, struct.pack("<Qqqqq", 1, 1, 130, 0, 0)))
    yield "turn", turn
    yield "rewind", turn + record(6, struct.pack("<qq", 0, 129)) + record(7, struct.pack("<Qqqqq", 2, 0, 129, 0, 0))
    yield "empty", sealed(record(7, struct.pack("<Qqq", 1, 0, 0)))
    yield "hot", turn + record(8, b"smallthinker-hot-set 1\nlayers 1 experts 2\n5000 1\n")
    yield "file", b"\0ST-CHAT\0" + struct.pack("<II", 1, 2) + b"{}" + bytes(8)


def main() -> None:
    for target in (gguf, safetensors, torch_pt, config_json, tokenizer_json, jinja_parse, jinja_render, routing_trace,
                   saved_logits, imatrix, hub, model_output,
                   session_load, engine, convert):
        folder = pathlib.Path(sys.argv[1]) / target.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in target():
            (folder / f"seed-{name}").write_bytes(data)


if __name__ == "__main__":
    main()
