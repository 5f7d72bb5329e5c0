#!/usr/bin/env python3
"""Compares this project's GGUF files and logits with llama.cpp's.  README.md has the why.

Usage:
  compare.py --binary build/smallthinker --library DIR --models models/tiny-smallthinker \
             --work DIR

Prints one line per GGUF file, then "N passed, M failed"; exit status 1 if anything failed.
"""

import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np

import gguf_keys
import gguf_tensors
import llama_logits

# name, checkpoint and goldens below --models
MODELS = [
    ("tiny", "model", "golden/prompts.json"),
    *(
        (name, f"variants/{name}", f"variants/{name}/golden.json")
        for name in ("micro-4b-style", "micro-21b-style-softmax", "micro-odd-sharded")
    ),
]
# Folders beside the tiny model's, with their golden.json, that llama.cpp computes in full.
OTHERS = ["micro-qwen3", "micro-qwen3-untied", "micro-qwen3moe"]
# The one of Gemma 3n whose constants llama.cpp has built in.
GEMMA = "micro-gemma3n-e2b-style"
# What our converter writes, and our KV cache types to run it with.
OUR_TYPES = [
    ("F32", ["f32"]),
    ("F16", ["f32", "f16"]),
    ("BF16", ["f32"]),
    ("Q8_0", ["f16"]),
    ("Q4_0", ["f16"]),
]
# What llama.cpp makes of our F16 file: file type, --pure
UPSTREAM_TYPES = [
    ("Q4_0", True),
    ("Q8_0", True),
    ("Q4_0", False),
    ("Q4_1", False),
    ("Q5_0", False),
    ("Q5_1", False),
    ("Q4_K_M", False),
    ("Q5_K_M", False),
    ("Q6_K", False),
    ("Q2_K", False),
    ("Q3_K_M", False),
    ("IQ4_NL", False),
    ("IQ4_XS", False),
    ("MXFP4_MOE", False),  # of experts; what else there is becomes Q8_0
]

# Keys that llama.cpp reads as we must: name, keys to drop, keys to add to the tiny model's.
BASE, FACTOR, LINEAR, SCALING, CONTEXT, ATTENTION = (
    f"smallthinker.rope.{key}"
    for key in (
        "freq_base",
        "scaling.factor",
        "scale_linear",
        "scaling.type",
        "scaling.original_context_length",
        "scaling.attn_factor",
    )
)
YARN = [(SCALING, "str", "yarn"), (CONTEXT, "u32", 256)]
KEYS = [
    ("no rope base", [BASE], []),
    ("RoPE factor 4", [], [(FACTOR, "f32", 4.0)]),
    ("linear RoPE, factor 2.5", [], [(SCALING, "str", "linear"), (FACTOR, "f32", 2.5)]),
    ("RoPE factor under its older name", [], [(LINEAR, "f32", 4.0)]),
    ("YaRN, factor 4", [], [*YARN, (FACTOR, "f32", 4.0)]),
    # It ignores betas here: for this family it does not read them.
    ("YaRN, attention scaled", [], [*YARN, (FACTOR, "f32", 2.5), (ATTENTION, "f32", 1.25)]),
]

EXACT_BAR = 1e-3  # for whatever computes in F32, ours or llama.cpp; 5e-5 measured
TABLE_BAR = 2e-2  # for gelu from a table of F16; 4.5e-3 measured
NOISE_BAR = 2e-2  # differences below this never matter
NOISE_SLACK = 1.5  # otherwise: our quantiles of the difference against those of llama.cpp
QUANTILES = (0.5, 0.9)  # of the positions; routing flips own the rest, see README.md
SPARE_MISSES = 3, 0.01  # greedy steps lost to flips on top of llama.cpp's: this, or this share
UPSTREAM_WINDOW = 4096  # llama.cpp's window for this architecture, whatever the file says
ONE_TOKEN_PROMPTS = 64  # for a model comparable at position 0 only


class CompareError(Exception):
    """Our binary or llama.cpp did not do what it was told to."""


@dataclasses.dataclass
class Prompt:
    """Tokens to start from, greedy tokens to add, and the golden logits after the former."""

    ids: list
    generate: int
    golden: list


@dataclasses.dataclass
class Sequence:
    """What is computed: a prompt with llama.cpp's greedy continuation; n_prompt of the former."""

    ids: list
    n_prompt: int
    golden: list


@dataclasses.dataclass
class Report:
    """The outcome of one check."""

    name: str
    text: str
    problems: list

    def show(self):
        """One line, plus one for each problem."""
        print(f"{'FAIL' if self.problems else 'ok':4} {self.name}: {self.text}")
        for problem in self.problems:
            print(f"       {problem}")
        sys.stdout.flush()


def comparable_length(config):
    """For how many leading positions llama.cpp's attention is the one the checkpoint asks for.

    llama.cpp knows two layouts.  Without a sliding window in the file: RoPE everywhere and no
    window.  With one: layers 0, 4, 8, ... global and without RoPE, the others with RoPE and a
    window of 4096.  Position 0 is always comparable: RoPE turns by nothing and there is one key.
    """
    window = config["sliding_window_size"]
    sliding = [bool(flag) for flag in config["sliding_window_layout"]]
    rope = [bool(flag) for flag in config["rope_layout"]]
    upstream_sliding = [any(sliding) and layer % 4 != 0 for layer in range(len(sliding))]
    upstream_rope = upstream_sliding if any(sliding) else [True] * len(rope)
    if rope != upstream_rope:
        return 1
    if sliding == upstream_sliding and (window == UPSTREAM_WINDOW or not any(sliding)):
        return config["max_position_embeddings"]
    return min(window, UPSTREAM_WINDOW)


def load_prompts(checkpoint, golden_file):
    """The golden prompts, cut to what is comparable; returns (length limit, [Prompt])."""
    config = json.loads((checkpoint / "config.json").read_text())
    limit = comparable_length(config)
    cases = json.loads(golden_file.read_text())["prompts"]
    if limit == 1:
        tokens = sorted({token for case in cases for token in case["ids"]})
        return limit, [Prompt([token], 1, []) for token in tokens[:ONE_TOKEN_PROMPTS]]
    prompts = []
    for case in cases:
        ids = case["ids"] or case["effective_ids_if_empty"]
        greedy = case["greedy64"]["ids"] if "greedy64" in case else case["greedy24"]
        golden = case["top10"] if len(ids) <= limit else []
        ids = ids[:limit]
        # The last token generated is never fed back, hence one more than there is room for.
        prompts.append(Prompt(ids, min(len(greedy), limit - len(ids) + 1), golden))
    return limit, prompts


def load_other_prompts(golden_file):
    """The prompts of a model of which every position is comparable."""
    cases = json.loads(golden_file.read_text())["prompts"]
    return [Prompt(case["ids"], len(case["greedy"]["ids"]), case["top10"]) for case in cases]


def distances(a, b):
    """Per position, the largest difference of a logit."""
    return np.concatenate([np.abs(x - y).max(axis=1) for x, y in zip(a, b, strict=True)])


def greedy_misses(logits, exact, sequences, bar):
    """Generated steps at which `logits` choose a token that is worse than the best by > bar."""
    misses = 0
    for ours, best, sequence in zip(logits, exact, sequences, strict=True):
        for ours_row, row in zip(ours[sequence.n_prompt - 1 :], best[sequence.n_prompt - 1 :]):
            misses += row.max() - row[np.argmax(ours_row)] > bar
    return misses


def golden_difference(logits, sequences):
    """Largest difference from the golden top-10 logits after the prompts."""
    found = [
        abs(float(rows[sequence.n_prompt - 1][entry["id"]]) - entry["logit"])
        for rows, sequence in zip(logits, sequences, strict=True)
        for entry in sequence.golden
    ]
    return max(found, default=None)


def spread(values):
    """Median, 90th percentile and maximum as text."""
    return " ".join(f"{v:.2g}" for v in [*np.quantile(values, QUANTILES), values.max()])


class Comparison:
    """Runs both engines on one GGUF file after the other."""

    def __init__(self, binary, library, work, threads):
        self.binary, self.llama, self.work, self.threads = binary, library, work, threads
        self.reports = []

    def report(self, name, text, problems=()):
        """Record and print the outcome of one check."""
        self.reports.append(Report(name, text, list(problems)))
        self.reports[-1].show()

    def run(self, *arguments):
        """Run our binary; its stderr is the message if it fails."""
        command = [str(self.binary), *(str(argument) for argument in arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CompareError(
                f"exit status {done.returncode}: {' '.join(command)}\n{done.stderr.strip()}"
            )

    def our_logits(self, path, sequences, cache):
        """Logits of all positions from our binary."""
        output, result = self.work / "ours.npy", []
        options = ["-m", path, "-t", self.threads, "--cache-type", cache, "--all", "-o", output]
        for sequence in sequences:
            self.run("logits", *options, "--tokens", ",".join(map(str, sequence.ids)))
            result.append(np.load(output))
            if result[-1].dtype != np.float32:
                raise CompareError(f"{output}: {result[-1].dtype}, expected float32")
        return result

    def llama_logits(self, path, sequences, kv):
        """Logits of all positions from llama.cpp."""
        n_ctx = max(256, *(len(sequence.ids) for sequence in sequences))
        with llama_logits.Model(self.llama, path, n_ctx, self.threads, kv) as model:
            return [model.logits(sequence.ids) for sequence in sequences]

    def continue_greedily(self, path, prompts):
        """Append llama.cpp's own greedy tokens (all but the last, which needs no logits)."""
        n_ctx = max(256, *(len(prompt.ids) + prompt.generate for prompt in prompts))
        with llama_logits.Model(self.llama, path, n_ctx, self.threads, "f16") as model:
            return [
                Sequence(
                    prompt.ids + model.greedy(prompt.ids, prompt.generate)[:-1],
                    len(prompt.ids),
                    prompt.golden,
                )
                for prompt in prompts
            ]

    def exact_logits(self, path, sequences):
        """llama.cpp's logits with every weight at its exact value and all arithmetic in F32."""
        exact = self.work / "exact.gguf"
        self.llama.quantize(path, exact, "F32", threads=self.threads)
        try:
            return self.llama_logits(exact, sequences, "f32")
        finally:
            exact.unlink()

    def expect(self, path, prompts):
        """What llama.cpp makes of a file: sequences, their exact logits, its own logits."""
        sequences = self.continue_greedily(path, prompts)
        exact = self.exact_logits(path, sequences)
        return sequences, exact, self.llama_logits(path, sequences, "f16")

    def compare(self, name, path, expected, cache, strict):
        """Our logits of one GGUF file against exact ones and against those of llama.cpp.

        `strict`: ours computes in F32, so every position must be within EXACT_BAR of the exact
        logits.  Otherwise llama.cpp's own distance from them is the measure.
        """
        sequences, exact, upstream = expected
        ours = self.our_logits(path, sequences, cache)
        problems = []
        for rows, wanted in zip(ours, exact, strict=True):
            if rows.shape != wanted.shape or not np.isfinite(rows).all():
                problems.append(f"logits {rows.shape}, expected finite {wanted.shape}")
        if problems:
            self.report(name, "malformed logits", problems)
            return
        our_noise, their_noise = distances(ours, exact), distances(upstream, exact)
        if strict:
            bar = EXACT_BAR
            if (oracle := golden_difference(exact, sequences) or 0.0) > bar:
                problems.append(f"the oracle itself is {oracle:.2g} from the goldens")
            if our_noise.max() > bar:
                problems.append(f"{(our_noise > bar).sum()} positions beyond {bar}")
        else:
            bar = max(NOISE_BAR, np.quantile(their_noise, QUANTILES[-1]))
            for quantile in QUANTILES:
                limit = max(NOISE_BAR, NOISE_SLACK * np.quantile(their_noise, quantile))
                if (found := np.quantile(our_noise, quantile)) > limit:
                    problems.append(f"quantile {quantile}: {found:.3g} > {limit:.3g}")
        steps = sum(len(s.ids) - s.n_prompt + 1 for s in sequences)
        equal = steps - greedy_misses(ours, upstream, sequences, 0.0)
        misses = greedy_misses(ours, exact, sequences, bar)
        allowed = 0
        if not strict:
            spare, share = SPARE_MISSES
            allowed = greedy_misses(upstream, exact, sequences, bar) + max(spare, share * steps)
        if misses > allowed:
            problems.append(f"{misses} greedy steps worse than the best token by > {bar:.2g}")
        golden = golden_difference(ours, sequences), golden_difference(upstream, sequences)
        text = (
            f"{len(ours)} prompts, {len(our_noise)} positions, greedy {equal}/{steps} equal; "
            f"from exact (median p90 max): ours {spread(our_noise)}, "
            f"llama.cpp {spread(their_noise)}; from llama.cpp {spread(distances(ours, upstream))}"
        )
        if None not in golden:
            text += f"; from f32 golden: ours {golden[0]:.2g}, llama.cpp {golden[1]:.2g}"
        self.report(name, text, problems)

    def compare_bytes(self, name, upstream_path, our_path):
        """Every tensor of two files: same name, type, shape, bytes."""
        theirs = gguf_tensors.read(upstream_path)[1]
        ours = gguf_tensors.read(our_path)[1]
        problems = [
            f"only in one file: {tensor}" for tensor in sorted(theirs.keys() ^ ours.keys())
        ]
        equal = 0
        for tensor in theirs.keys() & ours.keys():
            if theirs[tensor] == ours[tensor]:
                equal += 1
            else:
                (type_a, shape_a, data_a), (type_b, shape_b, data_b) = theirs[tensor], ours[tensor]
                detail = f"{type_a} {shape_a} / {type_b} {shape_b}"
                if (type_a, shape_a) == (type_b, shape_b):
                    pairs = zip(data_a, data_b, strict=True)
                    detail = f"{type_a}, {sum(a != b for a, b in pairs)} of {len(data_a)} bytes"
                problems.append(f"{tensor} differs: {detail}")
        self.report(name, f"{equal} of {len(theirs)} tensors equal in every byte", problems)

    def compare_values(self, name, path, exact_path):
        """A file of floats has the values of the F32 one: the weights are exact in all types."""
        found, wanted = gguf_tensors.read(path)[1], gguf_tensors.read(exact_path)[1]
        problems = [f"only in one file: {tensor}" for tensor in sorted(found.keys() ^ wanted.keys())]
        for tensor in found.keys() & wanted.keys():
            if not np.array_equal(gguf_tensors.floats(found[tensor]), gguf_tensors.floats(wanted[tensor])):
                problems.append(f"{tensor} differs")
        self.report(name, f"{len(found)} tensors have the values of the F32 file", problems)

    def guarded(self, name, check, *arguments):
        """Run a check; an exception is its failure, not the end of the run."""
        try:
            check(*arguments)
        except (CompareError, llama_logits.LlamaError, OSError, ValueError) as error:
            self.report(name, "stopped", [str(error)])

    def our_files(self, name, checkpoint, prompts):
        """All types our converter writes."""
        for file_type, caches in OUR_TYPES:
            path = self.work / f"{name}-{file_type}.gguf"
            strict = "Q" not in file_type

            def check(path=path, file_type=file_type, caches=caches, strict=strict):
                outtype = file_type.lower()
                self.run("convert", checkpoint, "--outfile", path, "--outtype", outtype)
                expected = self.expect(path, prompts)
                for cache in caches:
                    label = f"{name} {file_type}, {cache} cache"
                    self.compare(label, path, expected, cache, strict and cache == "f32")

            self.guarded(f"{name} {file_type}", check)

    def quantised_bytes(self, name):
        """Our quantiser against llama.cpp's, which keeps some tensors as they are."""
        source = self.work / f"{name}-F16.gguf"
        for file_type, pure in UPSTREAM_TYPES:
            theirs = self.work / f"{name}-upstream-{file_type}.gguf"
            ours = self.work / f"{name}-our-pure-{file_type}.gguf"

            def check(theirs=theirs, ours=ours, file_type=file_type):
                self.llama.quantize(source, theirs, file_type, True, self.threads)
                self.run("quantize", "--pure", source, ours, file_type)
                self.compare_bytes(f"{name} pure {file_type} bytes", theirs, ours)

            if pure:
                self.guarded(f"{name} pure {file_type} bytes", check)

    def upstream_files(self, name, prompts):
        """What llama.cpp's quantiser makes of our F16 file, read by ours."""
        source = self.work / f"{name}-F16.gguf"
        for file_type, pure in UPSTREAM_TYPES:
            label = f"{name} upstream {'pure ' if pure else ''}{file_type}"
            path = self.work / f"{label.replace(' ', '-')}.gguf"

            def check(path=path, file_type=file_type, pure=pure, label=label):
                self.llama.quantize(source, path, file_type, pure, self.threads)
                self.compare(label, path, self.expect(path, prompts), "f16", False)

            self.guarded(label, check)

    def by_reference(self, name, checkpoint, prompts):
        """Our files in llama.cpp against the NumPy reference with llama.cpp's choices.

        It divides the variance of gates by F - 1 and looks gelu up in a table, which on shapes as
        small as these moves logits further than any rounding, so ours cannot be the measure.
        """
        sys.path.insert(0, str(checkpoint.parent / "reference"))
        from reference_gemma3n import Gemma3n  # pylint: disable=import-outside-toplevel

        sequences = [Sequence(prompt.ids, len(prompt.ids), []) for prompt in prompts]
        reference = Gemma3n(checkpoint, rules="llama.cpp")
        wanted = [reference.logits(sequence.ids) for sequence in sequences]
        exact = self.work / f"{name}-F32.gguf"

        def check():
            self.run("convert", checkpoint, "--outfile", exact, "--outtype", "f32")
            far = distances(self.llama_logits(exact, sequences, "f32"), wanted)
            problems = [f"beyond {TABLE_BAR}"] if far.max() > TABLE_BAR else []
            text = f"{len(far)} positions, llama.cpp from its rules in NumPy {spread(far)}"
            self.report(f"{name} F32", text, problems)

        self.guarded(f"{name} F32", check)
        for file_type in ("F16", "BF16"):
            path = self.work / f"{name}-{file_type}.gguf"

            def check_values(path=path, file_type=file_type):
                self.run("convert", checkpoint, "--outfile", path, "--outtype", file_type.lower())
                self.compare_values(f"{name} {file_type}", path, exact)

            self.guarded(f"{name} {file_type}", check_values)

    def other_keys(self, name, prompts):
        """Our F32 file with other keys: F32 arithmetic on either side."""
        source = self.work / f"{name}-F32.gguf"
        for title, drop, add in KEYS:
            path = self.work / f"{name}-keys.gguf"

            def check(path=path, drop=drop, add=add, title=title):
                gguf_keys.write_changed(source, path, drop, add)
                sequences = [Sequence(prompt.ids, len(prompt.ids), []) for prompt in prompts]
                ours = self.our_logits(path, sequences, "f32")
                theirs = self.llama_logits(path, sequences, "f32")
                far = distances(ours, theirs)
                problems = [f"beyond {EXACT_BAR}"] if far.max() > EXACT_BAR else []
                self.report(f"{name} {title}", f"{len(far)} positions, {spread(far)}", problems)

            self.guarded(f"{name} {title}", check)


def arguments_of(description):
    """A parser of what every comparison is told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--binary", required=True, type=pathlib.Path, help="our smallthinker")
    parser.add_argument("--library", dest="llama", required=True, help="folder with libllama.*so")
    parser.add_argument("--models", required=True, type=pathlib.Path, help="tiny-smallthinker")
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder for GGUF files")
    return parser


def main():
    """Command line; see the top of the file."""
    parser = arguments_of(__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="for either engine")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    try:
        library = llama_logits.Library(args.llama)
    except (llama_logits.LlamaError, OSError) as error:
        sys.exit(f"compare.py: {error}")
    comparison = Comparison(args.binary.resolve(), library, args.work, args.threads)
    for name, checkpoint, golden in MODELS:
        limit, prompts = load_prompts(args.models / checkpoint, args.models / golden)
        print(f"{name}: the first {limit} positions are comparable")
        comparison.our_files(name, args.models / checkpoint, prompts)
        if name == "tiny":
            comparison.upstream_files(name, prompts)
            comparison.other_keys(name, prompts)
            comparison.quantised_bytes(name)
    for name in [*OTHERS, GEMMA]:
        checkpoint = args.models.parent / name
        prompts = load_other_prompts(checkpoint / "golden.json")
        if name == GEMMA:
            comparison.by_reference(name, checkpoint, prompts)
        else:
            comparison.our_files(name, checkpoint, prompts)
            comparison.upstream_files(name, prompts)
        comparison.quantised_bytes(name)
    failed = sum(bool(report.problems) for report in comparison.reports)
    print(f"{len(comparison.reports) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
