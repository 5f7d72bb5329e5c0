#!/usr/bin/env python3
"""The released models' shapes without their weights: makes sparse checkpoints (headers are real, data are
holes) of the 4B and the 21B, lets the converter plan them, and compares with the published counts and
sizes. Also converts a model of the 21B's widths for real, to see that memory stays bounded."""
import argparse
import json
import pathlib
import re
import resource
import struct
import subprocess
import sys
import tempfile

V, F, HEAD = 151936, 768, 128
MODELS = {
    "4b": dict(layers=32, hidden=1536, heads=12, kv=2, experts=32, used=4, context=32768, tied=True, shards=2,
               layout=[0] * 32, rope=[1] * 32, softmax=None, model_type="smallthinker"),
    "21b": dict(layers=52, hidden=2560, heads=28, kv=4, experts=64, used=6, context=16384, tied=False, shards=9,
                layout=[0, 1, 1, 1] * 13, rope=[0, 1, 1, 1] * 13, softmax=True, model_type=None),
}
# Tensor counts and bytes of the pure Q4_0 files with predictor (rank 128), and parts of them.
EXPECTED = {"4b": dict(tensors=323, bytes=2_286_535_680, predictor=19_644_416, experts=2_038_431_744),
            "21b": dict(tensors=524, bytes=12_138_775_552, predictor=19_775_488, experts=11_041_505_280)}
failures = 0
checks = 0


def check(got, want, what):
    global failures, checks
    checks += 1
    if got != want:
        failures += 1
        print(f"FAILED: {what}: {got}, want {want}")


def tensors_of(m):
    """HF names and shapes [out, in] of every tensor, in checkpoint order."""
    D, H, K = m["hidden"], m["heads"] * HEAD, m["kv"] * HEAD
    yield "model.embed_tokens.weight", [V, D]
    for l in range(m["layers"]):
        p = f"model.layers.{l}."
        yield p + "input_layernorm.weight", [D]
        yield p + "post_attention_layernorm.weight", [D]
        yield p + "self_attn.q_proj.weight", [H, D]
        yield p + "self_attn.k_proj.weight", [K, D]
        yield p + "self_attn.v_proj.weight", [K, D]
        yield p + "self_attn.o_proj.weight", [D, H]
        yield p + "block_sparse_moe.primary_router.weight", [m["experts"], D]
        for e in range(m["experts"]):
            q = f"{p}block_sparse_moe.experts.{e}."
            yield q + "gate.weight", [F, D]
            yield q + "up.weight", [F, D]
            yield q + "down.weight", [D, F]
    yield "model.norm.weight", [D]
    yield "lm_head.weight", [V, D]  # the 4B stores its tied head too


def write_safetensors(path, tensors, dtype="BF16", size=2):
    """Real header, data a hole in the file."""
    header, at = {}, 0
    for name, shape in tensors:
        count = size
        for n in shape:
            count *= n
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + count]}
        at += count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)


def write_vocabulary(folder, source):
    """The shipped tokenizer serves: what is counted here does not depend on it."""
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (folder / name).write_bytes((source / name).read_bytes())


def write_checkpoint(folder, name, m, source):
    config = {"architectures": ["SmallThinkerForCausalLM"], "hidden_size": m["hidden"], "num_hidden_layers": m["layers"],
              "num_attention_heads": m["heads"], "num_key_value_heads": m["kv"], "head_dim": HEAD,
              "moe_ffn_hidden_size": F, "moe_num_primary_experts": m["experts"],
              "moe_num_active_primary_experts": m["used"], "norm_topk_prob": True, "rms_norm_eps": 1e-6,
              "rope_theta": 1500000, "rope_scaling": None, "rope_layout": m["rope"],
              "sliding_window_size": 4096, "sliding_window_layout": m["layout"], "tie_word_embeddings": m["tied"],
              "max_position_embeddings": m["context"], "vocab_size": V, "model_name": f"smallthinker_{name}_instruct",
              "bos_token_id": 4077, "eos_token_id": [4077, 4079], "max_length": None, "temperature": None}
    if m["softmax"] is not None:
        config["moe_primary_router_apply_softmax"] = m["softmax"]
    if m["model_type"]:
        config["model_type"] = m["model_type"]
    (folder / "config.json").write_text(json.dumps(config))
    write_vocabulary(folder, source)
    tensors = list(tensors_of(m))
    per_shard = -(-len(tensors) // m["shards"])
    weight_map = {}
    for i in range(m["shards"]):
        shard = f"model-{i + 1:05}-of-{m['shards']:05}.safetensors"
        part = tensors[i * per_shard:(i + 1) * per_shard]
        write_safetensors(folder / shard, part)
        weight_map.update({tensor: shard for tensor, _ in part})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    write_safetensors(folder / "predictor.safetensors", [("fc1.weight", [128, m["hidden"]]), ("fc2.weight", [V, 128])],
                      "F32", 4)


def plan(binary, folder, *arguments):
    """(tensor lines, tensor bytes, summary) of a dry run."""
    result = subprocess.run([binary, "convert", folder, "--dry-run", "--lm-head-predictor",
                             folder / "predictor.safetensors", *arguments], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"convert --dry-run: {result.stderr}")
    lines = [re.match(r"(\S+)\s+(\S+)\s+\[([\d, ]+)\]", line).groups() for line in result.stdout.splitlines()]
    summary = result.stderr.splitlines()[-1]
    return lines, int(re.search(r"(\d+) tensor bytes", summary)[1]), summary


def check_model(binary, folder, name, m, source):
    write_checkpoint(folder, name, m, source)
    want = EXPECTED[name]
    lines, tensor_bytes, summary = plan(binary, folder, "--outtype", "q4_0", "--transpose-down", "all")
    print(f"{name}: {summary}")
    check(len(lines), want["tensors"], f"{name}: tensors")
    check(tensor_bytes, want["bytes"], f"{name}: tensor bytes")
    shapes = {tensor: (kind, [int(n) for n in ne.split(",")]) for tensor, kind, ne in lines}
    D, E = m["hidden"], m["experts"]
    check(shapes["lm_head_profiler.weight"], ("Q4_0", [want["predictor"]]), f"{name}: predictor")
    check(shapes["blk.0.ffn_down_exps.weight"], ("Q4_0", [D, F, E]), f"{name}: transposed down")
    check(shapes["blk.0.ffn_gate_inp.weight"], ("F32", [D, E]), f"{name}: router")
    check(shapes["blk.0.attn_output.weight"], ("Q4_0", [m["heads"] * HEAD, D]), f"{name}: attn_output")
    experts = sum(ne[0] // 32 * 18 * ne[1] * ne[2] for tensor, (_, ne) in shapes.items() if "_exps" in tensor)
    check(experts, want["experts"], f"{name}: expert bytes")
    check(experts // (3 * m["layers"] * E), D // 32 * 18 * F, f"{name}: bytes of one expert matrix")
    check("output.weight" in shapes, not m["tied"], f"{name}: output.weight")
    lines, _, _ = plan(binary, folder, "--outtype", "f16")
    shapes = {tensor: (kind, ne) for tensor, kind, ne in lines}
    check(shapes["blk.0.ffn_down_exps.weight"], ("F16", f"{F}, {D}, {E}"), f"{name}: upstream down")
    check(shapes["lm_head_profiler.weight"][0], "F32", f"{name}: predictor in F16 files")


def check_memory(binary, folder, source):
    """Two layers of the 21B's widths with all its experts, 3.1 GB of BF16: peak memory far below that."""
    m = dict(MODELS["21b"], layers=2, layout=[0, 1], rope=[0, 1], shards=1)
    write_checkpoint(folder, "two-layers", m, source)
    out = folder / "out.gguf"
    code = subprocess.run([binary, "convert", folder, "--outfile", out, "--outtype", "q4_0", "--transpose-down", "all",
                           "--no-progress"], stderr=subprocess.DEVNULL).returncode
    check(code, 0, "conversion of two layers")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"converting {sum(f.stat().st_size for f in folder.glob('model-*')) / 1e9:.1f} GB: "
          f"peak memory {peak / 1024:.0f} MiB")
    check(peak < 1024 * 1024, True, f"peak memory {peak} KiB below 1 GiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--models", required=True, type=pathlib.Path)
    args = parser.parse_args()
    for name, m in MODELS.items():
        with tempfile.TemporaryDirectory(prefix="st-shapes-") as folder:
            check_model(args.binary, pathlib.Path(folder), name, m, args.models / "model")
    with tempfile.TemporaryDirectory(prefix="st-shapes-") as folder:
        check_memory(args.binary, pathlib.Path(folder), args.models / "model")
    print(f"{checks - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
