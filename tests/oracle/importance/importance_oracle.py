#!/usr/bin/env python3
"""Importance of columns that `imatrix` writes, against the inputs of each matrix in the NumPy references.

The references of the micro models (models/reference) multiply by names; here each product notes the squares of its
input.  The file is read by a reader of its own.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/oracle/llama_cpp"))
sys.path.insert(0, str(ROOT / "models/reference"))
import gguf_tensors  # noqa: E402
from common import Cache  # noqa: E402
from reference_gemma3n import Gemma3n  # noqa: E402
from reference_qwen3 import Qwen3  # noqa: E402
from reference_qwen3_moe import Qwen3Moe  # noqa: E402

# Folder, reference, tokens of a window, windows.
MODELS = (
    ("micro-qwen3", Qwen3, 64, 5),
    ("micro-qwen3moe", Qwen3Moe, 64, 5),
    ("micro-qwen3moe", Qwen3Moe, 6, 1),  # too few for all experts
    ("micro-qwen3moe-odd", Qwen3Moe, 48, 6),
    ("micro-gemma3n", Gemma3n, 40, 4),
)
BOS = 2  # of Gemma
TOLERANCE = 1e-4  # of the largest column of a matrix; both sides compute in single precision
# Parts of names in a Hugging Face checkpoint, and what they are in GGUF.
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "laurel.linear_left": "laurel_l",
    "laurel.linear_right": "laurel_r",
    "altup.modality_router": "altup_router",
    "per_layer_input_gate": "inp_gate",
    "per_layer_projection": "proj",
}
# No products of matrices here: coefficients of each token.
LEFT_OUT = ("altup.prediction_coefs", "altup.correction_coefs")


def gguf_name(name):
    """(tensor, expert) of a product in a layer; None of another."""
    match = re.fullmatch(r"(?:model\.)?layers\.(\d+)\.(.*)", name)
    if not match or match[2] in LEFT_OUT:
        return None
    layer, part = match.groups()
    expert = re.fullmatch(r"mlp\.experts\.(\d+)\.(gate|up|down)_proj", part)
    if expert:
        return f"blk.{layer}.ffn_{expert[2]}_exps.weight", int(expert[1])
    return f"blk.{layer}.{PARTS[part]}.weight", 0


def noting(reference):
    """The reference, whose products note the squares of their inputs: {(tensor, expert): [sum, rows]}."""

    class Noting(reference):
        def lin(self, name, x):
            key = gguf_name(name)
            if key is not None:
                rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
                if key[0].endswith("altup_router.weight"):  # whose product is divided here, not its input
                    rows *= self.D
                entry = self.noted.setdefault(key, [np.zeros(rows.shape[1]), 0])
                entry[0] += (rows**2).sum(axis=0)
                entry[1] += len(rows)
            return super().lin(name, x)

    Noting.noted = {}
    return Noting


def compare(noted, tensors, experts):
    """What differs, in words."""
    wrong = []
    names = {tensor for tensor, _ in noted}
    for tensor in names:
        sums, counts = tensors.pop(f"{tensor}.in_sum2", None), tensors.pop(f"{tensor}.counts", None)
        if sums is None or counts is None:
            wrong.append(f"{tensor}: missing")
            continue
        stack = experts if "_exps" in tensor else 1
        cols = next(len(entry[0]) for (name, _), entry in noted.items() if name == tensor)
        if (sums[0], counts[0]) != ("F32", "F32") or sums[1] != (cols, stack) or counts[1] != (1, stack):
            wrong.append(f"{tensor}: {sums[:2]} {counts[:2]}, want shapes {(cols, stack)}, {(1, stack)}")
            continue
        got, rows = (np.frombuffer(t[2], "<f4").reshape(stack, -1) for t in (sums, counts))
        for expert in range(stack):
            want, count = noted.get((tensor, expert), (np.zeros(cols), 0))
            apart = np.abs(got[expert] - want).max() / max(want.max(), 1e-30)
            if rows[expert, 0] != count or apart > TOLERANCE:
                wrong.append(f"{tensor} {expert}: {rows[expert, 0]} rows, want {count}; {apart:.1e} apart")
    wrong += [f"{name}: not in the reference" for name in tensors]
    return wrong, len(names)


def check(binary, name, reference, window, windows, folder):
    """One model. Returns what is wrong with its file."""
    gguf, out, text = folder / f"{name}.gguf", folder / f"{name}-imatrix.gguf", folder / "text.txt"
    run = lambda *command: subprocess.run([binary, *map(str, command)], check=True, capture_output=True, text=True)  # noqa: E731
    text.write_bytes((ROOT / "models/tiny-smallthinker/valid.txt").read_bytes()[: 12 * window * windows])
    run("convert", ROOT / "models" / name, "-o", gguf, "--outtype", "f32")
    run("imatrix", "-m", gguf, "-f", text, "-o", out, "-c", window, "--chunks", windows, "-ub", 24, "--no-progress")
    model = noting(reference)(ROOT / "models" / name)
    ids = json.loads(run("tokenize", "-m", gguf, "-f", text, "--ids", "--no-parse-special").stdout)
    for begin in range(0, window * windows, window):
        part = ids[begin : begin + window]
        first = [BOS] if reference is Gemma3n else part[:1]  # of the text, and so of each window
        model.forward([*first, *part[1:]], Cache(model.L))
    metadata, tensors = gguf_tensors.read(out)
    wrong, count = compare(model.noted, dict(tensors), getattr(model, "E", 1))
    told = {
        "general.type": "imatrix",
        "imatrix.datasets": [str(text)],
        "imatrix.chunk_count": windows,
        "imatrix.chunk_size": window,
    }
    wrong += [f"{key}: {metadata.get(key)!r}, want {value!r}" for key, value in told.items() if metadata.get(key) != value]
    unused = sum(1 for rows in tensors if rows.endswith(".counts") and (np.frombuffer(tensors[rows][2], "<f4") == 0).any())
    print(f"{name}: {count} tensors of {window * windows} tokens, {unused} with experts that none chose: {len(wrong)} differ")
    return wrong


def main():
    """Command line; see the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="st-importance-") as name:
        wrong = [w for model in MODELS for w in check(args.binary, *model, pathlib.Path(name))]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
