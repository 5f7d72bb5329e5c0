#!/usr/bin/env python3
"""Hugging Face folders as people have them: what convert takes, and what it says of the rest."""
import json
import os
import shutil

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
    out.unlink(missing_ok=True)
    parameters({"rope_type": "yarn", "rope_theta": 20000.0, "factor": 4.0})
    st.refuses("yarn", "convert", hf.path, "--outfile", out,
               contains="config.json: rope_parameters: rope_type 'yarn' unsupported (known: default, linear)\n")
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


if __name__ == "__main__":
    main(__doc__, rope, config_keys, head)
