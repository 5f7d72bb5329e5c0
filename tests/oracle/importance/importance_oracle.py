#!/usr/bin/env python3
"""Importance of columns that `imatrix` writes, against the inputs of each matrix in the NumPy references and llama.cpp.

The references of the micro models (models/reference) multiply by names; here each product notes the squares of its
input.  llama.cpp is asked to show each product of the tiny model.  The file is read by a reader of its own.
"""

import argparse
import ctypes
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/oracle/llama_cpp"))
sys.path.insert(0, str(ROOT / "models/reference"))
import gguf_tensors  # noqa: E402
from common import Cache  # noqa: E402
from libllama import Library  # noqa: E402
from llama_logits import Model  # noqa: E402
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


def note(noted, key, x):
    """Squares of the rows of x, and how many they are."""
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    entry = noted.setdefault(key, [np.zeros(rows.shape[1]), 0])
    entry[0] += (rows**2).sum(axis=0)
    entry[1] += len(rows)


def noting(reference):
    """The reference, whose products note the squares of their inputs: {(tensor, expert): [sum, rows]}."""

    class Noting(reference):
        def lin(self, name, x):
            key = gguf_name(name)
            if key is not None:
                # Here that product is divided, there its input.
                note(self.noted, key, x * self.D if key[0].endswith("altup_router.weight") else x)
            return super().lin(name, x)

    Noting.noted = {}
    return Noting


class Tensor:
    """A ggml_tensor: what of it is needed, where it has been for years."""

    def __init__(self, pointer):
        raw = ctypes.string_at(pointer, 336)
        self.ne, self.nb = struct.unpack_from("<4q", raw, 16), struct.unpack_from("<4Q", raw, 48)
        self.src = struct.unpack_from("<10Q", raw, 152)
        (self.data,) = struct.unpack_from("<Q", raw, 248)
        self.name = raw[256:320].split(b"\0")[0].decode(errors="replace")

    def values(self, kind):
        """(ne[2], ne[1], ne[0])"""
        size = 4 + sum((n - 1) * step for n, step in zip(self.ne, self.nb))
        flat = np.frombuffer(ctypes.string_at(self.data, size), kind)
        return np.lib.stride_tricks.as_strided(flat, self.ne[2::-1], self.nb[2::-1]).copy()


class Watched(Model):
    """A model in llama.cpp that notes the inputs of its layers' products."""

    CALLBACK = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)
    FIELD = {"cb_eval": (88, "Q", 0)}  # of the parameters of a context

    def _params(self, threads, kv):
        params = super()._params(threads, kv)
        params.check(self.FIELD, "llama_context_params")
        self.noted, self.callback = {}, self.CALLBACK(self.see)
        params.set(self.FIELD, "cb_eval", ctypes.cast(self.callback, ctypes.c_void_p).value)
        return params

    def see(self, pointer, ask, _):
        """Whether a tensor is such a product; notes it once it is computed."""
        out = Tensor(pointer)
        if not out.src[0] or not out.src[1]:
            return False
        w = Tensor(out.src[0])
        if not re.fullmatch(r"blk\..*\.weight", w.name) or w.ne[1] != out.ne[0]:
            return False
        if ask:
            return True
        x = Tensor(out.src[1]).values("<f4")
        if not out.src[2]:
            note(self.noted, (w.name, 0), x)
            return True
        chosen = Tensor(out.src[2]).values("<i4")[0]  # (tokens, slots)
        for (token, slot), expert in np.ndenumerate(chosen):
            note(self.noted, (w.name, int(expert)), x[token, slot % x.shape[1]])
        return True


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


def by_reference(reference):
    """How the reference notes inputs; see check()."""

    def evaluate(source, _gguf, parts):
        model = noting(reference)(source)
        for part in parts:
            first = [BOS] if reference is Gemma3n else part[:1]  # of the text, and so of each window
            model.forward([*first, *part[1:]], Cache(model.L))
        return model.noted, getattr(model, "E", 1)

    return evaluate


def by_llama(directory):
    """How llama.cpp does."""

    def evaluate(source, gguf, parts):
        with Watched(Library(directory), gguf, n_ctx=len(parts[0])) as model:
            for part in parts:
                model.logits(part)
        return model.noted, json.loads((source / "config.json").read_text())["moe_num_primary_experts"]

    return evaluate


def check(binary, name, evaluate, window, windows, folder):
    """One model. Returns what is wrong with its file."""
    gguf, out, text = folder / "model.gguf", folder / "imatrix.gguf", folder / "text.txt"
    run = lambda *command: subprocess.run([binary, *map(str, command)], check=True, capture_output=True, text=True)  # noqa: E731
    text.write_bytes((ROOT / "models/tiny-smallthinker/valid.txt").read_bytes()[: 12 * window * windows])
    source = ROOT / "models" / name
    run("convert", source, "-o", gguf, "--outtype", "f32")
    run("imatrix", "-m", gguf, "-f", text, "-o", out, "-c", window, "--chunks", windows, "-ub", 24, "--no-progress")
    ids = json.loads(run("tokenize", "-m", gguf, "-f", text, "--ids", "--no-parse-special").stdout)
    noted, experts = evaluate(source, gguf, [ids[i : i + window] for i in range(0, window * windows, window)])
    metadata, tensors = gguf_tensors.read(out)
    wrong, count = compare(noted, dict(tensors), experts)
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
    parser.add_argument("--library", dest="llama", required=True, help="folder of llama.cpp's libraries")
    args = parser.parse_args()
    models = [(name, by_reference(reference), *windows) for name, reference, *windows in MODELS]
    models.append(("tiny-smallthinker/model", by_llama(args.llama), 64, 3))
    with tempfile.TemporaryDirectory(prefix="st-importance-") as name:
        wrong = [w for model in models for w in check(args.binary, *model, pathlib.Path(name))]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
