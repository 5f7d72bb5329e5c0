#!/usr/bin/env python3
"""Hugging Face folders as people have them: what convert takes, and what it says of the rest."""
import json
import os
import re
import resource
import shutil
import struct
import subprocess

from harness import check, main

MICRO = "variants/micro-odd-sharded"  # tied, of 4 layers and 2 shards


class Folder:
    """A copy of a checkpoint whose files are links to the original until they are changed."""

    def __init__(self, source, path):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        self.path = path
        for file in source.iterdir():
            os.symlink(file.resolve(), path / file.name)

    def write(self, name, data):
        (self.path / name).unlink(missing_ok=True)
        (self.path / name).write_bytes(data if isinstance(data, bytes) else data.encode())

    def edit(self, name, change):
        value = json.loads((self.path / name).read_text())
        change(value)
        self.write(name, json.dumps(value))


def rope(st, models, folder):
    hf = Folder(models / MICRO, folder / "rope")
    out = folder / "rope.gguf"

    def parameters(value):
        def change(config):
            del config["rope_theta"]
            config["rope_parameters"] = value
        shutil.copy(models / MICRO / "config.json", hf.path / "was.json")
        hf.write("config.json", (hf.path / "was.json").read_bytes())
        hf.edit("config.json", change)

    parameters({"rope_type": "default", "rope_theta": 20000.0})
    result = st("convert", hf.path, "--outfile", out)
    check(result.returncode == 0, f"rope_parameters: {result.stderr}")
    keys = st("inspect", out).stdout
    check("20000" in keys and "scaling" not in keys, f"rope_theta of rope_parameters is written: {keys}")
    parameters({"rope_type": "linear", "rope_theta": 20000.0, "factor": 4.0})
    result = st("convert", hf.path, "--outfile", out)
    keys = st("inspect", out).stdout
    check(result.returncode == 0 and "smallthinker.rope.scaling.type" in keys and
          "smallthinker.rope.scaling.factor" in keys, f"linear scaling is written: {result.stderr} {keys}")
    texts = [st("run", "-m", out, "-p", "Once upon a time there was", "-n", 24, "--temp", 0).stdout]
    parameters({"rope_type": "default", "rope_theta": 20000.0})
    st("convert", hf.path, "--outfile", out)
    texts.append(st("run", "-m", out, "-p", "Once upon a time there was", "-n", 24, "--temp", 0).stdout)
    check(texts[0] and texts[1] and texts[0] != texts[1], f"linear scaling is computed: {texts}")
    parameters({"rope_type": "yarn", "rope_theta": 20000.0, "factor": 4.0, "original_max_position_embeddings": 64})
    st("convert", hf.path, "--outfile", out)
    keys = dict(re.findall(r"^smallthinker[.]rope[.]scaling[.](\S+) +(.*)$", st("inspect", out).stdout, re.MULTILINE))
    check(keys == {"type": "'yarn'", "factor": "4.0", "original_context_length": "64"}, f"YaRN is written: {keys}")
    texts.append(st("run", "-m", out, "-p", "Once upon a time there was", "-n", 24, "--temp", 0).stdout)
    check(len(set(texts)) == 3, f"YaRN is computed, by itself: {texts}")
    out.unlink(missing_ok=True)
    parameters({"rope_type": "longrope", "rope_theta": 20000.0, "factor": 4.0})
    st.refuses("longrope", "convert", hf.path, "--outfile", out,
               contains="config.json: rope_parameters: rope_type 'longrope' unsupported (known: default, linear, yarn)\n")
    check(not out.exists(), "nothing is written")


def config_keys(st, models, folder):
    hf = Folder(models / MICRO, folder / "keys")
    hf.edit("config.json", lambda c: c.update(new_gate=False))
    result = st("convert", hf.path, "--dry-run")
    check(result.returncode == 0 and "note: config.json: unknown keys that are off: new_gate\n" in result.stderr,
          f"an unknown key that is off is told: {result.stderr}")
    hf.edit("config.json", lambda c: c.update(new_gate=3))
    st.refuses("unknown key", "convert", hf.path, "--dry-run",
               contains="keys/config.json: new_gate 3 unsupported: the key is unknown and may change the model; "
                        "remove it from the file if it does not\n")


def head(st, models, folder):
    hf = Folder(models / "model", folder / "head")
    hf.edit("config.json", lambda c: c.pop("tie_word_embeddings"))
    dry = st("convert", hf.path, "--dry-run").stderr
    check("note: lm_head.weight left out: tie_word_embeddings is true\n" in dry,
          f"a dry run says of the head what it knows: {dry}")
    wet = st("convert", hf.path, "--outfile", folder / "head.gguf").stderr
    check("note: lm_head.weight left out although it differs from the embedding" in wet, f"heads are compared: {wet}")


def other_files(st, models, folder):
    """What is said of files that are not what their name says, and of files that are missing."""
    out = folder / "other.gguf"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 32634752\n"
    page = b"<!DOCTYPE html>\n<html><body>Log in</body></html>\n"
    is_pointer = "it is a Git LFS pointer, not the file itself: run 'git lfs pull'\n"
    is_page = "it is an HTML page: the download failed, or needs you to log in\n"
    for name, want in (("config.json", "a JSON object"), ("tokenizer.json", "a JSON object"),
                       ("tokenizer_config.json", "a JSON object"), ("generation_config.json", "a JSON object"),
                       ("model.safetensors.index.json", "a JSON object"),
                       ("model-00001-of-00002.safetensors", "a safetensors file")):
        hf = Folder(models / MICRO, folder / "other")
        for data, what in ((pointer, is_pointer), (page, is_page), (b"\x1f\x8b\x08" + bytes(9), "it is a gzip archive"),
                           (b"", "it is empty: was the download interrupted?\n")):
            if not data and name in ("tokenizer_config.json", "generation_config.json"):
                continue  # nothing in it is needed
            hf.write(name, data)
            st.refuses(f"{name} {what}", "convert", hf.path, "--outfile", out,
                       contains=f"other/{name}: not {want}: {what}")
    predictor = folder / "p.pt"
    predictor.write_bytes(pointer)
    st.refuses("predictor is a pointer", "convert", models / "model", "--outfile", out, "--lm-head-predictor",
               predictor, contains="p.pt: not a torch file: " + is_pointer)
    st.refuses("a file instead of a folder", "convert", models / "model/model.safetensors", "--outfile", out,
               contains="model.safetensors: is a file; give the folder that has config.json\n")
    check(not out.exists(), "nothing is written")


def shards(st, models, folder):
    """Shards say themselves how many they are; an index is not needed."""
    want = folder / "want.gguf"
    st("convert", models / MICRO, "--outfile", want)
    hf = Folder(models / MICRO, folder / "shards")
    (hf.path / "model.safetensors.index.json").unlink()
    out = folder / "shards.gguf"
    result = st("convert", hf.path, "--outfile", out)
    check(result.returncode == 0 and out.read_bytes() == want.read_bytes(), f"two shards, no index: {result.stderr}")
    (hf.path / "model-00002-of-00002.safetensors").unlink()
    st.refuses("a missing shard", "convert", hf.path, "--outfile", out,
               contains="shards/model-00002-of-00002.safetensors: missing; incomplete download?\n")
    hf = Folder(models / "variants/micro-4b-style", folder / "one")
    (hf.path / "model.safetensors").rename(hf.path / "model-00001-of-00001.safetensors")
    result = st("convert", hf.path, "--outfile", out)
    check(result.returncode == 0, f"one shard of one: {result.stderr}")


def pythons_numbers(st, models, folder):
    """Python's json writes NaN and Infinity."""
    hf = Folder(models / MICRO, folder / "nan")
    hf.edit("config.json", lambda c: c.update(initializer_range=float("nan"), attention_dropout=[0, float("inf")]))
    result = st("convert", hf.path, "--dry-run")
    check(result.returncode == 0, f"NaN where it does not matter: {result.stderr}")
    hf.edit("config.json", lambda c: c.update(rms_norm_eps=float("nan")))
    st.refuses("NaN where it matters", "convert", hf.path, "--dry-run",
               contains='nan/config.json: rms_norm_eps: want a number in 0..1, got "NaN"\n')
    hf.write("config.json", (hf.path / "config.json").read_text().replace("NaN", "1e400"))
    st.refuses("a number beyond all", "convert", hf.path, "--dry-run",
               contains="nan/config.json: number 1e400 at byte ")


def tokens(st, models, folder):
    """Errors of a tokenizer name its file; names that generation does not need may be wrong."""
    hf = Folder(models / MICRO, folder / "tok")
    hf.edit("tokenizer_config.json", lambda c: c.update(pad_token="<|PAD_TOKEN|>"))
    hf.edit("generation_config.json", lambda c: c.update(pad_token_id=-1))
    result = st("convert", hf.path, "--dry-run")
    check(result.returncode == 0, f"pad_token that is no token: {result.stderr}")
    hf.edit("tokenizer.json", lambda t: t["model"]["merges"].append("zz qq"))
    for command in (("convert", hf.path, "--dry-run"), ("tokenize", "-m", hf.path, "-p", "x")):
        st.refuses(f"{command[0]}: a merge of no tokens", *command,
                   contains="tok/tokenizer.json: merges[3821]: 'qq' not in vocab\n")
    (hf.path / "tokenizer.json").unlink()
    for name in ("vocab.json", "merges.txt"):
        hf.write(name, "{}")
    st.refuses("the slow tokenizer's files", "convert", hf.path, "--dry-run",
               contains="tok/tokenizer.json: missing, and vocab.json with merges.txt is not enough")


def values(st, models, folder):
    """A value that is not finite is told with its file."""
    hf = Folder(models / MICRO, folder / "values")
    name = "model-00001-of-00002.safetensors"
    data = bytearray((hf.path / name).read_bytes())
    start = 8 + struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:start])
    tensor, entry = next((t, e) for t, e in header.items() if t.endswith("experts.0.down.weight"))
    width = {"F32": 4}.get(entry["dtype"], 2)
    at = start + entry["data_offsets"][0] + (3 * entry["shape"][1] + 5) * width  # row 3, column 5
    data[at:at + width] = b"\xff" * (width - 1) + b"\x7f"
    hf.write(name, bytes(data))
    for arguments, place in (((), "row 3"), (("--transpose-down", "all"), "column 5")):
        st.refuses(f"NaN {place}", "convert", hf.path, "--outfile", folder / "values.gguf", "--no-progress", *arguments,
                   contains=f"values/{name}: tensor '{tensor}': {place}: a value is not finite or too large for F16\n")


def bounded(st, models, folder):
    """Files that are large, or small and full of nothing, are refused soon and in little memory."""
    hf = Folder(models / MICRO, folder / "bounded")

    def refused(name, data, contains, size=None):
        hf.write(name, data)
        if size:
            os.truncate(hf.path / name, size)
        with open(os.devnull) as null, subprocess.Popen([st.binary, "convert", str(hf.path), "--dry-run"], stdin=null,
                                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            err = process.stderr.read().decode()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        limit = usage_at_start + 64 + 4 * len(data) / 2**20
        check(process.returncode == 1 and err.endswith(f"bounded/{name}: {contains}\n"), f"{name}: {err[-300:]}")
        if not st.sanitized:
            check(usage.ru_utime + usage.ru_stime < 2, f"{name}: {usage.ru_utime + usage.ru_stime} s")
            check(usage.ru_maxrss / 1024 < limit, f"{name}: {usage.ru_maxrss / 1024} MiB, want {limit}")
        shutil.copy(models / MICRO / name, hf.path / name)

    # A child begins with its parent's peak.
    usage_at_start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    refused("config.json", b"{}", "3221225472 bytes exceed the limit of 1048576", 3 << 30)
    refused("generation_config.json", b"{}", "3221225472 bytes exceed the limit of 1048576", 3 << 30)
    refused("tokenizer.json", b"{}", "3221225472 bytes exceed the limit of 67108864", 3 << 30)
    refused("tokenizer_config.json", b"{}", "3221225472 bytes exceed the limit of 16777216", 3 << 30)
    refused("model.safetensors.index.json", b"{}", "3221225472 bytes exceed the limit of 16777216", 3 << 30)
    refused("config.json", b'{"a":[' + b"[]," * 340_000 + b"1]}", "JSON of more than 131072 values")
    refused("tokenizer.json", b'{"a":[' + b"{}," * 10_000_000 + b"1]}", "JSON of more than 131072 values")
    refused("tokenizer_config.json", b'{"a":[' + b"{}," * 5_000_000 + b"1]}", "JSON of more than 131072 values")
    refused("tokenizer.json", b'{"a":"' + b"x" * 60_000_000,
            "JSON with a token of more than 16777216 bytes at byte 6 (line 1, column 6)")


if __name__ == "__main__":
    main(__doc__, rope, config_keys, head, other_files, shards, pythons_numbers, tokens, values, bounded)
