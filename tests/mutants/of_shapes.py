"""Valid models of odd shapes: each gives a text, and the same one whatever the threads, batches and budget."""
import tiny_gguf as gguf


class ShapeMutants:
    name = "shapes"

    def __init__(self, random, judge, models):
        self.random, self.judge = random, judge

    def shape(self):
        pick = self.random.choice
        kind = pick([gguf.TYPE_F32, gguf.TYPE_F16, gguf.TYPE_BF16, gguf.TYPE_Q4_0, gguf.TYPE_Q8_0])
        quantised = kind in (gguf.TYPE_Q4_0, gguf.TYPE_Q8_0)
        kv_heads = pick([1, 1, 2, 3, 5])
        heads = kv_heads * pick([1, 1, 2, 3, 7, 8, 16, 17])
        head_dim = pick([2, 4, 6, 8, 16, 30, 32, 34, 62, 64, 66, 128])
        if quantised and heads * head_dim % 32:
            head_dim = 32
        experts = pick([1, 2, 3, 4, 7, 16, 33, 64])
        return {"kind": kind, "kv_heads": kv_heads, "heads": heads, "head_dim": head_dim, "experts": experts,
                "hidden": pick([32, 64, 96, 128, 160] if quantised else [1, 2, 3, 4, 5, 7, 8, 16, 17, 31, 32, 33, 48, 64, 100]),
                "used": pick([1, experts, self.random.randint(1, experts)]),
                "ffn": pick([32, 64, 96] if quantised else [1, 2, 3, 4, 5, 8, 15, 16, 17, 32, 33, 64]),
                "transposed": pick([True, False]), "tied": pick([True, False]), "layers": pick([1, 2, 4, 5]),
                "context": pick([1, 2, 3, 16, 64, 127, 128, 129, 300]), "window": pick([0, 0, 1, 2, 5, 127, 128, 129, 1000]),
                "router": pick([gguf.TYPE_F32, gguf.TYPE_F32, gguf.TYPE_F16, gguf.TYPE_BF16])}

    def one(self):
        shape = self.shape()
        self.judge.path("shape.gguf").write_bytes(gguf.dump(gguf.model(**shape, seed=self.random.randrange(1 << 30))))
        length = min(self.random.choice([1, 2, 5, 17, 60, 130]), shape["context"])
        command = ["run", "-m", "shape.gguf", "-p", "x" * length, "-n", self.random.choice([1, 3, 10]), "--temp", 0,
                   *self.random.choice([[], [], ["-ctk", "f32"], ["-ctk", "i16"], ["-ctk", "i8"]])]
        alone = self.judge(*command, "-t", 1)
        if alone.findings or alone.code != 0:
            if alone.code != 0:
                alone.findings.append("refuses a valid model: " + alone.error())
            return [shape], [*command, "-t", 1], alone
        more = ["-t", self.random.randint(1, 64), "-ub", self.random.choice([1, 2, 7, 64, 512])]
        if self.random.random() < 0.3:
            more += ["--memory", self.judge.memory(self.random.choice([40, 1024]))]
        other = self.judge(*command, *more, codes=(0, 2) if "--memory" in more else (0,))
        if other.code == 0 and other.out != alone.out:
            other.findings.append(f"says {other.out!r}, with one thread {alone.out!r}")
        return [shape], [*command, *more], other

    def evidence(self):
        return [self.judge.path("shape.gguf")]
