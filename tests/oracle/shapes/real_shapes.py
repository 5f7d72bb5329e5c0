#!/usr/bin/env python3
"""The released models' shapes without their weights: makes sparse checkpoints (headers are real, data are
holes) of SmallThinker's 4B and 21B, of Qwen3's and of Gemma 3n's, lets the converter plan them, and compares
with the published counts and sizes. Also converts the experts of two layers of the 21B and the tables of
Gemma 3n for real, to see that memory stays bounded."""
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
# Qwen3: D, layers, H, K, F, experts, per token, and whether the head is tied; what a pure Q4_0 file has.
QWEN3 = {
    "qwen3-0.6b": (dict(hidden=1024, layers=28, heads=16, kv=8, ffn=3072, tied=True), dict(tensors=310, bytes=335_503_360)),
    "qwen3-1.7b": (dict(hidden=2048, layers=28, heads=16, kv=8, ffn=6144, tied=True), dict(tensors=310, bytes=968_249_344)),
    "qwen3-8b": (dict(hidden=4096, layers=36, heads=32, kv=8, ffn=12288, tied=False), dict(tensors=399, bytes=4_608_348_160)),
    "qwen3-30b-a3b": (dict(hidden=2048, layers=48, heads=32, kv=4, ffn=768, tied=False, experts=128, used=8),
                      dict(tensors=579, bytes=17_218_297_856)),
}
GEMMA3N = {
    "gemma3n-e2b": (dict(layers=30, ffn=8192, shared=10), dict(tensors=727, table=1_133_568_000)),
    "gemma3n-e4b": (dict(layers=35, ffn=16384, shared=15), dict(tensors=847, table=1_322_496_000)),
}
GEMMA_D, GEMMA_V, GEMMA_TABLE_ROWS, GEMMA_P, GEMMA_RANK, GEMMA_A = 2048, 262400, 262144, 256, 64, 4
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


def qwen3_tensors(m):
    """The same of a Qwen3, whose tied head is stored too."""
    D, H, K, W = m["hidden"], m["heads"] * HEAD, m["kv"] * HEAD, m["ffn"]
    yield "model.embed_tokens.weight", [V, D]
    for l in range(m["layers"]):
        p = f"model.layers.{l}."
        yield p + "input_layernorm.weight", [D]
        yield p + "post_attention_layernorm.weight", [D]
        for name, rows, cols in (("q", H, D), ("k", K, D), ("v", K, D), ("o", D, H)):
            yield f"{p}self_attn.{name}_proj.weight", [rows, cols]
        yield p + "self_attn.q_norm.weight", [HEAD]
        yield p + "self_attn.k_norm.weight", [HEAD]
        if "experts" in m:
            yield p + "mlp.gate.weight", [m["experts"], D]
        for mlp in [f"experts.{e}." for e in range(m["experts"])] if "experts" in m else [""]:
            for name, rows, cols in (("gate", W, D), ("up", W, D), ("down", D, W)):
                yield f"{p}mlp.{mlp}{name}_proj.weight", [rows, cols]
    yield "model.norm.weight", [D]
    yield "lm_head.weight", [V, D]


def gemma3n_tensors(m):
    """The same of a Gemma 3n as published: names with `model.language_model.`, and a tensor of vision."""
    D, W, P, A, R, L = GEMMA_D, m["ffn"], GEMMA_P, GEMMA_A, GEMMA_RANK, m["layers"]
    q = "model.language_model."
    yield q + "embed_tokens.weight", [GEMMA_V, D]
    yield q + "embed_tokens_per_layer.weight", [GEMMA_TABLE_ROWS, L * P]
    yield q + "per_layer_model_projection.weight", [L * P, D]
    yield q + "per_layer_projection_norm.weight", [P]
    yield q + "norm.weight", [D]
    for i in range(A - 1):
        yield f"{q}altup_projections.{i}.weight", [D, D]
        yield f"{q}altup_unembed_projections.{i}.weight", [D, D]
    matrices = {"self_attn.q_proj": [2048, D], "self_attn.k_proj": [512, D], "self_attn.v_proj": [512, D],
                "self_attn.o_proj": [D, 2048], "mlp.gate_proj": [W, D], "mlp.up_proj": [W, D], "mlp.down_proj": [D, W],
                "laurel.linear_left": [R, D], "laurel.linear_right": [D, R], "per_layer_input_gate": [P, D],
                "per_layer_projection": [D, P], "altup.correction_coefs": [A, A], "altup.prediction_coefs": [A * A, A],
                "altup.modality_router": [A, D], "self_attn.q_norm": [256], "self_attn.k_norm": [256]}
    norms = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
             "laurel.post_laurel_norm", "post_per_layer_input_norm", "altup.router_norm")
    for l in range(L):
        p = f"{q}layers.{l}."
        for name, shape in [*matrices.items(), *((norm, [D]) for norm in norms)]:
            yield f"{p}{name}.weight", shape
        yield p + "altup.correct_output_scale", [D]
    yield "model.vision_tower.timm_model.conv_stem.conv.weight", [64, 3, 3, 3]


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


def write_other(folder, config, tensors, source):
    """A checkpoint in one file."""
    (folder / "config.json").write_text(json.dumps(config))
    write_vocabulary(folder, source)
    write_safetensors(folder / "model.safetensors", tensors)


def qwen3_config(m):
    config = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": m["hidden"],
              "num_hidden_layers": m["layers"], "num_attention_heads": m["heads"], "num_key_value_heads": m["kv"],
              "head_dim": HEAD, "intermediate_size": m["ffn"], "hidden_act": "silu", "rms_norm_eps": 1e-6,
              "rope_theta": 1000000, "max_position_embeddings": 40960, "tie_word_embeddings": m["tied"], "vocab_size": V}
    if "experts" in m:
        config |= {"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "intermediate_size": 6144,
                   "moe_intermediate_size": m["ffn"], "num_experts": m["experts"], "num_experts_per_tok": m["used"],
                   "norm_topk_prob": True}
    return config


def gemma3n_config(m):
    return {"architectures": ["Gemma3nForConditionalGeneration"], "model_type": "gemma3n", "vision_config": {"hidden_size": 2048},
            "text_config": {
                "model_type": "gemma3n_text", "hidden_size": GEMMA_D, "num_hidden_layers": m["layers"],
                "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "intermediate_size": [m["ffn"]] * m["layers"],
                "hidden_size_per_layer_input": GEMMA_P, "vocab_size": GEMMA_V, "vocab_size_per_layer_input": GEMMA_TABLE_ROWS,
                "num_kv_shared_layers": m["shared"], "altup_num_inputs": GEMMA_A, "laurel_rank": GEMMA_RANK}}


def plan(binary, folder, *arguments):
    """(tensor lines, tensor bytes, summary) of a dry run."""
    result = subprocess.run([binary, "convert", folder, "--dry-run", *arguments], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"convert --dry-run: {result.stderr}")
    lines = [re.match(r"(\S+)\s+(\S+)\s+\[([\d, ]+)\]", line).groups() for line in result.stdout.splitlines()]
    summary = result.stderr.splitlines()[-1]
    return lines, int(re.search(r"(\d+) tensor bytes", summary)[1]), summary


def check_model(binary, folder, name, m, source):
    write_checkpoint(folder, name, m, source)
    want = EXPECTED[name]
    predictor = ("--lm-head-predictor", folder / "predictor.safetensors")
    lines, tensor_bytes, summary = plan(binary, folder, "--outtype", "q4_0", "--transpose-down", "all", *predictor)
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
    lines, _, _ = plan(binary, folder, "--outtype", "f16", *predictor)
    shapes = {tensor: (kind, ne) for tensor, kind, ne in lines}
    check(shapes["blk.0.ffn_down_exps.weight"], ("F16", f"{F}, {D}, {E}"), f"{name}: upstream down")
    check(shapes["lm_head_profiler.weight"][0], "F32", f"{name}: predictor in F16 files")


def check_qwen3(binary, folder, name, source):
    m, want = QWEN3[name]
    write_other(folder, qwen3_config(m), qwen3_tensors(m), source)
    lines, tensor_bytes, summary = plan(binary, folder, "--outtype", "q4_0")
    print(f"{name}: {summary}")
    check(len(lines), want["tensors"], f"{name}: tensors")
    check(tensor_bytes, want["bytes"], f"{name}: tensor bytes")


def check_gemma3n(binary, folder, name, source):
    m, want = GEMMA3N[name]
    write_other(folder, gemma3n_config(m), gemma3n_tensors(m), source)
    lines, _, summary = plan(binary, folder, "--outtype", "q4_0")
    print(f"{name}: {summary}")
    check(len(lines), want["tensors"], f"{name}: tensors")
    shapes = {tensor: (kind, [int(n) for n in ne.split(",")]) for tensor, kind, ne in lines}
    kind, ne = shapes["per_layer_token_embd.weight"]
    check((kind, ne[0] // 32 * 18 * ne[1]), ("Q4_0", want["table"]), f"{name}: bytes of the per-layer table")
    check(shapes["token_embd.weight"], ("Q4_0", [GEMMA_D, GEMMA_V]), f"{name}: embedding")
    check(shapes["altup_proj.weight"], ("F16", [GEMMA_D, GEMMA_D, GEMMA_A - 1]), f"{name}: projections of the streams")
    check(shapes["blk.29.altup_predict_coef.weight"], ("F32", [GEMMA_A, GEMMA_A**2]), f"{name}: coefficients")


def check_memory(binary, folder, what, *arguments):
    """Converts the folder, whose files are far larger than the memory that this may take."""
    code = subprocess.run([binary, "convert", folder, "--outfile", folder / "out.gguf", "--outtype", "q4_0", "--no-progress",
                           *arguments], stderr=subprocess.DEVNULL).returncode
    check(code, 0, f"conversion of {what}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"converting {sum(f.stat().st_size for f in folder.glob('model*')) / 1e9:.1f} GB, {what}: "
          f"peak memory {peak / 1024:.0f} MiB")
    check(peak < 256 * 1024, True, f"peak memory {peak} KiB below 256 MiB")


def check_memory_of_experts(binary, folder, source):
    write_checkpoint(folder, "two-layers", dict(MODELS["21b"], layers=2, layout=[0, 1], rope=[0, 1], shards=1), source)
    check_memory(binary, folder, "two layers of the 21B with all experts", "--transpose-down", "all")


def check_memory_of_tables(binary, folder, source):
    m = dict(layers=2, ffn=8192, shared=0)
    write_other(folder, gemma3n_config(m), gemma3n_tensors(m), source)
    check_memory(binary, folder, "two layers of E2B with all rows of its tables")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--models", required=True, type=pathlib.Path)
    args = parser.parse_args()
    for name, m in MODELS.items():
        with tempfile.TemporaryDirectory(prefix="st-shapes-") as folder:
            check_model(args.binary, pathlib.Path(folder), name, m, args.models / "model")
    for name in QWEN3:
        with tempfile.TemporaryDirectory(prefix="st-shapes-") as folder:
            check_qwen3(args.binary, pathlib.Path(folder), name, args.models / "model")
    for name in GEMMA3N:
        with tempfile.TemporaryDirectory(prefix="st-shapes-") as folder:
            check_gemma3n(args.binary, pathlib.Path(folder), name, args.models.parent / "micro-gemma3n")
    for check_peak, model in ((check_memory_of_experts, args.models / "model"),
                              (check_memory_of_tables, args.models.parent / "micro-gemma3n")):
        with tempfile.TemporaryDirectory(prefix="st-shapes-") as folder:
            check_peak(args.binary, pathlib.Path(folder), model)
    print(f"{checks - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
