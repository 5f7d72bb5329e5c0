#!/usr/bin/env python3
"""What `perplexity --kl-divergence` tells of two types of the tiny model, against NumPy on the logits of both.

Logits come from `logits --all`, window by window, and are rounded to 16 bits here as llama.cpp's file has them; so
the file that `--kl-divergence-base` writes is compared as well.
"""

import argparse
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[3]
WINDOW, WINDOWS = 64, 7
FIRST = WINDOW // 2  # of the tokens of a window whose logits count
TOLERANCE = 2e-5  # printed numbers have six decimals; ours are rounded to 16 bits in single precision


def log_softmax(logits):
    """Of each row, in double precision."""
    x = logits.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def rounded(logits):
    """(scale, least, numbers of 16 bits) of each row, by llama.cpp's rules."""
    most = logits.max(axis=1, keepdims=True)
    least = np.maximum(logits.min(axis=1, keepdims=True), most - np.float32(16))
    scale = ((most - least) / np.float32(65535)).astype(np.float32)
    q = np.rint(np.maximum(logits - least, 0) / scale).astype(np.int64)
    total = np.log(np.exp(logits.astype(np.float64) - most).sum(axis=1, keepdims=True))
    return scale, (least - most - total).astype(np.float32), np.minimum(q, 65535)


def estimate(values):
    """Mean and standard error."""
    return values.mean(), values.std() / np.sqrt(len(values) - 1)


def exp_of(value):
    """e to the power of an estimate."""
    return np.exp(value[0]), np.exp(value[0]) * value[1]


def statistics(base, logits, tokens):
    """{label: (value, error or None)} as the command prints them."""
    q = log_softmax(logits)
    kld = np.where(base > -16, np.exp(base) * (base - q), 0).sum(axis=1)
    at = np.arange(len(tokens))
    nll, base_nll = -q[at, tokens], -base[at, tokens]
    change = 100 * (np.exp(-nll) - np.exp(-base_nll))
    same = (base.argmax(axis=1) == logits.argmax(axis=1)).astype(float)
    square = estimate(change**2)
    root = np.sqrt(square[0])
    told = {
        "Mean PPL(Q)": exp_of(estimate(nll)),
        "Mean PPL(base)": exp_of(estimate(base_nll)),
        "Mean ln(PPL(Q)/PPL(base))": estimate(nll - base_nll),
        "Mean PPL(Q)/PPL(base)": exp_of(estimate(nll - base_nll)),
        "Mean    KLD": estimate(kld),
        "Mean    \u0394p": estimate(change),
        "RMS     \u0394p": (root, square[1] / (2 * root)),
        "Same top p": tuple(100 * x for x in estimate(same)),
    }
    places = [("Maximum", 1), ("99.9%", 0.999), ("99.0%", 0.99), ("95.0%", 0.95), ("90.0%", 0.9), ("Median", 0.5),
              ("10.0%", 0.1), ("5.0%", 0.05), ("1.0%", 0.01), ("0.1%", 0.001), ("Minimum", 0)]  # fmt: skip
    for name, place in places:
        told[f"{name:<7} KLD"] = (np.quantile(kld, place), None)
        told[f"{name:<7} \u0394p"] = (np.quantile(change, place), None)
    return told


def main():
    """Command line; see the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    args = parser.parse_args()
    tiny, wrong = ROOT / "models/tiny-smallthinker", []

    def run(*command):
        return subprocess.run([args.binary, *map(str, command)], check=True, capture_output=True, text=True).stdout

    with tempfile.TemporaryDirectory(prefix="st-divergence-") as name:
        folder = pathlib.Path(name)
        text, saved = folder / "text.txt", folder / "base.bin"
        text.write_bytes((tiny / "valid.txt").read_bytes()[:4000])
        files = {kind: folder / f"{kind}.gguf" for kind in ("f32", "q4_0")}
        for kind, file in files.items():
            run("convert", tiny / "model", "-o", file, "--outtype", kind)
        ids = json.loads(run("tokenize", "-m", files["f32"], "-f", text, "--ids", "--no-parse-special"))[: WINDOW * WINDOWS]

        def logits(kind):
            rows = []
            for begin in range(0, len(ids), WINDOW):
                out = folder / "rows.npy"
                run("logits", "-m", files[kind], "--all", "-o", out, "-c", WINDOW, "--tokens",
                    ",".join(map(str, ids[begin : begin + WINDOW])))  # fmt: skip
                rows.append(np.load(out)[FIRST : WINDOW - 1])
            return np.concatenate(rows)

        # A text that goes on: the rest is no whole window.
        run("perplexity", "-m", files["f32"], "-f", text, "-c", WINDOW, "--chunks", WINDOWS, "--kl-divergence-base", saved)
        data = saved.read_bytes()
        base = logits("f32")
        scale, least, q = rounded(base)
        vocab = base.shape[1]
        header = b"_logits_" + struct.pack("<3i", WINDOW, vocab, WINDOWS) + np.array(ids, "<i4").tobytes()
        if data[: len(header)] != header:
            wrong.append(f"header {data[:20]!r}, want {header[:20]!r} and the text's tokens")
        rows = np.frombuffer(data[len(header) :], "<u2").reshape(len(base), -1)
        ends = np.ascontiguousarray(rows[:, :4]).view("<f4")
        apart = np.abs(rows[:, 4 : 4 + vocab].astype(np.int64) - q).max()
        if apart > 1 or np.abs(ends[:, 0] / scale[:, 0] - 1).max() > 1e-6 or np.abs(ends[:, 1] - least[:, 0]).max() > 1e-5:
            wrong.append(f"rows: numbers up to {apart} apart, scales {ends[:3]}")

        kept = ends[:, :1].astype(np.float64) * rows[:, 4 : 4 + vocab] + ends[:, 1:].astype(np.float64)
        next_ids = np.array(ids).reshape(WINDOWS, WINDOW)[:, FIRST + 1 :].reshape(-1)
        for kind in files:
            printed = run("perplexity", "-m", files[kind], "--kl-divergence", "--kl-divergence-base", saved)
            want = statistics(kept, logits(kind), next_ids)
            got = {}
            for line in printed.splitlines():
                match = re.fullmatch(r"(\S.*?) +(-?[\d.]+)(?: \+/- ([\d.]+))?(?: %)?", line)
                if match:
                    got[match[1]] = float(match[2]), float(match[3]) if match[3] else None
            if set(got) != set(want) or f"{len(next_ids)} tokens, the second half of each window" not in printed:
                wrong.append(f"{kind}: {printed}")
                continue
            for label, values in want.items():
                for value, told in zip(values, got[label]):
                    if (value is None) != (told is None) or (value is not None and abs(told - value) > TOLERANCE * max(1, abs(value))):
                        wrong.append(f"{kind}: {label} {got[label]}, want {values}")
            print(f"{kind}: mean KL divergence {want['Mean    KLD'][0]:.6f}, {want['Same top p'][0]:.2f} % same, {len(want)} figures")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
