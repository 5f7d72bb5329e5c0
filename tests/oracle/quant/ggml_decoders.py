#!/usr/bin/env python3
"""Compares our decoders with ggml's own and with those of quant_oracle.py, bit for bit.

usage: ggml_decoders.py PATH_TO_quant_rows FOLDER_OF_libggml-base.so

Blocks are random bytes with every finite half-precision number as a scale and as a minimum, and
every exponent of MXFP4, 255 too: more than a million values of each type.
"""

import ctypes
import pathlib
import sys

import numpy as np

from quant_oracle import DECODERS, F, report, run

HALVES = np.arange(0x10000, dtype="<u2")
FINITE = HALVES[HALVES & 0x7C00 != 0x7C00]  # subnormal, negative and zero ones too
BLOCK_TYPES = [name for name, (_, size, _) in DECODERS.items() if size > 4]


def blocks_of(random, name):
    """(blocks, bytes): each finite scale once per place of one, in an order of its own."""
    _, size, scales = DECODERS[name]
    blocks = random.integers(0, 256, (len(FINITE), size), dtype=np.uint8)
    for at in scales:
        blocks[:, at : at + 2] = random.permutation(FINITE).view(np.uint8).reshape(-1, 2)
    if name == "MXFP4":
        blocks[:, 0] = np.arange(len(blocks)) % 256
    return blocks


def ggml_values(ggml, name, blocks):
    """The values of blocks, decoded as one row."""
    kind = name.lower().replace("_k", "_K")
    decode = getattr(ggml, f"dequantize_row_{kind}")
    decode.restype, decode.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    values = np.empty(DECODERS[name][0](blocks[:1]).size * len(blocks), F)
    decode(blocks.ctypes.data, values.ctypes.data, values.size)
    return values.reshape(len(blocks), -1)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n")[1])
    program = sys.argv[1]
    ggml = ctypes.CDLL(str(pathlib.Path(sys.argv[2]).resolve() / "libggml-base.so"))
    random = np.random.default_rng(20251130)
    failures = 0
    for name in BLOCK_TYPES:
        blocks = blocks_of(random, name)
        ours = run(program, ["dequantize", name], blocks).view(F)
        assert ours.size >= 10**6, f"{name}: only {ours.size} values"
        ours = ours.reshape(len(blocks), -1)
        with np.errstate(over="ignore"):  # MXFP4 beyond floats is infinite
            numpy = DECODERS[name][0](blocks)
        for whose, expected in (("ggml", ggml_values(ggml, name, blocks)), ("NumPy", numpy)):
            same = ours.view(np.uint32) == expected.view(np.uint32)
            failures += not report(f"{name} as {whose} has it", ours, expected, blocks, same)
        print(f"{name}: {ours.size} values")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
