#!/usr/bin/env python3
"""Compares what our quantiser makes of a file with what llama.cpp's makes of it.

Usage:
  mixes.py --binary build/smallthinker --library DIR --models models/tiny-smallthinker --work DIR

The type of every tensor must be the same, for each mix, with --pure, with an importance matrix and
with the options for single tensors; and the bytes of all tensors whose types search nothing.
Where a search would fill large models and no bytes can be compared, both only say the types.
Prints one line per file, then "N passed, M failed"; exit status 1 if anything failed.
"""

import argparse
import collections
import pathlib
import re
import struct
import subprocess
import sys

import numpy as np

import gguf_keys
import gguf_tensors
import libllama

MIXES = [mix for mix in libllama.FILE_TYPES if mix not in ("F32", "F16")]
# Types of tensors whose bytes follow from rules without a search.
RULED = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"}
# Mixes of nothing else.
RULED_MIXES = ["BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4_MOE"]
# Made-up models whose rows are whole super-blocks: name, layers that make a difference to rules.
SYNTH = ["tiny", "qwen3-tiny", "qwen3-moe-tiny", "gemma3n-tiny"]
# Checkpoints with rows that are not.
CHECKPOINTS = ["micro-qwen3", "micro-qwen3-untied", "micro-qwen3moe", "micro-gemma3n-odd"]
IDS = {name: id for id, (name, _, _) in gguf_tensors.TYPES.items()}
# Options for single tensors, ours and llama.cpp's.
SINGLE = [
    (
        ["--output-tensor-type", "Q5_K", "--token-embedding-type", "Q3_K"],
        {"output_tensor_type": IDS["Q5_K"], "token_embedding_type": IDS["Q3_K"]},
    ),
    (["--output-tensor-type", "Q8_0"], {"output_tensor_type": IDS["Q8_0"]}),
    (
        ["--tensor-type", r"blk\.[0-3]\.attn_(q|k)=Q8_0", "--tensor-type", "attn=iq4_xs"],
        {"tensor_types": [(r"blk\.[0-3]\.attn_(q|k)", IDS["Q8_0"]), ("attn", IDS["IQ4_XS"])]},
    ),
]


class Comparison:
    """Runs both quantisers on one file after the other."""

    def __init__(self, binary, library, work):
        self.binary, self.llama, self.work = binary, libllama.Library(library), work
        self.passed = self.failed = 0

    def run(self, *arguments):
        """Our program; what it says."""
        result = subprocess.run(
            [str(a) for a in (self.binary, *arguments)], capture_output=True, text=True
        )
        if result.returncode != 0:
            raise libllama.LlamaError(f"{arguments[0]}: {result.stderr.strip()}")
        return result.stderr

    def compare(self, name, source, mix, options=(), **theirs):
        """One mix of one file, with options for ours and for theirs."""
        ours, other = self.work / "ours.gguf", self.work / "theirs.gguf"
        dry = name in SYNTH and mix not in RULED_MIXES
        try:
            self.llama.quantize(source, other, mix, dry_run=dry, **theirs)
            said = self.run(
                "quantize", *["--dry-run"] * dry, "--no-progress", *options, source, ours, mix
            )
            if dry:
                problems, text = different_types(said, "".join(self.llama.log))
            else:
                problems, text = differences(ours, other)
        except libllama.LlamaError as error:
            problems, text = [str(error)], "stopped"
        self.failed += bool(problems)
        self.passed += not problems
        print(f"{'FAIL' if problems else 'ok'}  {name} {mix} {' '.join(map(str, options))}: {text}")
        for problem in problems[:6]:
            print(f"      {problem}")


def differences(ours, theirs):
    """What is wrong, and what was compared in words."""
    metadata, found = gguf_tensors.read(ours)
    wanted_metadata, wanted = gguf_tensors.read(theirs)
    problems = [f"only in one file: {tensor}" for tensor in sorted(found.keys() ^ wanted.keys())]
    key = "general.file_type"
    if metadata[key] != wanted_metadata[key]:
        problems.append(f"{key} {metadata[key]}, want {wanted_metadata[key]}")
    types, same_bytes = collections.Counter(), 0
    for tensor in sorted(found.keys() & wanted.keys()):
        (type, shape, data), (wanted_type, wanted_shape, wanted_data) = found[tensor], wanted[tensor]
        types[type] += 1
        if (type, shape) != (wanted_type, wanted_shape):
            problems.append(f"{tensor} {shape}: {type}, want {wanted_type} {wanted_shape}")
        elif type in RULED and "quantize.imatrix.file" not in metadata:
            same_bytes += 1
            if data != wanted_data:
                problems.append(f"{tensor}: {type} has other bytes")
    counts = ", ".join(f"{count} {type}" for type, count in sorted(types.items()))
    return problems, f"{counts}; bytes of {same_bytes} equal"


def different_types(ours, theirs):
    """The same of what dry runs say: types only."""
    found = dict(re.findall(r"^(\S+) +\[[^]]*\] (?:\S+ -> )?(\S+)$", ours, re.M))
    line = r"\] +(\S+) +- \[[^]]*\], type = +(\S+), size = [^(\n]*(?:\((\S+)\))?"
    wanted = {name: (to or kept).upper() for name, kept, to in re.findall(line, theirs)}
    problems = [f"only said of one: {tensor}" for tensor in sorted(found.keys() ^ wanted.keys())]
    for tensor in sorted(found.keys() & wanted.keys()):
        if found[tensor] != wanted[tensor]:
            problems.append(f"{tensor}: {found[tensor]}, want {wanted[tensor]}")
    if not found:
        problems.append("no tensor in what a dry run says")
    counts = sorted(collections.Counter(found.values()).items())
    return problems, ", ".join(f"{count} {type}" for type, count in counts)


def write_importance(path, tensors, random):
    """An importance matrix for the matrices of a file; {name: values} as llama.cpp takes them."""
    entries, importance = [], {}
    for name, (_, shape, _) in tensors.items():
        if len(shape) < 2 or not name.startswith("blk."):
            continue
        cols, experts = shape[0], shape[2] if len(shape) > 2 else 1
        sums = np.exp(random.standard_normal((experts, cols))).astype("<f4")
        entries += [(f"{name}.in_sum2", sums), (f"{name}.counts", np.full((experts, 1), 8, "<f4"))]
        importance[name] = np.ascontiguousarray(sums / 8)
    keys = [
        gguf_keys.encode("general.type", "str", "imatrix"),
        gguf_keys.encode("imatrix.datasets", "strs", ["made up"]),
        gguf_keys.encode("imatrix.chunk_count", "u32", 1),
        gguf_keys.encode("imatrix.chunk_size", "u32", 8),
    ]
    infos, data = b"", b""
    for name, values in entries:
        rows, cols = values.shape
        infos += gguf_keys.text(name) + struct.pack("<IQQIQ", 2, cols, rows, 0, len(data))
        data += values.tobytes() + bytes(-values.nbytes % 32)
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(entries), len(keys)) + b"".join(keys) + infos
    path.write_bytes(header + bytes(-len(header) % 32) + data)
    return importance


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("binary", "models", "work"):
        parser.add_argument("--" + name, type=pathlib.Path, required=True)
    parser.add_argument("--library", dest="llama", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    comparison = Comparison(args.binary.resolve(), args.llama, args.work)
    source, imatrix = args.work / "source.gguf", args.work / "imatrix.gguf"
    random = np.random.default_rng(7)
    for name in SYNTH + CHECKPOINTS:
        if name in SYNTH:
            comparison.run("synth", name, "--type", "f16", "-o", source, "--no-progress")
        else:
            folder = args.models.parent / name
            comparison.run("convert", folder, "--outtype", "f16", "-o", source, "--no-progress")
        importance = write_importance(imatrix, gguf_tensors.read(source)[1], random)
        for mix in MIXES:
            comparison.compare(name, source, mix)
        for mix in ("Q4_0", "Q5_0", "IQ4_XS"):
            comparison.compare(name, source, mix, ["--imatrix", imatrix], imatrix=importance)
        if name in SYNTH:
            for mix in ("Q8_0", "Q4_K_M", "Q5_1", "MXFP4_MOE"):
                comparison.compare(name, source, mix, ["--pure"], pure=True)
            for options, theirs in SINGLE:
                comparison.compare(name, source, "Q4_K_M", options, **theirs)
    print(f"{comparison.passed} passed, {comparison.failed} failed")
    sys.exit(1 if comparison.failed else 0)


if __name__ == "__main__":
    main()
