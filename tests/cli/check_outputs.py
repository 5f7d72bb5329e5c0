#!/usr/bin/env python3
"""No command writes over what it reads, whatever the file is called: it refuses before it reads or writes anything."""
import os
import shutil
import subprocess

from harness import PROMPT, check, main


def outputs_that_are_inputs(st, gguf, models, folder):
    model, other, text = folder / "model.gguf", folder / "other", folder / "text"
    shutil.copyfile(gguf, model)
    text.write_text(PROMPT)
    other.write_text("a file of another kind")
    hf = folder / "hf"
    shutil.copytree(models / "variants/micro-odd-sharded", hf)
    shard = next(hf.glob("*.safetensors"))
    trace = folder / "trace"
    st("run", "-m", gguf, "-p", PROMPT, "-n", 1, "--record-routing", trace)
    parts = [folder / f"split-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    for part in parts:
        shutil.copyfile(gguf, part)

    def options(path, option):
        """The ways to name the file a command must not write."""
        link, hard, spelt = folder / "link", folder / "hard", f"{folder}/../{folder.name}/./{path.relative_to(folder)}"
        link.unlink(missing_ok=True)
        hard.unlink(missing_ok=True)
        os.symlink(path, link)
        os.link(path, hard)
        return [[*option, name] for name in (path, link, hard, spelt)]

    ask = ["-m", model, "-p", PROMPT]
    commands = [
        (["strip", model], ["-o"], model, model),
        (["quantize", model], [], model, model),
        (["bundle", model], ["-o"], model, model),
        (["bundle", model, "--expert-bundle", other], ["-o"], other, other),
        (["logits", *ask], ["-o"], model, model),
        (["logits", "-m", model, "-f", text], ["-o"], text, text),
        (["logits", *ask, "--expert-bundle", other], ["-o"], other, other),
        (["imatrix", "-m", model, "-f", text], ["-o"], model, model),
        (["imatrix", "-m", model, "-f", text], ["-o"], text, text),
        (["perplexity", "-m", model, "-f", text], ["--kl-divergence-base"], text, text),
        (["convert", hf], ["--outfile"], shard, shard),
        (["convert", hf], ["-o"], hf / "config.json", hf / "config.json"),
        (["convert", hf, "--lm-head-predictor", other], ["-o"], other, other),
        (["cache-sim", trace, "--memory", "30%"], ["--save-hot-set"], trace, trace),
        (["cache-sim", trace, "--memory", "30%", "--hot-set", other], ["--save-hot-set"], other, other),
        (["strip", parts[0]], ["-o"], parts[2], parts[2]),
        (["quantize", parts[0]], [], parts[1], parts[1]),
    ]
    for command in (["run", "-m", model, "-f", text], ["perplexity", "-m", model, "-f", text],
                    ["verify", "-m", model, "-f", text], ["bench", "-m", model], ["logits", "-m", model, "-f", text]):
        rest = ["-o", folder / "x"] if command[0] == "logits" else []
        rest = [*rest, "--memory", "1GiB"]
        for option in "--record-routing", "--hot-set":
            if option == "--record-routing" and command[0] in ("verify", "logits"):
                continue
            commands.append((command + rest, [option], model, model))
            commands.append((command + rest + ["--expert-bundle", other], [option], other, other))
            if text in command:
                commands.append((command + rest, [option], text, text))

    def state():
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}

    before = state()
    for command, option, path, named in commands:
        for way in options(path, option):
            last = ["Q4_0"] if command[0] == "quantize" else []
            st.refuses(f"{command[0]} {way}", *command, *way, *last, code=2,
                       contains=f"error: {way[-1]}: is the same file as {named}, which is read: write another one\n")
    for name in "link", "hard":
        (folder / name).unlink(missing_ok=True)
    check(state() == before, "every file is as it was")

    # Standard input is a file too.
    with open(text) as stdin:
        result = subprocess.run([st.binary, "logits", "-m", str(model), "-o", str(text)], stdin=stdin, text=True,
                                capture_output=True)
    check(result.returncode == 2 and result.stderr == f"error: {text}: is the same file as /dev/stdin, which is read: "
          "write another one\n", f"logits -o X < X: {result}")
    # Two outputs.
    st.refuses("two outputs", "run", "-m", model, "-p", PROMPT, "--memory", "1GiB", "--record-routing",
               folder / "new", "--hot-set", f"{folder}/./new", code=2, contains=f"{folder}/./new: is the same file as {folder / 'new'}, which is "
               "written too\n")
    check(state() == before, "every file is as it was still")


def outputs_that_are_not(st, gguf, models, folder):
    """What stands in the way of nobody is written, over an older file too."""
    out = folder / "out"
    for _ in range(2):
        result = st("strip", gguf, "-o", out)
        check(result.returncode == 0, f"strip over an older file: {result}")
    result = st("convert", models / "variants/micro-odd-sharded", "--dry-run")
    check(result.returncode == 0, f"convert --dry-run: {result}")
    hot = folder / "hot"
    for budget in ["--memory", "1GiB"], []:
        for _ in range(2):  # read and written again, as it is meant to be
            result = st("run", "-m", gguf, "-p", PROMPT, "-n", 2, *budget, "--hot-set", hot)
            check(result.returncode == 0 and hot.exists(), f"--hot-set {budget}: {result}")
        hot.unlink()


if __name__ == "__main__":
    main(__doc__, outputs_that_are_inputs, outputs_that_are_not)
