"""What the command wrote itself, damaged: bundles, routing traces, hot sets, headerless bundles."""
import struct

WORDS = [0, 1, 2, 3, 255, 256, 2**31 - 1, 2**31, 2**32 - 1, 65536, 65535, 4095, 4097]
LONG_WORDS = [0, 1, 2**40, 2**40 + 1, 2**63, 2**64 - 1]


class FileMutants:
    name = "files"

    def __init__(self, random, judge, models):
        self.random, self.judge = random, judge
        for command in (["convert", models / "variants/micro-odd-sharded", "--outfile", "whole.gguf", "--outtype", "q4_0"],
                        ["bundle", "whole.gguf", "-o", "bundle.gguf"],
                        ["strip", "whole.gguf", "-o", "stripped.gguf"],
                        ["run", "-m", "whole.gguf", "-p", "hi", "-n", 30, "--ignore-eos", "--record-routing", "trace"],
                        ["run", "-m", "whole.gguf", "-p", "hi", "-n", 30, "--ignore-eos", "--memory", self.judge.memory(100),
                         "--hot-set", "hot"]):
            made = judge(*command)
            if made.code != 0:
                raise RuntimeError(f"{command}: {made.err.decode()}")
        self.bundle, self.trace, self.hot = (judge.path(n).read_bytes() for n in ("bundle.gguf", "trace", "hot"))

    def damaged(self, data, header):
        data, did = bytearray(data), []
        for _ in range(self.random.choice([1, 1, 2, 4])):
            if not data:
                break
            what = self.random.randrange(6)
            at = self.random.randrange(min(len(data), self.random.choice([header, header, len(data)])))
            if what == 0:
                data[at] ^= 1 << self.random.randrange(8)
            elif what == 1:
                data[at:at + 4] = struct.pack("<I", self.random.choice(WORDS))
            elif what == 2:
                data[at:at + 8] = struct.pack("<Q", self.random.choice(LONG_WORDS))
            elif what == 3:
                del data[at:]
            elif what == 4:
                data[at:at] = self.random.randbytes(self.random.choice([1, 2, 4]))
            else:
                del data[at:at + self.random.choice([1, 2, 4, 100])]
            did.append(f"{what} at {at}")
        return bytes(data), did

    def damaged_text(self, data):
        lines = data.decode().split("\n")
        at, what = self.random.randrange(len(lines)), self.random.randrange(8)
        words = lines[at].split(" ")
        if what == 0:
            words[self.random.randrange(len(words))] = self.random.choice(
                ["-1", "10001", "99999999999999999999", "", "x", "1.5", "nan", "+5", "0x10", "\t", "\0", "1e3", "00005"])
        elif what == 1:
            words = words[:-1]
        elif what == 2:
            words.append("5")
        elif what == 3:
            words = self.random.choice([["layers", "4", "experts", "5"], ["layers", "9" * 20, "experts", "4"],
                                        ["layers", "-1", "experts", "4"], ["\x1b]0;x\x07"], ["layers 4096 experts 65536"]])
        elif what == 4:
            return data.replace(b"\n", b"\r\n"), ["CR LF"]
        elif what == 5:
            return data * self.random.choice([2, 1000]), ["repeated"]
        elif what == 6:
            return self.damaged(data, 200)
        else:
            del lines[at]
            return "\n".join(lines).encode(), [f"no line {at}"]
        lines[at] = " ".join(words)
        return "\n".join(lines).encode(), [f"{what} in line {at}"]

    def one(self):
        kind = self.random.choice(["bundle", "bundle", "trace", "trace", "hot", "headerless"])
        memory = ["--memory", self.judge.memory(60)]
        run = ["run", "-p", "hi", "-n", 4, "--temp", 0, "-t", 2, "-m"]
        if kind == "bundle":
            data, did = self.damaged(self.bundle, self.random.choice([3000, 140000, len(self.bundle)]))
            command = [*run, "mutant", *self.random.choice([[], memory])]
        elif kind == "trace":
            data, did = self.damaged(self.trace, 48)
            command = ["cache-sim", "mutant", "--memory",
                       self.random.choice(["30%", "1MiB", "100%", "10TiB", "1%", "50%,1KiB"]),
                       *self.random.choice([[], ["--by-token"], ["--skip", 5], ["--policy", "lru,blend"]])]
        elif kind == "hot":
            data, did = self.damaged_text(self.hot)
            command = [*run, "whole.gguf", *memory, "--hot-set", "mutant"]
        else:
            data, did = self.damaged(self.bundle[:self.random.choice([10, 1000, 100000])], 100)
            command = [*run, "stripped.gguf", "--expert-bundle", "mutant"]
        self.judge.path("mutant").write_bytes(data)
        return [kind, *did], command, self.judge(*command)

    def evidence(self):
        return [self.judge.path("mutant")]
