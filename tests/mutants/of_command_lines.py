"""Command lines that a person or a script might get wrong, for every command."""
INTEGERS = ["0", "1", "2", "3", "7", "8", "16", "17", "33", "64", "127", "128", "129", "500", "-1", "-2", "4294967295",
            "4294967296", "134217728", "134217729", "99999999999999999999", "", "abc", "1.5", "0x10", "1e3", "+5", " 5", "5 ",
            "nan", "\u0661"]
NUMBERS = ["0", "1", "0.5", "-1", "nan", "inf", "-inf", "1e-40", "1e38", "1e39", "", "abc", "0,5", "1e6", "-1e6", "-0", ".5"]
SIZES = ["1", "0", "", "-1", "20MiB", "40MiB", "64mib", "1G", "1Gi", "1GiB", "1TiB", "16EiB", "99999999TiB", "1e3", "5 MiB",
         "5MiBx", "0x10", "nan", "inf", "1.5G", ".5G", "50%", "1KiB", "MiB"]
TEXTS = ["", "hi", "\\n", "\\x", "\\xZZ", "\\xff", "\\", "<|im_end|>", "a" * 2000, "\u00e9", "\x01", "--", "-p", "%s%n", '"q"',
         "it's", "\x1b[2J"]
FILES = ["text.txt", "empty.txt", "one.txt", "/dev/null", "/nonexistent", ".", "/proc/self/mem", "/dev/zero", "-"]
OUTPUTS = ["out", "/dev/full", ".", "/nonexistent/out", "model.gguf", "./model.gguf", "link.gguf", "text.txt/out"]
MODELS = ["model.gguf", "model.gguf", "model.gguf", "predicting.gguf", "text.txt", "link.gguf", "/nonexistent"]


class CommandLineMutants:
    name = "command-lines"

    def __init__(self, random, judge, models):
        self.random, self.judge = random, judge
        self.text = "Once upon a time there was a dog. " * 12
        judge.path("text.txt").write_text(self.text)
        judge.path("empty.txt").write_text("")
        judge.path("one.txt").write_text("a")
        for command in (["convert", models / "variants/micro-odd-sharded", "--outfile", "model.gguf", "--outtype", "q4_0"],
                        ["convert", models / "model", "--outfile", "predicting.gguf", "--outtype", "q8_0", "--lm-head-predictor",
                         models / "model/model_lm_head.pt"]):
            made = judge(*command)
            if made.code != 0:
                raise RuntimeError(f"{command}: {made.err.decode()}")
        judge.path("link.gguf").symlink_to("model.gguf")
        self.model = judge.path("model.gguf").read_bytes()

    # ---- Pieces of a command line ----

    def pick(self, values):
        return self.random.choice(values)

    def integer(self):
        return self.pick(INTEGERS[:13] if self.random.random() < 0.7 else INTEGERS)

    def maybe(self, chance, *words):
        """The words, or none; those that can be called are asked."""
        return [w() if callable(w) else w for w in words] if self.random.random() < chance else []

    def model_options(self):
        pick, maybe = self.pick, self.maybe
        return [*maybe(0.4, "-t", lambda: pick(["1", "2", "3", "5", "9", "16", *INTEGERS])), *maybe(0.4, "-c", self.integer),
                *maybe(0.3, "-b", self.integer), *maybe(0.4, "-ub", self.integer),
                *maybe(0.25, "--memory", lambda: pick([self.judge.memory(100), "1GiB", *SIZES])),
                *maybe(0.2, pick(["-ctk", "-ctv", "--cache-type"]), lambda: pick(["f32", "i16", "i8", "f16", "q8_0", "q4_0", ""])),
                *maybe(0.15, "--cpu", lambda: pick(["avx512", "avx2", "scalar", "avxvnni", "", "x"])),
                *maybe(0.1, "--moe-gating", lambda: pick(["auto", "softmax", "sigmoid", "x"])),
                *maybe(0.1, "--hot-set", lambda: pick(["hot", "/nonexistent/hot", ".", "text.txt", "model.gguf"])),
                *maybe(0.1, "--no-progress"), *maybe(0.1, "-v"), *maybe(0.03, "--expert-bundle", lambda: pick(FILES)),
                *maybe(0.2, *pick([["-ngl", "99"], ["-fa"], ["-fa", "on"], ["--mlock"], ["--no-mmap"], ["--jinja"], ["--color"],
                                   ["--no-warmup"], ["-tb", "2"], ["--keep", "4"], ["--numa", "distribute"]]))]

    def run(self):
        line = ["run", "-m", self.pick(MODELS), *self.model_options(), "-n", self.pick(["0", "1", "3", "20", "-2"])]
        line += self.pick([["-p", self.pick(TEXTS)]] * 4 + [["-f", self.pick(FILES)], [], ["once", "upon"]])
        for name, values in (("--temp", NUMBERS), ("--top-k", INTEGERS), ("--top-p", NUMBERS), ("--min-p", NUMBERS),
                             ("--typical", NUMBERS), ("--repeat-penalty", NUMBERS), ("--frequency-penalty", NUMBERS),
                             ("--presence-penalty", NUMBERS), ("--repeat-last-n", INTEGERS), ("--seed", INTEGERS),
                             ("--lm-head-threshold", NUMBERS), ("--lm-head-floor", INTEGERS)):
            line += self.maybe(0.12, name, lambda: self.pick(values))
        line += self.maybe(0.15, "--samplers", lambda: self.pick(
            ["", "top_k", "temperature;top_k;top_p", "typ_p;min_p;penalties", "penalties;" * 50, "x", ";", "dry;xtc"]))
        line += self.maybe(0.15, "--lm-head", lambda: self.pick(["auto", "sparse", "dense", "check", "x"]))
        line += self.maybe(0.15, "--memory-change", lambda: self.pick(
            ["1:400MiB", "2:1GiB", "1:1", "0:5", "x", "1:", "-1:5MiB", ":", "9" * 20 + ":1G"]))
        line += self.maybe(0.2, "--ignore-eos") + self.maybe(0.1, "--no-display-prompt")
        return line + self.maybe(0.1, "--record-routing", lambda: self.pick(OUTPUTS))

    def perplexity(self):
        return ["perplexity", "-m", self.pick(MODELS), *self.model_options(), "-f", self.pick(FILES),
                *self.maybe(0.5, "--chunks", self.integer),
                *self.maybe(0.2, "--kl-divergence-base", lambda: self.pick(OUTPUTS + FILES)), *self.maybe(0.1, "--kl-divergence")]

    def imatrix(self):
        return ["imatrix", "-m", self.pick(MODELS), *self.model_options(), "-f", self.pick(FILES), "-o", self.pick(OUTPUTS),
                *self.maybe(0.5, "--chunks", self.integer), *self.maybe(0.2, "--process-output")]

    def logits(self):
        tokens = ["1,2,3", "", "4095", "4096", "-1", "1,,2", "[1, 2]", "1 2 3", "a", "9" * 20, "1" + ",1" * 3000]
        return ["logits", "-m", self.pick(MODELS), *self.model_options(), "-o", self.pick(OUTPUTS), *self.maybe(0.5, "--all"),
                *self.pick([["-p", self.pick(TEXTS)], ["--tokens", self.pick(tokens)]])]

    def bench(self):
        lists = ["0", "1", "5", "1,2", "5-7", "7-5", "1-5+2", "1-9*2", "1-9*0", "1-9+0", "", "a", "-1", "1-100000000+1", "1," * 100]
        return ["bench", "-m", self.pick(MODELS), "-p", self.pick(lists), "-n", self.pick(["0", "1", "2", "1,2", ""]),
                "-r", self.pick(["1", "2", "0"]), "--no-probe", *self.maybe(0.3, "-t", lambda: self.pick(lists)),
                *self.pick([[], ["-d", self.pick(["0", "5", "900", "2000", "-1"])],
                            ["-pg", self.pick(["4,2", "0,0", "4", "a,b", "4,2,1"])],
                            ["-o", self.pick(["md", "csv", "json", "jsonl", "x"])]])]

    def verify(self):
        return ["verify", "-m", self.pick(MODELS), "-p", self.pick(["2", "5", "12", "1", "0"]),
                "-t", self.pick(["1", "1,3", "0", "a", ""]), "--ubatch-size", self.pick(["1", "1,7", "0", "100"]),
                *self.pick([[], ["--memory", self.pick(SIZES)], ["-f", self.pick(FILES)]])]

    def text_tools(self):
        return self.pick([
            ["tokenize", "-m", self.pick(MODELS), *self.pick([["-p", self.pick(TEXTS)], ["-f", self.pick(FILES)]]),
             *self.maybe(0.5, "--ids")],
            ["detokenize", "-m", self.pick(MODELS), *self.pick([["1", "2"], ["-1"], ["4096"], ["a"], ["1,2"], ["9" * 20], []])]])

    def inspect(self):
        return ["inspect", *self.pick([[self.pick(MODELS)], ["--system"], ["--system", "model.gguf"], ["model.gguf", "--plan"],
                                       ["model.gguf", "--plan", "--memory", self.pick(SIZES)], ["--system", "--json"], [],
                                       [self.pick(MODELS), "--tensors", "--json"]])]

    def cache_sim(self):
        return ["cache-sim", *self.pick([["--made-up", self.pick(["drifting", "uniform", "x"])], ["text.txt"], []]),
                "--memory", self.pick(["30%", "1%", "100%", "0%", "101%", "1MiB", "1GiB", "", "30%,50%"]),
                "--tokens", self.pick(["1", "10", "50", "0", "-1"]),
                *self.pick([[], ["--skip", self.pick(["0", "5", "50", "-1"])], ["--from", self.pick(["0", "5", "100"])],
                            ["--shape", self.pick(["4b", "21b", "x"])], ["--policy", self.pick(["lru", "x", "lru,lru", ""])],
                            ["--save-hot-set", self.pick(OUTPUTS)]])]

    def files(self):
        output = self.pick(OUTPUTS)
        return self.pick([
            ["synth", "tiny", "-o", output, *self.pick([[], ["--seed", self.pick(INTEGERS)], ["--gate-sparsity", self.pick(NUMBERS)],
                                                        ["--router-skew", self.pick(NUMBERS)], ["--type", self.pick(["q4_0", "f16", "x"])],
                                                        ["--arch-name", self.pick(["smallthinker", "qwen3moe", "x", ""])]])],
            ["quantize", self.pick(MODELS), output, self.pick(["Q4_0", "Q8_0", "F16", "F32", "x", "q4_0", "Q4_K_M"]),
             *self.pick([[], ["1"], ["0"], ["2000"]])],
            [self.pick(["bundle", "strip"]), self.pick(MODELS), "-o", output],
            ["convert", self.pick(["model.gguf", ".", "/nonexistent", "text.txt"]), "--outfile", output]])

    def anything(self):
        return self.pick([["help", self.pick(["run", "x", ""])], ["version"], [self.pick(["chat", "serve", "rum", "-v", "", "\x1b[2J"])],
                          [self.pick(MODELS)], ["run", self.pick(MODELS), "-p", "hi", "-n", "1"], [self.pick(["-h", "--help", "--version"])],
                          ["run", "-m", "model.gguf", "-hf", "org/model"]])

    KINDS = [(run, 6), (perplexity, 1), (imatrix, 1), (logits, 1), (bench, 1), (verify, 1), (text_tools, 2), (inspect, 1), (cache_sim, 1),
             (files, 4), (anything, 1)]

    def one(self):
        kinds, weights = zip(*self.KINDS)
        line = self.random.choices(kinds, weights)[0](self)
        outcome = self.judge(*line, codes=(0, 1, 2), limits=self.judge.limits.times(3, 2))
        inputs = sum(word in ("model.gguf", "./model.gguf", "link.gguf") for word in line)
        if self.judge.path("model.gguf").read_bytes() != self.model:
            if inputs > 1:  # else it is only where somebody wants to write
                outcome.findings.append("the model that was read is another file now")
            self.judge.path("model.gguf").write_bytes(self.model)
        if self.judge.path("text.txt").read_text() != self.text:
            outcome.findings.append("text.txt is another file now")
            self.judge.path("text.txt").write_text(self.text)
        self.judge.path("link.gguf").unlink()
        self.judge.path("link.gguf").symlink_to("model.gguf")
        for left in ("out", "hot"):
            self.judge.path(left).unlink(missing_ok=True)
        return [], line, outcome

    def evidence(self):
        return []
