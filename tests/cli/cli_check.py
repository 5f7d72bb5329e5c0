#!/usr/bin/env python3
"""The command as users meet it: exit codes, one-line errors, what goes to stdout and what to stderr,
hostile files. Runs the real binary; closes with 'N passed, M failed'."""
import csv
import io
import json
import os
import pickle
import re
import resource
import shutil
import signal
import struct
import subprocess
import time
import zipfile

from harness import PROMPT, check, main


def usage(st):
    st.refuses("unknown command", "fly", code=2, contains="error: no command 'fly'; commands: chat, run, convert, ")
    st.refuses("missing model", "run", code=2, contains="error: --model is required: -m FILE; see ")
    st.refuses("bad number", "run", "-m", "x", "-n", "many", code=2,
               contains="error: --predict: 'many': want a whole number in -2..134217728; see ")
    st.refuses("bench without a model", "bench", code=2, contains="--model")
    st.refuses("bench without a test", "bench", "-m", "x", "-p", 0, "-n", 0, code=2, contains="nothing to do")
    st.refuses("bench with a bad list", "bench", "-m", "x", "-p", "1,two", code=2, contains="--n-prompt")
    st.refuses("bench with a bad pair", "bench", "-m", "x", "-pg", "5", code=2, contains="512,128")
    st.refuses("bench with a bad format", "bench", "-m", "x", "-o", "sql", code=2, contains="jsonl")
    st.refuses("bench of a missing file", "bench", "-m", "x", contains="cannot open")
    st.refuses("verify without a model", "verify", code=2, contains="error: --model is required: -m FILE; see ")
    st.refuses("verify with no threads", "verify", "-m", "x", "-t", "0", code=2, contains="--threads")
    st.refuses("bad sampler", "run", "-m", "x", "--samplers", "magic", code=2, contains="magic")
    for arguments in (["help"], ["--help"], ["help", "run"], ["run", "--help"], ["version"]):
        result = st(*arguments)
        check(result.returncode == 0 and result.stdout and not result.stderr, f"{arguments} prints to stdout")
    check("\nUsage: smallthinker [OPTIONS] [SUBCOMMAND]\n   or: smallthinker MODEL [TEXT]\n" in st("--help").stdout, "usage")
    for command in "run", "chat":
        shown = st(command, "--help").stdout
        check(f"\nUsage: smallthinker {command} [OPTIONS] [MODEL] [TEXT]\n" in shown and "words" not in shown.split("Options:")[0],
              f"usage of {command}: {shown[:300]}")
        check("  --no-progress  " in shown and "{false}" not in shown, f"flags of {command}")
        check("with --memory at most 4096" in shown, f"-c of {command}")


def running(st, gguf, folder):
    result = st("run", "-m", gguf, "-p", PROMPT, "-n", 16, "--temp", 0)
    check(result.returncode == 0, f"run: {result.stderr}")
    check(result.stdout.startswith(PROMPT + ","), f"run prints prompt and answer: {result.stdout!r}")
    for word in ("load", "prompt", "generation", "peak memory", "tok/s"):
        check(word in result.stderr, f"timing block has {word}")
    answer = result.stdout
    bare = st("run", "-m", gguf, "-p", PROMPT, "-n", 16, "--temp", 0, "--no-display-prompt")
    check(PROMPT + bare.stdout == answer, "--no-display-prompt prints the answer only")
    piped = st("run", "-m", gguf, "-n", 16, "--temp", 0, stdin=PROMPT)
    check(piped.stdout == answer, "prompt from standard input")
    file = folder / "prompt.txt"
    file.write_text(PROMPT)
    check(st("run", "-m", gguf, "-f", file, "-n", 16, "--temp", 0).stdout == answer, "prompt from a file")
    check(st("run", "-m", gguf, "-p", PROMPT, "-n", 16, "--temp", 0, "-t", 3, "-ub", 2, "-b", 3).stdout == answer,
          "threads and batches change nothing")
    check(st("run", "-n", 16, "--temp", 0, "-p", PROMPT, env={"SMALLTHINKER_MODEL": str(gguf)}).stdout == answer,
          "model from the environment")
    one, two = (st("run", "-m", gguf, "-p", PROMPT, "-n", 24, "-s", 42, "--temp", 1.5).stdout for _ in range(2))
    check(one == two, "a seed repeats itself")
    # The reference README's command, word for word.
    readme = st("run", "-m", gguf, "-no-cnv", "--temp", "0.6", "--top-k", "20", "--top-p", "0.95", "--samplers",
                "temperature;top_k;top_p", "-p",
                "<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n<|im_start|>user\\nCalculate the integral "
                "of f(x) = sin(x) from 0 to 3pi/4.<|im_end|>\\n<|im_start|>assistant", "-t", "4", "-n", "32")
    check(readme.returncode == 0 and "<|im_start|>user\nCalculate" in readme.stdout, f"README command: {readme.stderr}")
    empty = st("run", "-m", gguf, "--temp", "0.6", "--top-p", "0.95", "--top-k", "20", "--samplers",
               "penalties;temperature;top_k;top_p", "-t", "4", "-n", "8", "-no-cnv")
    check(empty.returncode == 0, f"README command without a prompt: {empty.stderr}")
    st.refuses("prompt longer than the context", "run", "-m", gguf, "-c", 8, "-p", PROMPT * 20,
               contains="> context 8")
    st.refuses("unknown kernels", "run", "-m", gguf, "--cpu", "mmx", "-p", "x", code=2, contains="scalar")


def text_tools(st, gguf, models):
    for model in (gguf, models / "model"):
        ids = st("tokenize", "-m", model, "--ids", "-p", "<|im_start|>user\\nHi")
        check(ids.returncode == 0 and json.loads(ids.stdout)[0] == 4078, f"tokenize {model}: {ids.stdout}{ids.stderr}")
        back = st("detokenize", "-m", model, stdin=ids.stdout)
        check(back.stdout == "<|im_start|>user\nHi", f"detokenize: {back.stdout!r}")
    literal = st("tokenize", "-m", gguf, "--ids", "--no-parse-special", "-p", "<|im_start|>")
    check(4078 not in json.loads(literal.stdout), "special tokens taken literally")
    st.refuses("id out of range", "detokenize", "-m", gguf, 99999, code=2,
               contains="error: token '99999': want an id in 0..4095\n")


def system(st):
    """What inspect --system says of this machine, against what the operating system tells Python."""
    allowed = sorted(os.sched_getaffinity(0))
    text = st("inspect", "--system")
    check(text.returncode == 0 and not text.stderr and len(text.stdout.splitlines()) <= 24, "inspect --system")
    info = json.loads(st("inspect", "--system", "--json").stdout)
    check(info["allowed_cpus"] == allowed, f"allowed CPUs: {info['allowed_cpus']}")
    check(1 <= info["threads"] <= len(allowed), f"default threads {info['threads']}")
    check(info["kernels"] == info["usable_kernels"][0] and "scalar" in info["usable_kernels"], "kernels")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    check(info["memory_total"] == memory, f"memory {info['memory_total']}, want {memory}")
    for name, value in (("CPU ", ""), ("kernels", info["kernels"]), ("threads", str(info["threads"])),
                        ("memory limit", ""), ("CPU quota", ""), ("cores", "")):
        check(any(line.startswith(name) and value in line for line in text.stdout.splitlines()),
              f"inspect --system has {name}: {text.stdout}")
    os.sched_setaffinity(0, allowed[-1:])
    try:
        one = json.loads(st("inspect", "--system", "--json").stdout)
        check(one["allowed_cpus"] == allowed[-1:] and one["threads"] == 1, "one CPU allowed, one thread")
    finally:
        os.sched_setaffinity(0, allowed)
    openmp = {"OMP_NUM_THREADS": "77", "OMP_THREAD_LIMIT": "1", "OMP_PROC_BIND": "close", "OMP_PLACES": "{0}",
              "GOMP_CPU_AFFINITY": "0", "OMP_WAIT_POLICY": "passive"}
    other = json.loads(st("inspect", "--system", "--json", env=openmp).stdout)
    check([other[k] for k in ("threads", "allowed_cpus")] == [info[k] for k in ("threads", "allowed_cpus")],
          "OpenMP settings change nothing")
    libraries = subprocess.run(["ldd", st.binary], capture_output=True, text=True).stdout
    check("gomp" not in libraries and "libomp" not in libraries, "no OpenMP library")
    st.refuses("inspect of nothing", "inspect", code=2, contains="error: a GGUF file, or --system is required; see ")
    st.refuses("inspect of two things", "inspect", "x.gguf", "--system", code=2,
               contains="error: model excludes --system; see ")


def what_a_type_costs(st, gguf, models, folder):
    saved, out, text = folder / "logits.bin", folder / "imatrix.gguf", models / "valid.txt"
    perplexity = ["perplexity", "-m", gguf, "-c", 64]
    result = st(*perplexity, "-f", text, "--chunks", 3, "--kl-divergence-base", saved)
    check(result.returncode == 0 and saved.stat().st_size == 20 + 3 * 64 * 4 + 3 * 31 * (8 + 2 * 4096), f"saved: {result}")
    result = st(*perplexity, "--kl-divergence-base", saved, "--kl-divergence", "--memory", "1GiB")
    check(result.returncode == 0 and re.search(r"\nSame top p +100.000000 \+/- 0.000000 %\n", result.stdout) and
          "93 tokens, the second half of each window" in result.stdout, f"--kl-divergence: {result}")
    other = folder / "micro.gguf"
    st("convert", models.parent / "micro-qwen3", "-o", other)
    st.refuses("another vocabulary", "perplexity", "-m", other, "--kl-divergence-base", saved, "--kl-divergence",
               contains=f"error: {saved}: logits of 4096 tokens, the model's vocabulary has 512\n")
    st.refuses("no saved logits", *perplexity, "--kl-divergence-base", text, "--kl-divergence",
               contains=f"error: {text}: has no saved logits: does not begin with '_logits_'\n")
    short = folder / "short.txt"
    short.write_text("Once upon a time")
    st.refuses("no whole window to save", *perplexity, "-f", short, "--kl-divergence-base", folder / "none",
               code=2, contains="error: no logits to save: want a text of a whole window")
    imatrix = ["imatrix", "-m", gguf, "-o", out, "-c", 64, "--chunks", 2, "-f"]
    st.refuses("imatrix of a short text", *imatrix, short,
               contains=f"error: {short}: 4 tokens, want 64 or more, a whole window (-c)\n")
    check(not out.exists() and not (folder / "none").exists(), "nothing was written")
    result = st(*imatrix, text, "--process-output")
    check(result.returncode == 0 and "importance of 65 tensors, from 128 tokens\n" in result.stdout, f"imatrix: {result}")
    names = {t["name"] for t in json.loads(st("inspect", out, "--json", "--tensors").stdout)["tensors"]}
    check({"output.weight.in_sum2", "blk.7.ffn_down_exps.weight.counts"} <= names and len(names) == 130, f"imatrix: {names}")


def other_tools(st, gguf, models, folder):
    result = st("perplexity", "-m", gguf, "-f", models / "valid.txt", "-c", 512, "--chunks", 8)
    check(result.returncode == 0 and "PPL = 3" in result.stdout, f"perplexity: {result.stdout}{result.stderr}")
    what_a_type_costs(st, gguf, models, folder)
    info = json.loads(st("inspect", gguf, "--json", "--tensors").stdout)
    check(info["metadata"]["smallthinker.block_count"] == 8 and len(info["tensors"]) == info["tensor_count"],
          "inspect --json")
    check("token_embd.weight" in st("inspect", gguf, "--tensors").stdout, "inspect --tensors")
    system(st)
    out = folder / "logits.npy"
    for arguments, rows in (([], 1), (["--all"], 3)):
        check(st("logits", "-m", gguf, "--tokens", "1,2,3", *arguments, "-o", out).returncode == 0, "logits")
        data = out.read_bytes()
        header = data[10:10 + struct.unpack("<H", data[8:10])[0]].decode()
        check(data[:6] == b"\x93NUMPY" and f"({rows}, 4096)" in header and "<f4" in header, f"npy header: {header}")
        check(len(data) % 64 == 0 and (len(data) - 10 - len(header)) == rows * 4096 * 4, "npy size")
    st.refuses("logits of a bad id", "logits", "-m", gguf, "--tokens", "1,4096", "-o", out, code=2,
               contains="error: token '4096': want an id in 0..4095\n")
    st.refuses("output into a missing folder", "logits", "-m", gguf, "--tokens", "1", "-o", folder / "no/x.npy",
               contains=f"error: {folder}/no/x.npy: cannot create: No such file or directory\n")


def bench(st, gguf):
    tests = ["-p", "16,8", "-n", "4", "-pg", "8,2", "-d", "0,20", "-t", "1,2", "-r", 2]
    want = [(t, f"{test}{depth}") for t in (1, 2) for depth in ("", " @ d20") for test in ("pp16", "pp8", "tg4", "pp8+tg2")]

    def run(form, *more):
        result = st("bench", "-m", gguf, "--no-probe", *tests, *more, "-o", form)
        check(result.returncode == 0 and not result.stderr, f"bench -o {form}: {result.stderr}")
        return result.stdout

    rows = json.loads(run("json"))
    check([(row["n_threads"], row["test"]) for row in rows] == want, f"bench tests: {[row['test'] for row in rows]}")
    for row in rows:
        tokens = row["n_prompt"] + row["n_gen"]
        rates = [tokens / ns * 1e9 for ns in row["samples_ns"]]
        check(len(rates) == 2 and all(abs(a / b - 1) < 1e-3 for a, b in zip(rates, row["samples_ts"])),
              f"rates follow from times: {row}")
        check(abs(row["avg_ts"] - sum(row["samples_ts"]) / 2) < 1e-6 * row["avg_ts"], "avg_ts is the mean of the samples")
        check(abs(row["stddev_ts"] - abs(rates[0] - rates[1]) / 2 ** 0.5) < 1e-3 * row["avg_ts"], "stddev_ts of two samples")
        check(0 < row["avg_first_token_ns"] <= row["avg_ns"], "the first token comes before the last")
        check(row["peak_memory"] > 0 and row["load_ns"] > 0 and row["model_n_params"] == 16290048, f"facts: {row}")
        check(row["read_bandwidth"] is None and row["bandwidth_share"] is None, "--no-probe leaves out the limits")
    check([json.loads(line)["test"] for line in run("jsonl").splitlines()] == [test for _, test in want], "bench -o jsonl")
    table = list(csv.DictReader(io.StringIO(run("csv"))))
    check([(int(row["n_threads"]), row["test"]) for row in table] == want, f"bench -o csv: {table[:1]}")
    check(table[0].keys() == {key for key, value in rows[0].items() if not isinstance(value, list)}, "csv has json's fields")
    lines = run("md", "-ub", "4,512").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    check(cells[0][:7] == ["model", "size", "params", "backend", "threads", "n_ubatch", "test"] and cells[0][7] == "t/s",
          f"columns: {cells[0]}")
    check(len(cells) == 2 + 2 * len(want) and len({len(line) for line in lines if line.startswith("|")}) == 1,
          "a table of equal lines")
    check(all(float(row[7].split(" ± ")[0]) > 0 for row in cells[2:]), "every test has a speed")
    check("1 thread: loaded in" in lines[-2] and "2 threads: loaded in" in lines[-1], f"notes: {lines[-2:]}")
    probe = json.loads(st("bench", "--probe", "-t", 1, "-o", "json").stdout)
    check(len(probe) == 1 and probe[0]["n_threads"] == 1 and probe[0]["read_bandwidth"] > 1e8 and
          probe[0]["int8_peak"] > 1e8, f"--probe: {probe}")
    started = time.monotonic()
    process = subprocess.Popen([st.binary, "bench", "-m", str(gguf), "--no-probe", "-r", "10000"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    check(process.returncode == 130 and time.monotonic() - started < 3, f"bench, Ctrl-C: exit {process.returncode}")


def verify(st, gguf, models):
    if st.sanitized:  # it computes and measures memory, nothing else
        return
    result = st("verify", "-m", gguf, "-p", 40)
    lines = result.stdout.splitlines()
    check(result.returncode == 0 and not result.stderr and "32 combinations" in lines[-1], f"verify: {result.stdout[-300:]}")
    check(len(lines) == 34 and len({line.split()[-1] for line in lines[1:-1]}) == 1, "one line per combination, one hash")
    text = st("verify", "-m", gguf, "-f", models / "valid.txt", "-p", 60, "-t", "1,2", "-ub", "7,64", "--cpu", "scalar")
    check(text.returncode == 0 and "scalar kernels: 10 combinations" in text.stdout, f"verify -f: {text.stdout[-300:]}")
    check(text.stdout.split()[9] != result.stdout.split()[9], "another text, other logits")
    # A budget that is too small is refused before the cases without one, or with a larger one, are told.
    little = st("verify", "-m", gguf, "-p", 40, "-t", "2", "-ub", "7", "--memory", "1GiB,1MiB")
    smallest = re.search(r": (\d+) MiB is the smallest that works", little.stderr)
    check(little.returncode == 2 and smallest and not little.stdout, f"verify in too little memory: {little}")
    budget = int(smallest.group(1)) + st.slack
    tight = st("verify", "-m", gguf, "-p", 40, "-t", "2", "-ub", "7", "--memory", f"{budget}MiB,1GiB")
    check(tight.returncode == 0 and "9 combinations" in tight.stdout,
          f"verify --memory: {tight.stdout[-300:]}{tight.stderr[-300:]}")


def smallest_memory(st, *arguments):
    """The smallest budget that run takes with them, as it says itself."""
    refusal = st("run", *arguments, "-p", PROMPT, "--memory", "1MiB").stderr
    match = re.fullmatch(r"error: a memory budget of 1 MiB is too small: (\d+) MiB is the smallest that works in every "
                         r"run, (\d+) MiB in this one \((\d+) for what stays, (\d+) for scratch, (\d+) for a full "
                         r"context(?: of \d+ tokens: -c makes it shorter)?, (\d+) for experts\)\n", refusal)
    check(match, f"a budget that is too small: {refusal}")
    if match:
        smallest, here, *parts = map(int, match.groups())
        check(smallest == here + 3 and sum(parts) == here, f"numbers that agree: {refusal}")
    return f"{int(match[1]) + st.slack}MiB" if match else "1GiB"


def smallest_budgets_work(st, gguf):
    """What stays is measured by each run anew: what one run says is enough must be enough for all."""
    if st.sanitized:  # it computes and measures memory, nothing else
        return
    for options in [], ["-t", 3, "-c", 3000, "-ub", 64]:
        ask = ["run", "-m", gguf, "-p", PROMPT * 20, "-n", 12, "--temp", 0, *options]
        want = st(*ask).stdout
        told = [smallest_memory(st, "-m", gguf, *options) for _ in range(8)]
        if not options:
            plan = st("inspect", "--plan", gguf, "--memory", "1GiB").stdout
            match = re.search(r"The smallest budget that works is (\d+) MiB \((\d+) in this run\), more than (\d+) MiB is "
                              r"of no use\.", plan)
            check(match and int(match[2]) + 3 == int(match[1]) <= int(match[3]), f"inspect --plan: {plan}")
            told.append(f"{int(match[1]) + st.slack}MiB")
        least = int(min(told, key=lambda size: int(size[:-3]))[:-3])
        for more in [0] * 12 + [1, 2, 3, 5, 8]:  # more memory must not be refused either
            result = st(*ask, "--memory", f"{least + more}MiB")
            check(result.returncode == 0 and result.stdout == want and want,
                  f"{least} MiB and {more}, of {told}: {result.stderr}")


def logits_within_memory(st, gguf, folder):
    """Logits of all positions come in pieces: they are never in memory all together."""
    if st.sanitized:  # it computes and measures memory, nothing else
        return
    def measured(*more):
        command = [st.binary, "logits", "-m", gguf, "--all", "-c", 4096, "--tokens",
                   ",".join(str(i * 7919 % 4096) for i in range(4000)), *more]
        process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE)
        stderr = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        check(process.returncode == 0, f"logits --all {more}: {stderr}")
        return usage.ru_maxrss >> 10

    one, other = folder / "one.npy", folder / "other.npy"
    measured("-o", one)
    memory = smallest_memory(st, "-m", gguf, "-c", 4096)
    # What the kernel tells of a child begins with what we had ourselves.
    limit = max(int(memory[:-3]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
    peak = measured("-o", other, "--memory", memory)
    check(one.read_bytes() == other.read_bytes() and len(one.read_bytes()) > 4000 * 4096 * 4, "logits --all within a budget")
    check(peak <= limit, f"logits --all in {memory}: peak {peak} MiB")
    one.unlink()
    other.unlink()


def memory_faults(st, gguf, folder):
    """A model file that is cut or overwritten while experts are read from it."""
    memory = smallest_memory(st, "-m", gguf, "-c", 2048)
    copy = folder / "victim.gguf"
    arguments = ["run", "-m", copy, "-c", 2048, "-p", PROMPT, "--memory", memory, "--temp", 0, "--ignore-eos", "-n", 1500]

    def damage(how):
        shutil.copyfile(gguf, copy)
        process = subprocess.Popen([st.binary, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        begin = process.stdout.read(40)
        how()
        rest, stderr = process.communicate(timeout=60)
        return process.returncode, begin + rest, stderr.decode()

    def cut():
        os.truncate(copy, gguf.stat().st_size // 2)

    def overwrite():
        with copy.open("r+b") as file:
            file.seek(gguf.stat().st_size // 4)
            file.write(b"x" * (gguf.stat().st_size // 2))

    def replace():
        other = folder / "other.gguf"
        other.write_bytes(b"nothing")
        other.rename(copy)

    code, want, stderr = damage(lambda: None)
    check(code == 0 and len(want) > 1500, f"generating: {stderr}")
    code, text, stderr = damage(replace)
    check(code == 0 and text == want, f"replaced while generating: {stderr}")
    for what in cut, overwrite:
        code, text, stderr = damage(what)
        errors = [line for line in stderr.splitlines() if not line.startswith("note: ")]
        check(code == 1 and len(errors) == 1 and errors[0].startswith("error: ") and copy.name in errors[0],
              f"{what.__name__} while generating: exit {code}, {stderr!r}")
        check(len(text) < len(want) and want.startswith(text.rstrip(b"\n")), f"{what.__name__}: another text")


def dead_disk_read(st, gguf, folder, dead_disk):
    """Ctrl-C while a run waits for a disk that does not answer: 2 s, exit code 130, and the receipt."""
    dead = folder / "dead"
    memory = smallest_memory(st, "-m", gguf, "-c", 2048)
    env = {**os.environ, "LD_PRELOAD": str(dead_disk), "ST_DEAD_DISK": str(dead)}
    env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"

    def interrupted(what, prompt, begin, **more):
        dead.unlink(missing_ok=True)
        process = subprocess.Popen([st.binary, "run", "-m", str(gguf), "-c", "2048", "--memory", memory, "-p", prompt,
                                    "--ignore-eos", "-n", "1900", "--temp", "0"], env={**env, **more},
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(begin)
        dead.touch()
        os.set_blocking(process.stdout.fileno(), False)
        for _ in range(2):
            time.sleep(0.5)
            more = process.stdout.read()
        check(process.poll() is None and not more, f"{what}: waits for the disk, got {more!r}")
        os.set_blocking(process.stdout.fileno(), True)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        try:
            process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
        seconds = time.monotonic() - started
        stderr = process.communicate()[1].decode()
        check(process.returncode == 130 and seconds < 2, f"{what}, Ctrl-C: exit {process.returncode}, {seconds:.1f} s")
        check("budget; peak" in stderr and "error" not in stderr, f"{what}: receipt: {stderr}")

    interrupted("generating from a dead disk", PROMPT, 40)
    # The prompt is printed before it is read by the model.
    interrupted("a prompt from a dead disk", "Once upon a time there was a fox. " * 150, 30)
    # Rows of the embedding, of 272 bytes each, take one or two blocks.
    interrupted("an embedding from a dead disk", PROMPT, 40, ST_DEAD_BYTES="8192")


def read_trace(file):
    """The documented format: (layers, experts, used, bytes of an expert), passes of [layer][token][slot]."""
    data = file.read_bytes()
    magic, layers, experts, used, _, gate, up_down = struct.unpack_from("<8s4I2Q", data)
    check(magic == b"STROUTE1", "trace: magic")
    passes, at = [], 40
    while at < len(data):
        tokens, = struct.unpack_from("<I", data, at)
        n = layers * tokens * used
        ids = iter(struct.unpack_from(f"<{n}H", data, at + 4))
        passes.append([[[next(ids) for _ in range(used)] for _ in range(tokens)] for _ in range(layers)])
        at += 4 + 2 * n
    return (layers, experts, used, gate + up_down), passes


def belady_hits(requests, slots):
    resident, hits, uses = set(), 0, {}
    for position, unit in enumerate(requests):
        uses.setdefault(unit, []).append(position)
    for position, unit in enumerate(requests):
        hits += unit in resident
        if unit not in resident and len(resident) == slots:
            resident.remove(max(resident, key=lambda u: next((p for p in uses[u] if p > position), len(requests))))
        resident.add(unit)
    return hits


def lru_hits(groups, slots):
    """What a layer finds counts as used before it loads the rest."""
    resident, hits = [], 0  # latest last
    for group in groups:
        found = [unit for unit in group if unit in resident]
        hits += len(found)
        resident = [unit for unit in resident if unit not in found] + found
        for unit in group:
            if unit not in resident:
                resident = resident[-(slots - 1):] + [unit]
    return hits


def cache_sim(st, gguf, models, folder):
    trace, other = folder / "routing.trace", folder / "other.trace"
    text = ["perplexity", "-m", gguf, "-f", models / "valid.txt", "-c", 128, "--chunks", 2, "--record-routing"]
    check(st(*text, trace).returncode == 0 and st(*text, other, "-ub", 32).returncode == 0, "perplexity --record-routing")
    shape, passes = read_trace(trace)
    check(shape == (8, 16, 4, 3 * 128 * 256 // 32 * 34), f"trace: shape {shape}")
    check([len(p[0]) for p in passes] == [128, 128], "trace: passes")

    def tokens(passes):
        return [[layer[t] for layer in p] for p in passes for t in range(len(p[0]))]

    by_token = tokens(passes)
    check(len(read_trace(other)[1]) == 8 and tokens(read_trace(other)[1]) == by_token, "micro-batches route alike")

    # The same figures, computed here.
    groups = [[(l, e) for e in chosen] for token in by_token for l, chosen in enumerate(token)]
    requests = sum(groups, [])
    result = st("cache-sim", trace, "--by-token", "--memory", f"50%,{64 * shape[3] + 1}", "--policy", "lru,belady,blend")
    check(result.returncode == 0, f"cache-sim: {result.stderr}")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines() if "%" in line and
            line.startswith("|")][1:]
    check([row[3] for row in rows] == ["lru", "belady", "blend"] * 2 and rows[:3] == rows[3:], "cache-sim: rows")
    for row, hits in zip(rows, (lru_hits(groups, 64), belady_hits(requests, 64))):
        misses = (len(requests) - hits) * shape[3] / 2**20 / len(by_token)
        check(row[1] == "64" and row[4] == f"{100 * hits / len(requests):.1f}" and row[5] == f"{misses:.2f}",
              f"cache-sim: {row}, want {hits} hits of {len(requests)}")
    check(float(rows[2][4]) <= float(rows[1][4]), "nothing beats belady")

    hot = folder / "hot"
    made_up = ["cache-sim", "--made-up", "published", "--tokens", 300, "--memory", "30%", "--policy", "blend"]
    check(st(*made_up, "--save-hot-set", hot).returncode == 0 and hot.read_text().startswith("smallthinker-hot-set 1\n"),
          "cache-sim --save-hot-set")
    rates = [float(st(*made_up, "--from", 280, *more).stdout.splitlines()[-1].split("|")[5])
             for more in ([], ["--hot-set", hot])]
    check(rates[1] > rates[0] + 5, f"cache-sim --hot-set: {rates}")
    st.refuses("cache-sim without a trace", "cache-sim", "--memory", "1G", code=2, contains="TRACE")
    st.refuses("cache-sim without memory", "cache-sim", trace, code=2, contains="--memory")
    st.refuses("cache-sim with bad memory", "cache-sim", trace, "--memory", "1G,lots", code=2, contains="lots")
    st.refuses("cache-sim with a bad share", "cache-sim", trace, "--memory", "120%", code=2, contains="100%")
    st.refuses("cache-sim with a bad policy", "cache-sim", trace, "--memory", "1G", "--policy", "fifo", code=2,
               contains="belady")
    st.refuses("cache-sim beyond the trace", "cache-sim", trace, "--memory", "1G", "--from", 9, code=2,
               matches=r"--from 9: the trace has \d passes")
    st.refuses("cache-sim of another file", "cache-sim", gguf, "--memory", "1G", contains="not a routing trace")
    st.refuses("cache-sim of a missing file", "cache-sim", folder / "none", "--memory", "1G", contains="none")
    st.refuses("hot set of another model", "cache-sim", trace, "--memory", "1G", "--hot-set", hot,
               contains="another model")
    cut = folder / "cut.trace"
    cut.write_bytes(trace.read_bytes()[:-3])
    st.refuses("cut trace", "cache-sim", cut, "--memory", "1G", contains="bytes are left")
    st.refuses("trace into a missing folder", "run", "-m", gguf, "-p", "x", "-n", 1, "--record-routing",
               folder / "no/trace", contains=f"error: {folder}/no/trace: cannot create: No such file or directory\n")
    check(st("bench", "-m", gguf, "-p", 8, "-n", 2, "-r", 1, "--no-probe", "--record-routing", other).returncode == 0 and
          sum(len(p[0]) for p in read_trace(other)[1]) >= 10, "bench --record-routing")


def bundles(st, gguf, models, folder):
    ask = ["-p", PROMPT, "-n", 12, "--temp", 0]
    want = st("run", "-m", gguf, *ask).stdout
    bundle, stripped, experts = folder / "bundle.gguf", folder / "stripped.gguf", folder / "experts"
    made = st("bundle", gguf, "-o", bundle)
    check(made.returncode == 0 and not made.stdout and "128 experts" in made.stderr, f"bundle: {made.stderr}")
    smallest = smallest_memory(st, "-m", bundle)
    for memory in ([], ["--memory", "1GiB"], ["--memory", smallest]):
        result = st("run", "-m", bundle, *ask, *memory)
        check(result.stdout == want, f"run of a bundle {memory}: {result.stdout}{result.stderr}")
    info = json.loads(st("inspect", bundle, "--json", "--tensors").stdout)
    check(info["metadata"]["smallthinker.bundle.version"] == 2 and info["metadata"]["general.alignment"] == 4096 and
          all(t["offset"] % 4096 == 0 for t in info["tensors"]), "inspect of a bundle")
    st.refuses("bundle of a bundle", "bundle", bundle, "-o", folder / "x", contains="is a bundle already")
    st.refuses("quantize of a bundle", "quantize", bundle, folder / "x", "Q4_0", contains="is a bundle")
    st.refuses("bundle without an output", "bundle", gguf, code=2, contains="--outfile")
    st.refuses("bundle of nothing", "bundle", folder / "none", "-o", folder / "x", contains="cannot open")
    data = bytearray(bundle.read_bytes())
    tensor = next(t for t in info["tensors"] if t["name"] == "blk.2.exps")
    data[tensor["offset"] + tensor["ne"][0] * 5 + 99] ^= 16
    (folder / "damaged.gguf").write_bytes(data)
    st.refuses("damaged bundle", "run", "-m", folder / "damaged.gguf", "-p", "x",
               contains="layer 2 gate: expert 5: damaged")

    # A full disk: files of this process may not grow beyond a megabyte.
    full = subprocess.run([st.binary, "bundle", str(gguf), "-o", str(folder / "x")], capture_output=True, text=True,
                          restore_signals=False,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
    check(full.returncode == 1 and full.stderr == f"error: {folder}/x: cannot write: File too large\n",
          f"bundle on a full disk: {full}")

    made = st("strip", gguf, "-o", stripped)
    check(made.returncode == 0 and "dropped 24 tensors" in made.stderr, f"strip: {made.stderr}")
    st.refuses("strip twice", "strip", stripped, "-o", folder / "x", contains="no expert tensors")
    st.refuses("stripped alone", "run", "-m", stripped, "-p", "x", contains="say where they are with --expert-bundle")

    # What looks at a model sees its experts, wherever they are.
    def facts(model):
        row, = json.loads(st("bench", "-m", model, "--no-probe", "-p", 4, "-n", 0, "-r", 1, "-o", "json",
                             "--record-routing", folder / f"{model.name}.trace").stdout)
        return (row["model_type"], row["model_n_params"], row["model_size"],
                read_trace(folder / f"{model.name}.trace")[0][:3])

    check(facts(bundle) == facts(gguf), f"bench of a bundle: {facts(bundle)}, want {facts(gguf)}")
    plan = st("inspect", "--plan", bundle, "--memory", smallest).stdout
    # Three parts of an expert of 34,816 bytes, padded to 36,864; 8 layers of 4 experts; hits rounded to percents.
    told = re.search(r"uniform.*: (\d+) % .* ([\d.]+) (\w+) read per token", plan)
    read = float(told[2]) * {"B": 1, "KiB": 2**10, "MiB": 2**20}[told[3]] if told else 0
    check(0 < read and abs(read - (1 - int(told[1]) / 100) * 32 * 3 * 36864) < 1e5, f"inspect --plan: {plan}")
    check(not list(folder.glob("x*")), "nothing is left of what failed")

    # The reference engine's way, from its environment.
    q4 = folder / "q4.gguf"
    st("convert", models / "model", "--outfile", q4, "--transpose-down", "all", "--outtype", "q4_0")
    st("strip", q4, "-o", stripped)
    want = st("run", "-m", q4, *ask).stdout
    tensors = {t["name"]: t for t in json.loads(st("inspect", q4, "--json", "--tensors").stdout)["tensors"]}
    source, blocks = q4.read_bytes(), b""
    for layer in range(8):
        for expert in range(16):
            for name in ("up", "gate", "down"):
                t = tensors[f"blk.{layer}.ffn_{name}_exps.weight"]
                size = t["bytes"] // 16
                matrix = source[t["offset"] + expert * size:][:size]
                blocks += matrix + bytes(-size % 4096)
    experts.write_bytes(blocks)
    result = st("run", "-m", stripped, "--expert-bundle", experts, *ask, "--memory",
                smallest_memory(st, "-m", stripped, "--expert-bundle", experts))
    check(result.stdout == want and want, f"--expert-bundle: {result.stderr}")

    def notes(result):
        return [line for line in result.stderr.splitlines() if line.startswith("note: ")]

    reference = {"EXPERT_BUNDLE_PATH": str(experts), "MAX_N_CACHED": "96"}
    result = st("run", "-m", stripped, *ask, "--reference-env", env=reference)
    check(result.stdout == want and notes(result)[0] == f"note: EXPERT_BUNDLE_PATH is --expert-bundle {experts}" and
          re.fullmatch(r"note: MAX_N_CACHED=96 is a budget of \d+ MiB here: 32 of 128 experts, and all else",
                       notes(result)[1]) and
          int(re.search(r"room for (\d+) of 128", result.stderr)[1]) >= 32, f"environment: {result}")
    result = st("run", "-m", stripped, *ask, "--memory", "1GiB", "--reference-env", env=reference)
    check(result.stdout == want and notes(result)[1] == "note: MAX_N_CACHED=96 has no effect beside --memory" and
          "1.0 GiB" in result.stderr, f"--memory wins: {result}")
    result = st("inspect", "--plan", stripped, "--memory", "1GiB", "--expert-bundle", experts)
    check(result.returncode == 0 and "128 of 128" in result.stdout, f"inspect --plan --expert-bundle: {result}")
    for value in ("many", "-1", "0", "96x", "99999999999999999999"):
        result = st("run", "-m", stripped, *ask, "--expert-bundle", experts, "--reference-env", env={"MAX_N_CACHED": value})
        check(result.returncode == 2 and result.stderr == f"error: MAX_N_CACHED={value}: want a number of matrices\n",
              f"MAX_N_CACHED={value}: {result}")
    result = st("run", "-m", stripped, *ask, "--expert-bundle", experts, "--reference-env", env={"EXPERT_BUNDLE_PATH": "/none"})
    check(result.stdout == want, "a flag wins over the environment")
    result = st("run", "-m", q4, *ask, "--reference-env", env={"GENERATE_EXPERT_BUNDLE": str(bundle)})
    check(result.returncode == 0 and not result.stdout and f"smallthinker bundle {q4} -o {bundle}" in result.stderr,
          f"GENERATE_EXPERT_BUNDLE: {result}")
    check(st("run", "-m", bundle, *ask).stdout == want, "a bundle made by GENERATE_EXPERT_BUNDLE")
    result = st("run", "-m", stripped, *ask, "--reference-env", env={"EXPERT_BUNDLE_PATH": str(bundle)})
    check(result.stdout == want and notes(result) == [f"note: EXPERT_BUNDLE_PATH is a whole model: -m {bundle}"],
          f"EXPERT_BUNDLE_PATH of ours: {result}")
    result = st("run", "-m", stripped, *ask, "--reference-env", env={"EXPERT_BUNDLE_PATH": "/none"})
    check(result.returncode == 1 and result.stderr == "error: /none: cannot open: No such file or directory\n",
          f"EXPERT_BUNDLE_PATH of nothing: {result}")
    again = folder / "again.gguf"
    st("bundle", stripped, "--expert-bundle", experts, "-o", again)
    check(st("run", "-m", again, *ask).stdout == want, "bundle of a stripped model and its experts")
    experts.write_bytes(blocks[:-1])
    st.refuses("short headerless bundle", "run", "-m", stripped, "--expert-bundle", experts, "-p", "x",
               contains=f"{len(blocks) - 1} bytes, want 384 matrices")


def interruptions(st, gguf):
    process = subprocess.Popen([st.binary, "run", "-m", str(gguf), "-p", PROMPT, "--ignore-eos", "-n", "1000"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)  # it has begun
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, stderr = process.communicate(timeout=10)
    check(process.returncode == 130, f"Ctrl-C: exit {process.returncode}")
    check(time.monotonic() - started < 2, "Ctrl-C answered within 2 s")
    check(b"generation" in stderr, "Ctrl-C still prints the timings")
    waiting = subprocess.Popen([st.binary, "run", "-m", str(gguf)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    time.sleep(0.3)  # it reads its prompt from a pipe that says nothing
    waiting.send_signal(signal.SIGINT)
    try:
        waiting.wait(timeout=5)
    except subprocess.TimeoutExpired:
        waiting.kill()
    check(waiting.returncode == 130, f"Ctrl-C while reading the prompt: exit {waiting.returncode}")
    waiting.communicate()
    full = subprocess.run(f"'{st.binary}' run -m '{gguf}' -p hello -n 4 > /dev/full", shell=True, capture_output=True,
                          text=True)
    check(full.returncode == 1 and "error: cannot write" in full.stderr, f"full disk: {full}")


class Evil:
    """Unpickling this would run a command that leaves `marker` behind."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def hostile(st, gguf, models, folder):
    bad = folder / "bad.gguf"
    for name, data, message in (
            ("empty", b"", "need 24 header bytes, file has 0"),
            ("magic only", b"GGUF", "need 24 header bytes, file has 4"),
            ("not gguf", b"x" * 100, "not a GGUF file"),
            ("version", b"GGUF" + struct.pack("<IQQ", 4, 0, 0), "version 4 unsupported"),
            ("counts", b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "n_tensors 1152921504606846976 > 65536"),
            ("no keys", b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "general.architecture: missing")):
        bad.write_bytes(data)
        st.refuses(f"gguf {name}", "run", "-m", bad, "-p", "x", contains=message)
    good = gguf.read_bytes()
    for length in [*range(0, 2000, 97), *range(2000, len(good), len(good) // 40)]:
        bad.write_bytes(good[:length])
        cut = (rf"{re.escape(str(bad))}: (truncated: need .*|kv.* exceeds? remaining \d+ bytes|"
               rf"tensor '.*': bytes \d+\.\.\d+ past end of file \({length}\); incomplete download\? a whole one has "
               rf"{len(good)} bytes)")
        st.refuses(f"gguf cut at {length}", "run", "-m", bad, "-p", "x", matches=cut)
        st.refuses(f"quantize of gguf cut at {length}", "quantize", bad, folder / "q.gguf", "F16", matches=cut)
    check(not (folder / "q.gguf").exists(), "no output from a bad input")
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    for path, message in ((fifo, "not a regular file"), ("/dev/zero", "not a regular file"),
                          (folder / "none", "cannot open"), (models, "is a folder, but not of a model: it has no config.json\n")):
        st.refuses(f"model {path}", "run", "-m", path, "-p", "x", contains=message)

    hf = folder / "hf"
    shutil.copytree(models / "variants/micro-4b-style", hf)
    out = folder / "hf.gguf"

    def convert_refuses(what, name, data, matches):
        original = (hf / name).read_bytes()
        (hf / name).write_bytes(data)
        st.refuses(what, "convert", hf, "--outfile", out, matches=rf"{re.escape(str(hf / name))}: (?:{matches})")
        (hf / name).write_bytes(original)

    tensors = (hf / "model.safetensors").read_bytes()
    convert_refuses("safetensors header", "model.safetensors", struct.pack("<Q", 1 << 63) + tensors[8:],
                    "header 9223372036854775808 bytes > 100 MB")
    convert_refuses("safetensors empty", "model.safetensors", b"",
                    r"not a safetensors file: it is empty: was the download interrupted\?")
    for length in range(1, len(tensors), len(tensors) // 20):
        convert_refuses(f"safetensors cut at {length}", "model.safetensors", tensors[:length],
                        r"truncated: need 8 bytes for header length at 0, 1 left|"
                        r"tensor '.*': offsets \d+\.\.\d+ past the end of the data \(\d+\)")
    for name in ("config.json", "tokenizer.json"):
        text = (hf / name).read_bytes()
        step = max(1, len(text) // 60)
        for length in range(0, len(text) - 2, step):
            convert_refuses(f"{name} cut at {length}", name, text[:length],
                            r"invalid JSON at byte \d+ \(line \d+, column \d+\)" if length else
                            r"not a JSON object: it is empty: was the download interrupted\?")
        convert_refuses(f"{name} deep", name, b"[" * 100_000,
                        rf"not a JSON object: it is a text, '\[{{40}}\.\.\.': did the download fail\?")
    tokenizer = json.loads((hf / "tokenizer.json").read_text())
    tokenizer["added_tokens"][0]["id"] = 1 << 31
    convert_refuses("added token id", "tokenizer.json", json.dumps(tokenizer).encode(),
                    ".*2147483648.*")
    tokenizer = json.loads((hf / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a+)+"
    convert_refuses("pre-tokenizer", "tokenizer.json", json.dumps(tokenizer).encode(),
                    r"pre_tokenizer: unknown pattern '\(a\+\)\+'")
    (hf / "model.safetensors").rename(hf / "aside")  # a single file would be preferred to an index
    (hf / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": {"model.norm.weight": "../../x.safetensors"}}))
    st.refuses("shard path", "convert", hf, "--outfile", out, contains="leaves the model directory")

    predictor = folder / "predictor.pt"

    def predictor_refuses(what, matches):
        st.refuses(what, "convert", models / "model", "--outfile", out, "--lm-head-predictor", predictor,
                   matches=rf"{re.escape(str(predictor))}: {matches}")

    marker = folder / "was-here"
    with zipfile.ZipFile(predictor, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil(marker), protocol=2))
        archive.writestr("archive/version", "3\n")
    predictor_refuses("pickle that calls", r"pickle: global 'posix\.system' not allowed at offset \d+")
    check(not marker.exists(), "nothing was executed")
    good_pt = (models / "model/model_lm_head.pt").read_bytes()
    for length in range(0, len(good_pt), len(good_pt) // 30):
        predictor.write_bytes(good_pt[:length])
        predictor_refuses(f".pt cut at {length}",
                          rf"zip: no end record at {length - 22}" if length else
                          "truncated: need 4 bytes for torch file at 0, 0 left")
    check(not out.exists(), "no output from bad input")
    check(not [p for p in folder.iterdir() if p.name.endswith(".tmp")], "no temporary files left")
    st.refuses("outfile is a device", "convert", models / "model", "--outfile", "/dev/full",
               contains="not a regular file")


if __name__ == "__main__":
    main(__doc__, usage, running, text_tools, system, other_tools, bench, verify, smallest_budgets_work,
         logits_within_memory, memory_faults, dead_disk_read, cache_sim, bundles, interruptions, hostile)
