#!/usr/bin/env python3
"""What people type and paste: llama.cpp's options, slips, files and folders of the wrong kind, texts from everywhere,
environment variables. (Numbers of all options: src/cli/cli_test.cc.)"""
import json
import re
import subprocess

from harness import PROMPT, check, main

COMMANDS = ("commands: chat, run, convert, quantize, bundle, strip, synth, tokenize, detokenize, template, perplexity, "
            "imatrix, inspect, logits, bench, verify, cache-sim, pull, ls, rm, session, completion, man, version, help\n")


def notes(result):
    return [line for line in result.stderr.splitlines() if line.startswith("note: ")]


def pasted(st, gguf):
    ask = ["run", "-m", gguf, "-p", PROMPT, "-n", 4, "--temp", 0]
    want = st(*ask).stdout
    silent = ["-no-cnv", "--no-mmap", "--no-warmup", "-fa", "-fa on", "-fa auto", "--flash-attn on", "--flash-attn=on",
              "-ngl 0", "-nkvo", "-t 0", "-t -1", "-n 4 -n 4", "--seed 1 --seed 2", "--check-tensors", "--keep 0",
              "--color off", "--no-progress --no-progress", "-np 1", "--mirostat 0", "-n -2 -n 4",
              "--top-k 1 --top-k 5", "--perf"]
    for options in silent:
        result = st(*ask, *options.split())
        check(result.returncode == 0 and result.stdout == want and not notes(result), f"{options}: {result}")
    chat = "the prompt is continued as it is; 'smallthinker chat' talks"
    gpu = "no GPU is used, everything runs on the CPU"
    for options, note in (
            ("-ngl 99", f"-ngl 99: {gpu}"), ("--n-gpu-layers 99", f"--n-gpu-layers 99: {gpu}"),
            ("-fa off", "-fa off: attention never makes a whole matrix of scores"),
            ("--mlock", "--mlock: memory is not locked; weights are in the process's own, so only swapping could "
                        "take them"),
            ("--mmap", "--mmap: files are read, not mapped"),
            ("-tb 2", "-tb 2: prompts use the threads of -t"),
            ("--keep 4", "--keep 4: the context is not shifted, a text ends when it is full"),
            ("--numa distribute", "--numa distribute: threads and memory are not bound to nodes"),
            ("-cnv", f"-cnv: {chat}"), ("-i", f"-i: {chat}"), ("-st", f"-st: {chat}"), ("--jinja", f"--jinja: {chat}"),
            ("--color", "--color: the text is printed without colours"),
            ("--warmup", "--warmup: nothing runs before the prompt"),
            ("-lv 1", "-lv 1: -v tells more")):
        result = st(*ask, *options.split())
        check(result.returncode == 0 and result.stdout == want and notes(result) == [f"note: {note}"],
              f"{options}: {result}")
    # Values are values, whatever they look like.
    for text in ("-ub", "-ngl", "--mlock", "--"):
        result = st("tokenize", "-m", gguf, "--ids", "-p", text)
        back = st("detokenize", "-m", gguf, stdin=result.stdout)
        check(back.stdout == text and not result.stderr, f"-p {text}: {result} {back}")
    download = "models are downloaded by name: -m OWNER/REPO[:QUANT]; "
    help_ = "see 'smallthinker run --help'\n"
    for options, message in (
            ("-mu https://x", f"-mu https://x: {download}"),
            ("-hff x.gguf", "-hff x.gguf: a file stands behind the name: -m OWNER/REPO:FILE; "),
            ("--mirostat 2", "--mirostat 2: there is no such sampler here; "),
            ("-r User:", "-r User:: 'smallthinker chat' has that; "),
            ("--grammar x", "--grammar x: there are no grammars here; "),
            ("-ngl", "-ngl: the value is missing; "),
            ("-ngx 9", "no option '-ngx'; "), ("--tempp 1", "no option '--tempp', did you mean --temp?; "),
            ("-y", "no option '-y'; "), ("--frobnicate", "no option '--frobnicate'; ")):
        st.refuses(options, *ask, *options.split(), code=2, contains=f"error: {message}{help_}")
    st.refuses("an option of llama.cpp where no model runs", "convert", "x", "-o", "y", "--mlock", code=2,
               contains="error: no option '--mlock'; see 'smallthinker convert --help'\n")


def commands(st, gguf, folder):
    for typed, meant in (("comvert", "convert"), ("quantise", "quantize"), ("quant", "quantize"), ("bnech", "bench")):
        st.refuses(typed, typed, code=2,
                   contains=f"error: no command '{typed}', did you mean '{meant}'?; {COMMANDS}")
        st.refuses(typed, "help", typed, code=2,
                   contains=f"error: no command '{typed}', did you mean '{meant}'?; {COMMANDS}"[:-1])
    st.refuses("fly", "fly", code=2, contains=f"error: no command 'fly'; {COMMANDS}")
    for typed in "serve", "server":
        st.refuses(typed, typed, code=2, contains=f"error: no command '{typed}': there is no server yet, 'chat' talks at a "
                   f"terminal or through a pipe; {COMMANDS}")
    versions = {st(*arguments).stdout for arguments in (["version"], ["-v"], ["--version"])}
    check(len(versions) == 1 and re.fullmatch(r"smallthinker \S+\n", versions.pop()), "version, -v and --version")
    ask = ["-p", PROMPT, "-n", 4, "--temp", 0]
    want = st("run", "-m", gguf, *ask).stdout
    for way in (["run", gguf, *ask], ["run", *ask, gguf], [gguf, *ask], ["-m", gguf, *ask], ["-ngl", 0, "-m", gguf, *ask]):
        check(st(*way).stdout == want, f"{way}")
    quote = "belongs to no option: quote a text, -p \"Once upon a time\"; see 'smallthinker run --help'\n"
    for way in (["-m", gguf, *PROMPT.split()], ["-m", gguf, "-n", 4, *PROMPT.split()], [gguf, *PROMPT.split()]):
        st.refuses(f"{way}", "run", *way, code=2, contains=f"error: '{PROMPT}' {quote}")
    st.refuses("too many", "convert", "a", "b", "c", "-o", "x", code=2,
               contains="error: 'b c' belongs to no option; see 'smallthinker convert --help'\n")
    for command in "run", "perplexity", "logits", "bench", "verify", "tokenize", "detokenize":
        more = {"perplexity": ["-f", "x"], "logits": ["-o", "x"]}.get(command, [])
        st.refuses(f"{command} without a model", command, *more, code=2,
                   contains=f"error: --model is required: -m FILE; see 'smallthinker {command} --help'\n")
    for option in "-h", "--help":
        result = st("run", option)
        check(result.returncode == 0 and "--top-k" in result.stdout, f"run {option}")
    # What an option needs.
    see = "; see 'smallthinker run --help'\n"
    st.refuses("a change without a budget", "run", "-m", gguf, "--memory-change", "2:25MiB", code=2,
               contains="error: --memory-change requires --memory" + see)
    for size in "1", "64", "1000000":
        st.refuses(f"--memory {size}", "run", "-m", gguf, "--memory", size, code=2,
                   contains=f"error: --memory: '{size}': the unit is missing: want a size such as {size}MiB or "
                            f"{size}GiB{see}")
    for size in "1Gi", "1024Mi", "1G", "1GiB", "1gb", "1048576Ki", "1073741824":
        result = st("run", "-m", gguf, *ask, "--memory", size)
        check(result.stdout == want and "1.0 GiB  budget" in result.stderr, f"--memory {size}: {result}")
    context = re.search(r"--ctx-size \S+=(\d+)", st("help", "perplexity").stdout)
    check(context and context[1] == "512", "perplexity --help tells its context")


def wrong_kinds(st, gguf, models, folder):
    hf, weights, out = models / "model", models / "model/model.safetensors", folder / "x"
    convert = f"error: {hf}: is a folder; convert it first: smallthinker convert {hf} --outfile model.gguf\n"
    for arguments in (["inspect", hf], ["quantize", hf, out, "Q4_0"],
                      ["strip", hf, "-o", out], ["bundle", hf, "-o", out], ["bench", "-m", hf],
                      ["verify", "-m", hf], ["logits", "-m", hf, "-p", "x", "-o", out],
                      ["perplexity", "-m", hf, "-f", models / "valid.txt"],
                      ["imatrix", "-m", hf, "-f", models / "valid.txt", "-o", out],
                      ["inspect", "--plan", "--memory", "1GiB", hf]):
        st.refuses(f"{arguments}", *arguments, contains=convert)
    st.refuses("convert of a GGUF", "convert", gguf, "-o", out,
               contains=f"error: {gguf}: is a GGUF file already: 'run' takes it, 'quantize' makes it smaller\n")
    st.refuses("convert of weights", "convert", weights, "-o", out, contains=f"error: {weights}: is a file; give the "
               "folder that has config.json\n")
    st.refuses("run of weights", "run", "-m", weights, "-p", "x", contains=f"error: {weights}: not a GGUF file: it is a "
               "safetensors file: convert makes a GGUF file of its folder\n")
    check(not out.exists(), "nothing was written")
    # Long paths are told whole.
    deep = folder
    for _ in range(4):
        deep = deep / ("d" * 60)
    deep.mkdir(parents=True)
    (deep / "m.gguf").write_text("no model")
    kind = "not a GGUF file: it is a text, 'no model': did the download fail?"
    st.refuses("a long path", "run", "-m", deep / "m.gguf", "-p", "x", contains=f"error: {deep}/m.gguf: {kind}\n")
    st.refuses("a long path of a text", "run", "-m", gguf, "-f", deep / "none",
               contains=f"error: {deep}/none: cannot open: No such file or directory\n")
    st.refuses("a long path of an output", "strip", gguf, "-o", deep / "no/x",
               contains=f"error: {deep}/no/x: cannot create: No such file or directory\n")


def texts(st, gguf, models, folder):
    """From a file, a pipe, standard input; with one line feed at the end, or none."""
    def tokens(*arguments, **more):
        result = st("tokenize", "-m", gguf, "--ids", *arguments, **more)
        check(result.returncode == 0 and not result.stderr, f"tokenize {arguments}: {result}")
        return result.stdout

    want = tokens("-p", PROMPT)
    file = folder / "text"
    for text, same in ((PROMPT, True), (PROMPT + "\n", True), (PROMPT + "\n\n", False), (PROMPT + " ", False),
                       ("\n" + PROMPT, False)):
        file.write_text(text)
        ways = [tokens("-f", file), tokens(stdin=text), tokens("-f", "-", stdin=text),
                tokens("-f", "/dev/stdin", stdin=text)]
        check(len(set(ways)) == 1 and (ways[0] == want) == same, f"{text!r}: {ways}")
    check(tokens("-f", "/dev/null") == "[]\n", "-f /dev/null")
    shell = subprocess.run(["bash", "-c", '"$0" tokenize -m "$1" --ids -f <(printf %s "$2")', st.binary, str(gguf),
                            PROMPT], capture_output=True, text=True)
    check(shell.stdout == want, f"-f <(...): {shell}")
    valid = (models / "valid.txt").read_text()[:3000]
    file.write_text(valid)
    perplexity = ["perplexity", "-m", gguf, "-c", 64, "-f"]
    check(st(*perplexity, "-", stdin=valid).stdout == st(*perplexity, file).stdout != "", "perplexity -f -")
    st.refuses("a text that is a folder", "run", "-m", gguf, "-f", folder,
               contains=f"error: {folder}: cannot read: Is a directory\n")
    if not st.sanitized:  # reading so much would take a minute
        zeros = subprocess.run([st.binary, "tokenize", "-m", str(gguf), "-f", "/dev/zero"], capture_output=True, text=True)
        check(zeros.returncode == 1 and zeros.stderr == "error: /dev/zero: more than 1073741824 bytes, the limit for a "
              "text\n", f"-f /dev/zero: {zeros}")
    # Only the escapes that --help names.
    formula = r"\frac{1}{2} \beta \alpha \vec{x} C:\bin \0"
    file.write_text(formula)
    check(tokens("-p", formula) == tokens("-f", file), "formulas and paths stay what they are")
    file.write_text("a\n\r\t'\"\\Ab")
    check(tokens("-p", r"""a\n\r\t\'\"\\\x41b""") == tokens("-f", file), "escapes that are named")
    seeds = [st("run", "-m", gguf, "-p", PROMPT, "-n", 4, *more).stderr for more in ([], ["-s", 7], ["--temp", 0])]
    check(re.search(r"^seed \d+$", seeds[0], re.M) and "seed" not in seeds[1] + seeds[2], f"seeds: {seeds}")
    seed = re.search(r"^seed (\d+)$", seeds[0], re.M)
    first = st("run", "-m", gguf, "-p", PROMPT, "-n", 12, "-s", seed[1] if seed else 0)
    check(first.returncode == 0, "the seed that was told can be given")


def environment(st, gguf, folder):
    ask = ["-p", PROMPT, "-n", 4, "--temp", 0]
    want = st("run", "-m", gguf, *ask).stdout
    model = {"SMALLTHINKER_MODEL": str(gguf)}
    none = {"SMALLTHINKER_MODEL": str(folder / "none")}
    check(st("run", *ask, env=model).stdout == want, "SMALLTHINKER_MODEL")
    for way in (["run", "-m", gguf, *ask], ["run", gguf, *ask], [gguf, *ask]):
        check(st(*way, env=none).stdout == want, f"{way}: what is given wins")
    for command, more in (("tokenize", ["-p", "x"]), ("detokenize", [1]), ("bench", ["-p", 2, "-n", 0, "-r", 1]),
                          ("perplexity", ["-f", "x"]), ("logits", ["-p", "x", "-o", "x"]), ("verify", [])):
        st.refuses(f"{command} with SMALLTHINKER_MODEL", command, *more, env=none,
                   contains=f"error: {folder / 'none'}: cannot open: No such file or directory\n")
    bench = ["bench", "-m", gguf, "--no-probe", "-p", 2, "-n", 0, "-r", 1, "-o", "jsonl"]

    def threads(**env):
        return [json.loads(line)["n_threads"] for line in st(*bench, env=env).stdout.splitlines()]

    check(threads(SMALLTHINKER_THREADS="1,2") == [1, 2], "a list where the option takes lists")
    for value, told in (("0x2", "0x2"), ("1,2", "1,2"), ("-3", "-3"), ("1025", "1025")):
        st.refuses(f"SMALLTHINKER_THREADS={value}", "run", "-m", gguf, *ask, code=2,
                   env={"SMALLTHINKER_THREADS": value}, contains=f"error: SMALLTHINKER_THREADS: --threads: '{told}': "
                   "want a whole number in -1..1024; see 'smallthinker run --help'\n")
        for command in (["help"], ["version"], ["inspect", gguf], ["tokenize", "-m", gguf, "-p", "x"],
                        ["run", "-m", gguf, *ask, "-t", 1]):
            result = st(*command, env={"SMALLTHINKER_THREADS": value})
            check(result.returncode == 0, f"SMALLTHINKER_THREADS={value} {command}: {result}")
    result = st("run", "-m", gguf, *ask, "-v", env={"SMALLTHINKER_THREADS": "3"})
    check(" 3 threads" in result.stderr and result.stdout == want, f"SMALLTHINKER_THREADS=3: {result}")
    result = st("run", "-m", gguf, *ask, "-v", env={"SMALLTHINKER_CPU": "scalar"})
    check("run: scalar kernels" in result.stderr, f"SMALLTHINKER_CPU=scalar: {result}")
    result = st("run", "-m", gguf, *ask, env={"SMALLTHINKER_MODEL": "", "SMALLTHINKER_THREADS": "",
                                              "SMALLTHINKER_CPU": ""})
    check(result.stdout == want, f"empty variables: {result}")
    # The reference engine's count only with --reference-env.
    for variable in "EXPERT_BUNDLE_PATH", "GENERATE_EXPERT_BUNDLE", "MAX_N_CACHED":
        result = st("run", "-m", gguf, *ask, env={variable: str(folder / "none")})
        check(result.returncode == 0 and result.stdout == want and not notes(result), f"{variable}: {result}")
    st.refuses("MAX_N_CACHED", "run", "-m", gguf, *ask, "--reference-env", code=2, env={"MAX_N_CACHED": "many"},
               contains="error: MAX_N_CACHED=many: want a number of matrices\n")


def plans(st, models, folder):
    """A plan of a model too small to measure its disk with."""
    small = folder / "small.gguf"
    st("convert", models / "variants/micro-odd-sharded", "-o", small, "--outtype", "q4_0")
    check(small.stat().st_size < 1 << 20, "a small model")
    result = st("inspect", "--plan", "--memory", "1GiB", small)
    lines = result.stdout.splitlines()
    told = re.fullmatch(r"The smallest budget that works is (\d+) MiB \((\d+) in this run\), more than (\d+) MiB is of no use\.",
                        lines[5])
    check(told and int(told[2]) < int(told[1]) <= int(told[3]), f"budgets that agree: {lines[5]}")
    check(result.returncode == 0 and not result.stderr and len(lines) == 10 and
          re.fullmatch(r"This machine reads [\d.]+ GB/s from memory; the file is too small to tell how fast its disk is.",
                       lines[7]) and
          all(re.fullmatch(r"Routing .*: \d+ % of the experts found in memory, \S+ \S+ read per token\.", line)
              for line in lines[8:]), f"inspect --plan: {result}")


def weights_in_the_file(st, models, folder):
    """A table that stays in the file is not told as weights that were read."""
    gemma = folder / "gemma.gguf"
    st("convert", models.parent / "micro-gemma3n", "-o", gemma, "--outtype", "f16")
    info = json.loads(st("inspect", "--json", "--tensors", gemma).stdout)
    key = info["metadata"].get
    own = key("gemma3n.block_count") - key("gemma3n.attention.shared_kv_layers")

    def unused(name):
        """Of keys and values where another layer's are read."""
        match = re.match(r"blk\.(\d+)\.attn_[kv]", name)
        return match and int(match[1]) >= own

    tensors = {t["name"]: t["bytes"] for t in info["tensors"] if not unused(t["name"])}
    table = tensors["per_layer_token_embd.weight"]
    read = sum(tensors.values()) - table

    def size(count):
        return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"

    told = f"{size(read)} of weights, {size(table)} stay in the file, "
    result = st("run", "-m", gemma, "-p", "x", "-n", 1, "-v")
    for line in r"\nload +[\d.]+ s  ", r"\nrun: \S+ kernels, \d+ threads, context \d+, ":
        check(re.search(line + re.escape(told), result.stderr), f"{told}: {result}")
    result = st("run", "-m", folder / "small.gguf", "-p", "x", "-n", 1)
    check(re.search(r"\nload +[\d.]+ s  [\d.]+ KiB of weights, \S+ kernels, ", result.stderr), f"all in memory: {result}")


if __name__ == "__main__":
    main(__doc__, pasted, commands, wrong_kinds, texts, environment, plans, weights_in_the_file)
