#!/usr/bin/env python3
"""Compares our block formats with a second implementation in NumPy, byte for byte.

usage: quant_oracle.py PATH_TO_quant_rows

Everything here follows the written description of the formats, not our C++. Encoders must agree
in every byte. So must the decoders of all types: a scale has 11 significant bits and the integers
it is multiplied with at most 13 together, so products are exact in float32 in any order, and only
the addition of a minimum rounds. NaNs need only be NaNs.
"""

import subprocess
import sys

import numpy as np

F = np.float32
BLOCK = 32


# --- Encoders: float32 (blocks, 32) -> uint8 (blocks, block bytes) ---


def half_bytes(d):
    return d.astype("<f2").view(np.uint8).reshape(-1, 2)


def inverse(d):
    """1 / d, and 0 where there is no finite inverse: such blocks hold zeros."""
    id = F(1) / d
    return np.where(np.isfinite(id), id, F(0))


def encode_q4_0(x):
    peak = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)  # the first of them
    d = (peak + F(0)) / F(-8)  # the scan starts from +0, which -0 does not exceed
    q = np.trunc(x * inverse(d) + F(8.5)).clip(0, 15).astype(np.uint8)
    return np.hstack([half_bytes(d), q[:, :16] | q[:, 16:] << 4])


def encode_q8_0(x):
    d = np.abs(x).max(axis=1, keepdims=True) / F(127)
    scaled = (x * inverse(d)).astype(np.float64)  # adding a half is exact in double
    q = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled).astype(np.int8)
    return np.hstack([half_bytes(d), q.view(np.uint8)])


def encode_f16(x):
    return x.astype("<f2").view(np.uint8)


def encode_bf16(x):
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), bits >> 16 | 64, rounded).astype("<u2").view(np.uint8)


def encode_f32(x):
    return x.view(np.uint8)


# --- Decoders: uint8 (blocks, block bytes) -> float32 (blocks, block values) ---


def half_at(b, at):
    return np.ascontiguousarray(b[:, at : at + 2]).view("<f2").astype(F)


def nibbles(qs):
    return np.hstack([qs & 15, qs >> 4]).astype(np.int32)


def fifth_bits(b, at):
    qh = np.ascontiguousarray(b[:, at : at + 4]).view("<u4")
    return (qh >> np.arange(32, dtype=np.uint32) & 1).astype(np.int32) << 4


def decode_q4_0(b):
    return half_at(b, 0) * F(nibbles(b[:, 2:]) - 8)


def decode_q4_1(b):
    return half_at(b, 0) * F(nibbles(b[:, 4:])) + half_at(b, 2)


def decode_q5_0(b):
    return half_at(b, 0) * F((nibbles(b[:, 6:]) | fifth_bits(b, 2)) - 16)


def decode_q5_1(b):
    return half_at(b, 0) * F(nibbles(b[:, 8:]) | fifth_bits(b, 4)) + half_at(b, 2)


def decode_q8_0(b):
    return half_at(b, 0) * F(b[:, 2:].view(np.int8))


def packed_scales(s):
    """The eight 6-bit scales and minima of a Q4_K or Q5_K block, (blocks, 8) each."""
    s = s.astype(np.int32)
    scale, minimum = [], []
    for k in range(8):
        if k < 4:
            scale.append(s[:, k] & 63)
            minimum.append(s[:, k + 4] & 63)
        else:
            scale.append((s[:, k + 4] & 15) | (s[:, k - 4] >> 6) << 4)
            minimum.append((s[:, k + 4] >> 4) | (s[:, k] >> 6) << 4)
    return np.stack(scale, axis=1), np.stack(minimum, axis=1)


def decode_affine_k(b, qs, high):
    scale, minimum = packed_scales(b[:, 4:16])
    parts = []
    for k in range(8):
        low = qs[:, 32 * (k // 2) : 32 * (k // 2) + 32] >> 4 * (k % 2) & 15
        q = F(low.astype(np.int32) + high(k))
        d = half_at(b, 0) * F(scale[:, k : k + 1])
        m = half_at(b, 2) * F(minimum[:, k : k + 1])
        parts.append(d * q - m)
    return np.hstack(parts)


def decode_q4_k(b):
    return decode_affine_k(b, b[:, 16:], lambda k: 0)


def decode_q5_k(b):
    qh = b[:, 16:48].astype(np.int32)
    return decode_affine_k(b, b[:, 48:], lambda k: 16 * (qh >> k & 1))


def decode_q6_k(b):
    ql, qh = b[:, :128].astype(np.int32), b[:, 128:192].astype(np.int32)
    scales = b[:, 192:208].view(np.int8)
    parts = []
    for h in range(2):
        for g in range(4):
            low = ql[:, 64 * h + 32 * (g & 1) :][:, :32] >> (0 if g < 2 else 4) & 15
            high = qh[:, 32 * h : 32 * h + 32] >> 2 * g & 3
            sc = np.repeat(scales[:, 8 * h + 2 * g :][:, :2], 16, axis=1)
            parts.append(half_at(b, 208) * F(sc) * F((low | high << 4) - 32))
    return np.hstack(parts)


IQ4 = F([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])


def decode_iq4_nl(b):
    return half_at(b, 0) * IQ4[nibbles(b[:, 2:])]


def decode_mxfp4(b):
    """Exponents of two of OCP microscaling, and floats of four bits: 1, 2, 1 of them."""
    code = np.arange(8)
    exponent, mantissa = code >> 1, code & 1
    float4 = np.where(exponent == 0, mantissa / 2, (1 + mantissa / 2) * 2.0 ** (exponent - 1))
    float4 = np.hstack([float4, -float4])
    float4[8] = 0  # no negative zero
    scale = 2.0 ** (b[:, :1].astype(np.float64) - 127)
    return F(scale * float4[nibbles(b[:, 1:])])


def two_bits(b, at):
    """(blocks, 16, 16): of 256 values, the four groups of 32 of a half in one byte."""
    qs = b[:, at : at + 64].reshape(-1, 2, 1, 32) >> (2 * np.arange(4, dtype=np.uint8))[:, None]
    return (qs & 3).astype(np.int32).reshape(-1, 16, 16)


def decode_q2_k(b):
    scales = b[:, :16]
    d = half_at(b, 80) * F(scales & 15)
    m = half_at(b, 82) * F(scales >> 4)
    return (d[:, :, None] * F(two_bits(b, 16)) - m[:, :, None]).reshape(-1, 256)


def decode_q3_k(b):
    top = b[:, None, :32] >> np.arange(8, dtype=np.uint8)[:, None] & 1
    q = two_bits(b, 32) + 4 * top.astype(np.int32).reshape(-1, 16, 16) - 4
    low = np.hstack([b[:, 96:104] & 15, b[:, 96:104] >> 4]).astype(np.int32)
    high = np.hstack([b[:, 104:108] >> 2 * k & 3 for k in range(4)]).astype(np.int32)
    scale = half_at(b, 108) * F((low | high << 4) - 32)
    return (scale[:, :, None] * F(q)).reshape(-1, 256)


def decode_iq4_xs(b):
    parts = []
    high = np.ascontiguousarray(b[:, 2:4]).view("<u2").astype(np.int32)
    for k in range(8):
        low = b[:, 4 + k // 2 : 5 + k // 2].astype(np.int32) >> 4 * (k % 2) & 15
        scale = half_at(b, 0) * F((low | (high >> 2 * k & 3) << 4) - 32)
        parts.append(scale * IQ4[nibbles(b[:, 8 + 16 * k : 24 + 16 * k])])
    return np.hstack(parts)


def decode_i8(b):
    return b.view(np.int8).astype(F)


def decode_f16(b):
    return b.view("<f2").astype(F)


def decode_bf16(b):
    return (b.view("<u2").astype(np.uint32) << 16).view(F)


def decode_f32(b):
    return b.view(F)


ENCODERS = {
    "F32": encode_f32,
    "F16": encode_f16,
    "BF16": encode_bf16,
    "Q8_0": encode_q8_0,
    "Q4_0": encode_q4_0,
}
# type: (decoder, block bytes, offsets of its half-precision scales)
DECODERS = {
    "F32": (decode_f32, 4, ()),
    "F16": (decode_f16, 2, ()),
    "BF16": (decode_bf16, 2, ()),
    "I8": (decode_i8, 1, ()),
    "Q4_0": (decode_q4_0, 18, (0,)),
    "Q4_1": (decode_q4_1, 20, (0, 2)),
    "Q5_0": (decode_q5_0, 22, (0,)),
    "Q5_1": (decode_q5_1, 24, (0, 2)),
    "Q8_0": (decode_q8_0, 34, (0,)),
    "Q4_K": (decode_q4_k, 144, (0, 2)),
    "Q5_K": (decode_q5_k, 176, (0, 2)),
    "Q6_K": (decode_q6_k, 210, (208,)),
    "Q2_K": (decode_q2_k, 84, (80, 82)),
    "Q3_K": (decode_q3_k, 110, (108,)),
    "IQ4_NL": (decode_iq4_nl, 18, (0,)),
    "IQ4_XS": (decode_iq4_xs, 136, (0,)),
    "MXFP4": (decode_mxfp4, 17, ()),
}


# --- Rows to try ---


def float_rows(random):
    """Named float32 arrays of shape (blocks, 32)."""
    n = 2000
    normal = random.standard_normal((n, BLOCK)).astype(F)
    rows = {
        "normal": normal,
        "small": normal * F(0.02),
        "heavy tails": random.standard_cauchy((n, BLOCK)).astype(F),
        "log-uniform": F(10.0) ** random.uniform(-44, 38, (n, 1)).astype(F) * normal,
        "mixed magnitudes": F(10.0) ** random.uniform(-30, 30, (n, BLOCK)).astype(F)
        * random.choice([F(-1), F(1)], (n, BLOCK)),
        "constant": np.repeat(normal[:, :1], BLOCK, axis=1),
        "zeros": np.zeros((2, BLOCK), F) * F([[1], [-1]]),
        "subnormal scales": normal * F(2e-7),
        "subnormal floats": normal * F(1e-39),
        "huge": normal.clip(-3, 3) * F(1e38),
        "around the half-precision limit": normal.clip(-4, 4) * F(65504 * 127 / 3),
        "sparse": normal * (random.random((n, BLOCK)) < 0.1),
        "integers": random.integers(-127, 128, (n, BLOCK)).astype(F),
    }
    # The largest magnitude with both signs, in random places: the first decides the sign of d.
    ties = normal.clip(-2, 2)
    for row in ties:
        at = random.choice(BLOCK, 4, replace=False)
        row[at] = F(2.5) * random.choice([F(-1), F(1)], 4)
    rows["ties of the largest"] = ties
    # Values on and next to the rounding boundaries, under exact and under inexact scales.
    for name, peak in (("halves for Q8_0", 127), ("halves for Q4_0", -8)):
        x = F(random.integers(-2 * abs(peak) + 1, 2 * abs(peak), (n, BLOCK)) / 2)
        x[:, 0] = peak
        scale = F(2.0) ** random.integers(-20, 14, (n, 1)).astype(F)
        beside = np.nextafter(x, random.choice([-np.inf, np.inf], x.shape).astype(F))
        beside[:, 0] = peak
        rows[name] = np.where(random.random(x.shape) < 0.5, x, beside) * scale
        rows[name + ", any scale"] = x * scale * F(random.uniform(1, 2, (n, 1)))
    return rows


def block_rows(random, size, scale_offsets):
    """Named uint8 arrays of shape (blocks, size): any bytes are a block."""
    n = 3000
    rows = {"random bytes": random.integers(0, 256, (n, size), dtype=np.uint8)}
    if size <= 4:
        top = np.arange(65536, dtype="<u4" if size == 4 else "<u2") << 8 * (size - 2)
        rows["every pattern"] = top.view(np.uint8).reshape(-1, size)
        return rows
    count = len(scale_offsets)
    for name, halves in {
        "ordinary scales": F(random.standard_normal((n, count))).astype("<f2"),
        "subnormal scales": random.integers(0, 0x400, (n, count), dtype="<u2"),
        "largest scales": np.full((n, count), 0x7BFF, "<u2"),
        "zero scales": random.choice([0, 0x8000], (n, count)).astype("<u2"),
    }.items():
        blocks = random.integers(0, 256, (n, size), dtype=np.uint8)
        for i, at in enumerate(scale_offsets):
            blocks[:, at : at + 2] = np.ascontiguousarray(halves[:, i : i + 1]).view(np.uint8)
        rows[name] = blocks
    every_byte = np.repeat(np.arange(256, dtype=np.uint8)[:, None], size, axis=1)
    for at in scale_offsets:
        every_byte[:, at : at + 2] = np.frombuffer(b"\x00\x3c", np.uint8)
    rows["every byte"] = every_byte
    return rows


# --- Comparison ---


def run(program, arguments, data):
    result = subprocess.run([program, *arguments], input=data.tobytes(), capture_output=True)
    if result.returncode != 0:
        sys.exit(f"{program} {' '.join(arguments)} failed: {result.stderr.decode()}")
    return np.frombuffer(result.stdout, np.uint8)


def report(what, ours, expected, inputs, same):
    """Prints the first difference of two (blocks, k) arrays; True if there is none."""
    if ours.shape == expected.shape and same.all():
        return True
    print(f"FAIL {what}")
    if ours.shape != expected.shape:
        print(f"  {ours.size} elements instead of {expected.size}")
        return False
    block, at = np.argwhere(~same)[0]
    print(f"  {(~same).sum()} of {same.size} differ, first in block {block} element {at}:")
    print(f"  ours {ours[block, at]!r}, expected {expected[block, at]!r}")
    print(f"  input {inputs[block].tolist()}")
    return False


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.split("\n\n")[1])
    program = sys.argv[1]
    random = np.random.default_rng(20250722)
    checks = failures = 0
    with np.errstate(all="ignore"):
        for type, encode in ENCODERS.items():
            for name, x in float_rows(random).items():
                expected = encode(x).reshape(len(x), -1)
                ours = run(program, ["quantize", type], x)
                ours = ours.reshape(len(x), -1) if ours.size == expected.size else ours
                same = ours == expected
                checks += 1
                failures += not report(f"quantize {type}: {name}", ours, expected, x, same)
        for type, (decode, size, scales) in DECODERS.items():
            for name, blocks in block_rows(random, size, scales).items():
                expected = decode(blocks)
                ours = run(program, ["dequantize", type], blocks).view(F)
                ours = ours.reshape(expected.shape) if ours.size == expected.size else ours
                same = (ours.view(np.uint32) == expected.view(np.uint32)) | (
                    np.isnan(ours) & np.isnan(expected)
                )
                checks += 1
                failures += not report(f"dequantize {type}: {name}", ours, expected, blocks, same)
    print(f"{checks - failures} of {checks} comparisons identical")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
