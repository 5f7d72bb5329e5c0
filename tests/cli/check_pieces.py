#!/usr/bin/env python3
"""Texts of a model whose tokens are pieces with scores: BOS comes first, once, whoever reads the text; what is wrong with
its vocabulary is one line."""
import json
import struct

import numpy
from harness import PROMPT, check, main

BOS = 2


def convert(st, models, folder):
    path = folder / "gemma.gguf"
    result = st("convert", models.parent / "micro-gemma3n", "-o", path)
    check(result.returncode == 0, f"convert: {result}")
    return path


def bos_comes_first_once(st, models, folder):
    model = convert(st, models, folder)

    def ids(*arguments):
        return json.loads(st("tokenize", "-m", model, "--ids", *arguments).stdout)

    plain = ids("-p", PROMPT)
    check(plain[0] == BOS and BOS not in plain[1:], f"tokenize: {plain}")
    check(ids("-p", "<bos>" + PROMPT) == plain, "a text that brings its own BOS")
    check(ids("-p", "") == [BOS], "an empty text is BOS alone")
    check(st("tokenize", "-m", models.parent / "micro-gemma3n", "--ids", "-p", PROMPT).stdout ==
          st("tokenize", "-m", model, "--ids", "-p", PROMPT).stdout, "a folder and a file have the same tokens")

    def logits(*arguments):
        out = folder / "logits.npy"
        result = st("logits", "-m", model, "-o", out, *arguments)
        check(result.returncode == 0, f"logits: {result}")
        return numpy.load(out)

    check((logits("-p", PROMPT) == logits("--tokens", ",".join(map(str, plain)))).all(), "logits begin with BOS")
    check((logits("-p", PROMPT) != logits("--tokens", ",".join(map(str, plain[1:])))).any(), "which matters")

    result = st("run", "-m", model, "-p", PROMPT, "-n", 2, "--temp", 0)
    check(result.stdout.startswith(PROMPT), f"run shows the prompt as it was: {result.stdout[:60]!r}")
    check(f"{len(plain)} tokens" in result.stderr, f"run counts BOS: {result.stderr}")

    text = folder / "text"
    text.write_text("The king said. " * 40)
    for context, windows in ((64, 4), (512, 1)):
        result = st("perplexity", "-m", model, "-f", text, "-c", context)
        check(result.returncode == 0 and f"/{windows}]" in result.stderr, f"perplexity: {result}")


def vocabularies_that_contradict_themselves(st, models, folder):
    good = convert(st, models, folder).read_bytes()
    scores = good.index(b"tokenizer.ggml.scores") + len(b"tokenizer.ggml.scores") + 4 + 4 + 8
    prefix = good.index(b"tokenizer.ggml.add_space_prefix") + len(b"tokenizer.ggml.add_space_prefix") + 4
    piece = good.index(b"\x02\0\0\0\0\0\0\0he") + 8  # token 278
    damaged = [
        (good.replace(b"tokenizer.ggml.scores", b"tokenizer.ggml.scorez"), "tokenizer.ggml.scores: missing"),
        (good[:scores + 4 * 278] + struct.pack("<f", float("nan")) + good[scores + 4 * 279:],
         "scores[278]: nan, want a finite number"),
        (good.replace(b"<0x42>", b"<0x41>"), "tokens[87]: byte 0x41 is also token 86"),
        (good.replace(b"<0x42>", b"<0y42>"), "tokens[87]: '<0y42>' is no byte, want <0x00>..<0xFF>"),
        (good[:piece] + b"in" + good[piece + 2:], "tokens[284]: 'in' is also token 278"),
        (good[:piece] + b"h " + good[piece + 2:], "tokens[278]: 'h ' has a blank, want U+2581 for it"),
        (good[:prefix] + b"\1" + good[prefix + 1:], "tokenizer.ggml.add_space_prefix: true"),
    ]
    bad = folder / "bad.gguf"
    for content, message in damaged:
        check(content != good, f"{message}: nothing was changed")
        bad.write_bytes(content)
        for command in (["tokenize", "-m", bad, "-p", "x"], ["run", "-m", bad, "-p", "x", "-n", 1]):
            st.refuses(message, *command, contains=message)


if __name__ == "__main__":
    main(__doc__, bos_comes_first_once, vocabularies_that_contradict_themselves)
