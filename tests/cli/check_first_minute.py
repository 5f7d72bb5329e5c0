#!/usr/bin/env python3
"""The first minute of somebody who knows nothing yet: no arguments, a file, a text, a folder, a slip."""
import json
import os
import shutil
import subprocess

from harness import PROMPT, check, main

EXAMPLE = "ggml-org/Qwen3-0.6B-GGUF:Q4_0"


class Newcomer:
    """Runs the command in an empty folder, with an empty home."""

    def __init__(self, st, folder):
        self.st = st
        self.home = folder / f"newcomer-{len(list(folder.iterdir()))}"
        self.here = self.home / "here"
        self.here.mkdir(parents=True)
        self.env = {**os.environ, "HOME": str(self.home), "HF_HUB_OFFLINE": "1"}
        for name in "XDG_DATA_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "SMALLTHINKER_MODEL":
            self.env.pop(name, None)

    def __call__(self, *arguments, **env):
        return subprocess.run([os.path.abspath(self.st.binary), *map(str, arguments)], cwd=self.here, input="",
                              capture_output=True, text=True, timeout=120, env={**self.env, **env})


def start(st, gguf, folder):
    new = Newcomer(st, folder)
    result = new()
    check(result.returncode == 0 and result.stderr == "", f"no arguments: {result}")
    check(f"smallthinker chat -m {EXAMPLE}\n" in result.stdout and "No model is here yet." in result.stdout and
          "smallthinker help\n" in result.stdout, f"no arguments: {result.stdout}")
    check(os.listdir(new.home) == ["here"], f"no arguments: makes {os.listdir(new.home)}")
    result = new("chat")
    check(result.returncode == 2 and result.stdout == "" and f"smallthinker chat -m {EXAMPLE}\n" in result.stderr and
          result.stderr.startswith("error: chat needs a model: -m MODEL\n"), f"chat without a model: {result}")
    stored = new.home / ".local/share/smallthinker/models/ann/tiny"
    stored.mkdir(parents=True)
    (stored / "tiny-Q8_0.gguf").write_bytes(b"x" * 2048)
    (new.here / "mine.gguf").symlink_to(gguf)
    for text in new().stdout, new("chat").stderr:
        check("Models that are here:\n  mine.gguf       " in text and "\n  ann/tiny:Q8_0    2.0 KiB\n" in text and
              "smallthinker chat -m mine.gguf\n" in text and "smallthinker pull OWNER/REPO\n" in text, f"models: {text}")
    for i in range(30):
        (new.here / f"{i}.gguf").write_bytes(b"")
    check("  and more: smallthinker ls\n" in new().stdout and new().stdout.count(".gguf") <= 22, "many models")
    result = new(HOME="")
    check(result.returncode == 0 and "  0.gguf" in result.stdout, f"without HOME: {result}")
    data, cache = f"{new.home}/.local/share/smallthinker/models", f"{new.home}/.cache/huggingface/hub"
    shutil.rmtree(data)
    listed = new("ls")
    check(listed.returncode == 0 and listed.stdout == "" and
          listed.stderr == f"no models yet, in {data}, {cache}; get one with 'smallthinker pull {EXAMPLE}'\n", f"ls: {listed}")
    st.refuses("a slip", "comvert", code=2, contains="no command 'comvert', did you mean 'convert'?")


def texts(st, gguf):
    ask = ["-n", 4, "--temp", 0]
    want = st("run", "-m", gguf, "-p", PROMPT, *ask).stdout
    for arguments in ([gguf, PROMPT], ["run", gguf, PROMPT], ["run", "-m", gguf, PROMPT], ["-m", gguf, PROMPT]):
        result = st(*arguments, *ask)
        check(result.stdout == want, f"{arguments}: {result}")
    check(st(gguf, *ask, stdin=PROMPT).stdout == want, "a model, and a text from standard input")
    for arguments in ([gguf, "Once", "upon"], [gguf, "Once", "-p", PROMPT]):
        st.refuses(f"{arguments[1:]}", *arguments, code=2, contains="belongs to no option: quote a text, -p \"Once upon a time\"")
    st.refuses("a text twice", gguf, "Once", "-f", gguf, code=2, contains="'Once' belongs to no option")


def folders(st, models, folder):
    new = Newcomer(st, folder)
    hf = new.home / "model of mine"
    shutil.copytree(models / "variants/micro-odd-sharded", hf)
    ask = ["-p", PROMPT, "-n", 4, "--temp", 0]
    made = new.home / "want.gguf"
    st("convert", hf, "--outfile", made, "--outtype", "q8_0", "--transpose-down", "all")
    want = st("run", "-m", made, *ask).stdout
    cache = new.home / ".cache/smallthinker/converted"
    first = new("run", "-m", hf, *ask)
    files = list(cache.iterdir())
    check(first.stdout == want and first.returncode == 0, f"a folder: {first}")
    check(f"note: {hf}: converted to Q8_0 this once, into {files[0]}\n" in first.stderr, f"a folder: {first.stderr}")
    check(len(files) == 1 and files[0].read_bytes() == made.read_bytes(), f"what is kept: {files}")
    check(cache.stat().st_mode & 0o077 == 0, "others see what is kept")
    for again in new("run", "-m", hf, *ask), new(str(hf) + "/", *ask):
        check(again.stdout == want and "converted" not in again.stderr, f"a folder again: {again}")
    # The copy is listed, and removed by its name or the folder's.
    listed = new("ls")
    size = f"{files[0].stat().st_size / 2**20:.1f} MiB"
    check(listed.stdout == f"{files[0]}  {size}  converted from a folder, is made again when needed\n", f"ls: {listed}")
    described = json.loads(new("ls", "--json").stdout)
    check(described == [{"name": str(files[0]), "path": str(files[0]), "bytes": files[0].stat().st_size, "files": 1, "whole": True,
                         "place": "converted"}], f"ls --json: {described}")
    for name in files[0], hf, str(hf) + "/":
        removed = new("rm", name)
        check(removed.returncode == 0 and removed.stderr == f"removed {files[0]}, {size}\n" and not list(cache.iterdir()) and
              (hf / "config.json").exists(), f"rm {name}: {removed}")
        check(new("run", "-m", hf, *ask).stdout == want, f"converted again after rm {name}")
    aside = hf.rename(new.home / "aside")
    check(new("rm", hf).returncode == 0 and not list(cache.iterdir()), "rm of the copy of a folder that is gone")
    aside.rename(hf)
    removed = new("rm", hf)
    check(removed.returncode == 1 and removed.stderr == f"error: {hf}: no converted copy of it is here; see 'smallthinker ls'\n",
          f"rm of nothing: {removed}")
    check(new("run", "-m", hf, *ask).stdout == want, "converted again")
    # Files that have changed since are another model.
    config = json.loads((hf / "config.json").read_text())
    (hf / "config.json").write_text(json.dumps({**config, "rope_theta": 20000.0}))
    changed = new("run", "-m", hf, *ask)
    check(changed.returncode == 0 and "converted to Q8_0 this once" in changed.stderr, f"a changed folder: {changed}")
    check(len(list(cache.iterdir())) == 1 and not files[0].exists(), f"a changed folder: {list(cache.iterdir())}")
    # What cannot be converted says why; what measures wants to be told.
    (hf / "config.json").write_text("{}")
    result = new("run", "-m", hf, *ask)
    check(result.returncode == 1 and "error: " in result.stderr and str(hf) in result.stderr, f"a broken folder: {result}")
    check(len(list(cache.iterdir())) == 1, f"a broken folder: {list(cache.iterdir())}")
    result = new("bench", "-m", hf)
    check(result.returncode == 1 and "is a folder; convert it first: smallthinker convert" in result.stderr, f"bench: {result}")
    result = new("run", "-m", new.here, *ask)
    check(result.returncode == 1 and result.stderr == f"error: {new.here}: is a folder, but not of a model: it has no config.json\n",
          f"a folder without a model: {result}")
    result = new("run", "-m", hf, *ask, HOME="")
    check(result.returncode == 1 and "neither HOME nor XDG_CACHE_HOME is set" in result.stderr, f"no HOME: {result}")


if __name__ == "__main__":
    main(__doc__, start, texts, folders)
