#!/usr/bin/env python3
"""How far logits are from exact arithmetic on the same quantised weights, ours and llama.cpp's.

Usage:
  noise.py --binary build/smallthinker --library DIR --models models/tiny-smallthinker --work DIR

Files of one type each (`quantize --pure`) are decoded by NumPy and computed in double precision
from there on: what is left between those logits and an engine's is the engine's own rounding, of
activations most of all. README.md has the rules.
"""

import pathlib
import sys

import numpy as np

import compare
import gguf_tensors
import llama_logits

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "models/reference"))
sys.path.insert(0, str(ROOT / "tests/oracle/quant"))
from common import attend, rms_norm, rope  # noqa: E402
from quant_oracle import DECODERS  # noqa: E402

# Checkpoint and goldens below --models. Rows of the first have 256 values, but for those of the
# down matrices of its experts: for these the types of super-blocks have a substitute, as usual.
MODELS = [
    ("tiny", "model", "golden/prompts.json"),
    ("micro-4b-style", "variants/micro-4b-style", "variants/micro-4b-style/golden.json"),
]
BLOCKS = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "MXFP4"]
SUPER_BLOCKS = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"]
# Types of files that have another name than that of their matrices.
FILE_TYPES = {"MXFP4": "MXFP4_MOE", "Q3_K": "Q3_K_M", "Q4_K": "Q4_K_S", "Q5_K": "Q5_K_S"}
# Medians over positions; a near tie of a router that falls otherwise owns the largest ones, and
# moves the median of 240 positions by up to 0.17.
BAR = 1.25  # for a type: ours by llama.cpp's
BAR_OF_ALL = 1.0  # for their geometric mean


class SmallThinker:
    """Logits of a file in double precision."""

    def __init__(self, path):
        metadata, tensors = gguf_tensors.read(path)
        self.key = lambda name: metadata["smallthinker." + name]
        self.weights = {name: self.decode(tensor) for name, tensor in tensors.items()}
        self.layers = self.key("block_count")
        windows = self.key("attention.sliding_window") if self.slides(metadata) else None
        self.window = [windows if windows and layer % 4 else None for layer in range(self.layers)]
        self.rope = [windows is None or layer % 4 != 0 for layer in range(self.layers)]

    @staticmethod
    def slides(metadata):
        """Whether layers 0, 4, 8 ... are global and without RoPE: there is a window."""
        return "smallthinker.attention.sliding_window" in metadata

    @staticmethod
    def decode(tensor):
        """Values in double precision, rows last but one."""
        kind, shape, data = tensor
        decode, size, _ = DECODERS[kind]
        blocks = np.frombuffer(data, np.uint8).reshape(-1, size)
        return decode(blocks).astype(np.float64).reshape(shape[::-1])

    def layer(self, layer, part):
        """A tensor of a layer."""
        return self.weights[f"blk.{layer}.{part}.weight"]

    def attention(self, layer, x):
        """Of all positions at once."""
        places, size = np.arange(len(x)), self.key("attention.key_length")
        q, k, v = (
            (x @ self.layer(layer, part).T).reshape(len(x), -1, size)
            for part in ("attn_q", "attn_k", "attn_v")
        )
        if self.rope[layer]:
            q, k = (rope(each, places, self.key("rope.freq_base")) for each in (q, k))
        mixed = attend(q, k, v, places, places, size**-0.5, self.window[layer])
        return mixed @ self.layer(layer, "attn_output").T

    def experts(self, layer, scores, x):
        """Of the experts with the best scores, weighed by their sigmoids."""
        gate, up, down = (self.layer(layer, f"ffn_{part}_exps") for part in ("gate", "up", "down"))
        out = np.zeros_like(x)
        chosen = np.argsort(-scores, kind="stable")[:, : self.key("expert_used_count")]
        shares = 1 / (1 + np.exp(-np.take_along_axis(scores, chosen, axis=1)))
        shares /= shares.sum(axis=1, keepdims=True)
        for expert in np.unique(chosen):
            rows, slots = np.nonzero(chosen == expert)
            hidden = np.maximum(x[rows] @ gate[expert].T, 0) * (x[rows] @ up[expert].T)
            out[rows] += shares[rows, slots, None] * (hidden @ down[expert].T)
        return out

    def logits(self, tokens):
        """(tokens, vocabulary)"""
        eps = self.key("attention.layer_norm_rms_epsilon")
        x = self.weights["token_embd.weight"][tokens]
        for layer in range(self.layers):
            scores = x @ self.layer(layer, "ffn_gate_inp").T
            x = x + self.attention(layer, rms_norm(x, self.layer(layer, "attn_norm"), eps))
            x = x + self.experts(layer, scores, rms_norm(x, self.layer(layer, "ffn_norm"), eps))
        x = rms_norm(x, self.weights["output_norm.weight"], eps)
        return x @ self.weights.get("output.weight", self.weights["token_embd.weight"]).T


def errors(logits, exact):
    """Root mean square of the differences of each position."""
    return np.sqrt(
        np.concatenate([((a - b) ** 2).mean(axis=1) for a, b in zip(logits, exact, strict=True)])
    )


def main():
    """Command line; see the top of the file."""
    parser = compare.arguments_of(__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=16, help="of each model")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    both = compare.Comparison(
        args.binary.resolve(), llama_logits.Library(args.llama), args.work, threads=1
    )
    ratios, failures = [], 0
    print("model, type: median and root mean square of errors, ours | llama.cpp's | ratio of medians")
    for model, checkpoint, golden in MODELS:
        limit, prompts = compare.load_prompts(args.models / checkpoint, args.models / golden)
        sequences = [compare.Sequence(prompt.ids, 0, []) for prompt in prompts[: args.prompts]]
        floats, file = args.work / f"{model}-f32.gguf", args.work / f"{model}-pure.gguf"
        both.run("convert", args.models / checkpoint, "--outfile", floats, "--outtype", "f32")
        for kind in BLOCKS + (SUPER_BLOCKS if model == "tiny" else []):
            both.run("quantize", "--pure", floats, file, FILE_TYPES.get(kind, kind))
            reference = SmallThinker(file)
            exact = [reference.logits(sequence.ids) for sequence in sequences]
            ours = errors(both.our_logits(file, sequences, "f16"), exact)
            theirs = errors(both.llama_logits(file, sequences, "f16"), exact)
            ratio = np.median(ours) / np.median(theirs)
            ratios.append(ratio)
            failures += ratio > BAR
            print(
                f"{'FAIL' if ratio > BAR else 'ok':4} {model} {kind}: {len(ours)} positions, "
                f"{np.median(ours):.3g} {np.sqrt((ours**2).mean()):.3g} | "
                f"{np.median(theirs):.3g} {np.sqrt((theirs**2).mean()):.3g} | {ratio:.3f}",
                flush=True,
            )
    mean = np.exp(np.log(ratios).mean())
    failures += mean > BAR_OF_ALL
    print(f"{len(ratios)} files, geometric mean of ratios {mean:.3f}, {failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
