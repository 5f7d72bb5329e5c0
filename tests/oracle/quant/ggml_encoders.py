#!/usr/bin/env python3
"""Compares our encoders with ggml's own.

usage: ggml_encoders.py PATH_TO_quant_rows FOLDER_OF_libggml-base.so FOLDER_OF_models

Types whose rules search nothing must have the same bytes. What those that search lose, decoded by
ggml, may be at most BAR times what ggml's lose: the root of the mean square error, in which each
column counts by its importance where there is any.
"""

import ctypes
import json
import pathlib
import sys

import numpy as np

from quant_oracle import F, float_rows, report, run

BAR = 1.005
COLS = 1024
# name: ggml's id, values and bytes of a block, whether there is a search without importance and
# whether there is one with it
TYPES = {
    "Q4_0": (2, 32, 18, False, True),
    "Q4_1": (3, 32, 20, False, True),
    "Q5_0": (6, 32, 22, False, True),
    "Q5_1": (7, 32, 24, False, True),
    "Q8_0": (8, 32, 34, False, False),
    "MXFP4": (39, 32, 17, False, False),
    "Q2_K": (10, 256, 84, True, True),
    "Q3_K": (11, 256, 110, True, True),
    "Q4_K": (12, 256, 144, True, True),
    "Q5_K": (13, 256, 176, True, True),
    "Q6_K": (14, 256, 210, True, True),
    "IQ4_NL": (20, 32, 18, True, True),
    "IQ4_XS": (23, 256, 136, True, True),
}
# For which ggml's conversions to integers are not defined: quant_oracle.py has those.
UNDEFINED = {"log-uniform", "mixed magnitudes", "subnormal floats", "subnormal scales", "huge"}
FLOATS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class Ggml:
    """ggml's functions on rows."""

    def __init__(self, folder):
        self.dll = ctypes.CDLL(str(pathlib.Path(folder).resolve() / "libggml-base.so"))
        pointer, count = ctypes.c_void_p, ctypes.c_int64
        self.dll.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.dll.ggml_quantize_chunk.argtypes = [
            ctypes.c_int, pointer, pointer, count, count, count, pointer,
        ]  # fmt: skip

    def encode(self, name, x, importance=None):
        """Blocks (rows, bytes) of rows (rows, cols)."""
        id, values, size, _, _ = TYPES[name]
        out = np.empty((len(x), x.shape[1] // values * size), np.uint8)
        weights = None if importance is None else importance.ctypes.data
        self.dll.ggml_quantize_chunk(id, x.ctypes.data, out.ctypes.data, 0, *x.shape, weights)
        return out

    def decode(self, name, blocks, shape):
        """Values of such blocks."""
        decode = getattr(self.dll, "dequantize_row_" + name.lower().replace("_k", "_K"))
        decode.restype, decode.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        values = np.empty(shape, F)
        decode(np.ascontiguousarray(blocks).ctypes.data, values.ctypes.data, values.size)
        return values


def our_blocks(program, name, x, importance=None):
    """The same by ours."""
    if importance is None:
        return run(program, ["quantize", name], x).reshape(len(x), -1)
    data = np.vstack([importance[None], x])
    return run(program, ["weighted", name, str(x.shape[1])], data).reshape(len(x), -1)


def trained_rows(models):
    """Weights of the trained model and of a random one, as rows of COLS."""
    for folder in ("tiny-smallthinker/model", "micro-qwen3moe"):
        rows = []
        for path in sorted((models / folder).glob("*.safetensors")):
            data = path.read_bytes()
            begin = 8 + int.from_bytes(data[:8], "little")
            header = json.loads(data[8:begin])
            header.pop("__metadata__", None)
            for tensor in header.values():
                first, last = tensor["data_offsets"]
                x = np.frombuffer(data[begin + first : begin + last], FLOATS[tensor["dtype"]])
                if tensor["dtype"] == "BF16":
                    x = (x.astype(np.uint32) << 16).view(F)
                if len(tensor["shape"]) > 1 and x.size % COLS == 0:
                    rows.append(x.astype(F).reshape(-1, COLS))
        rows = np.concatenate(rows)
        yield f"weights of {folder}", np.ascontiguousarray(rows[:: max(1, len(rows) // 200)])


def all_rows(random, models):
    """Named arrays (rows, COLS)."""
    shape = 150, COLS
    normal = random.standard_normal(shape).astype(F)
    yield "normal", normal
    yield "small Laplace", F(0.02) * random.laplace(size=shape).astype(F)
    yield "heavy tails", random.standard_cauchy(shape).astype(F).clip(-1000, 1000)
    yield "positive", np.abs(normal) + F(1)
    yield "negative", F(-0.01) * np.abs(normal) - F(0.05)
    yield "sparse", normal * (random.random(shape) < 0.1)
    yield from trained_rows(models)


def measured_importance(random):
    """Mean squares of activations whose channels differ in size, as imatrix files have them."""
    spread = np.exp(random.standard_normal(COLS))
    return ((random.standard_normal((64, COLS)) * spread) ** 2).mean(axis=0).astype(F)


def loss(x, y, importance):
    """Root of the mean square error."""
    square = (x.astype(np.float64) - y) ** 2
    return np.sqrt((square if importance is None else square * importance).mean())


def compare_bytes(program, ggml, random, rows):
    """The failures of types without a search."""
    failures = 0
    for name, (_, _, _, *searches) in TYPES.items():
        if searches[0]:
            continue
        cases = [(what, x, None) for what, x in float_rows(random).items() if what not in UNDEFINED]
        cases += [(what, x, None) for what, x in rows]
        if not searches[1]:
            cases += [(what, x, measured_importance(random)) for what, x in rows]
        for what, x, importance in cases:
            ours = our_blocks(program, name, x, importance)
            expected = ggml.encode(name, x, importance)
            same = ours == expected
            failures += not report(f"{name}: {what}", ours, expected, x, same)
        print(f"{name}: {len(cases)} arrays, bytes compared")
    return failures


def compare_losses(program, ggml, random, rows):
    """The failures of types with a search."""
    failures = 0
    for name, (_, _, _, *searches) in TYPES.items():
        for search, label in zip(searches, ("", " with importance"), strict=True):
            ratios = []
            for what, x in rows if search else ():
                importance = measured_importance(random) if label else None
                losses = [
                    loss(x, ggml.decode(name, blocks, x.shape), importance)
                    for blocks in (
                        our_blocks(program, name, x, importance),
                        ggml.encode(name, x, importance),
                    )
                ]
                ratios.append(losses[0] / losses[1])
                if not ratios[-1] <= BAR:
                    print(f"FAIL {name}{label}: {what}: loses {ratios[-1]:.4f} of what ggml loses")
                    failures += 1
            if ratios:
                print(f"{name}{label}: loses {min(ratios):.4f} to {max(ratios):.4f} of ggml's")
    return failures


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__.split("\n\n")[1])
    program, ggml, models = sys.argv[1], Ggml(sys.argv[2]), pathlib.Path(sys.argv[3])
    random = np.random.default_rng(20251201)
    rows = list(all_rows(random, models))
    failures = compare_bytes(program, ggml, random, rows)
    failures += compare_losses(program, ggml, random, rows)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
