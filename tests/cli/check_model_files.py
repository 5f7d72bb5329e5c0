"""Model files that are none, not whole, of types that do not run here or with parts we do not know: what the
command says of each, and that inspect shows whatever can be read."""
import json
import pathlib
import struct
import subprocess
import sys

from harness import PROMPT, Cli, check, main

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "oracle/llama_cpp"))
import gguf_keys  # noqa: E402

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 2472877152\n"


def other_files(st: Cli, gguf, models, folder):
    def refused(name, content, message):
        path = folder / name
        path.write_bytes(content)
        for command in (["run", "-m", path, "-p", "x", "-n", 1], ["inspect", path], ["tokenize", "-m", path, "-p", "x"]):
            st.refuses(f"{command[0]} {name}", *command, contains=f"error: {path}: {message}\n")

    refused("pointer.gguf", LFS.encode(), "not a GGUF file: it is a Git LFS pointer, not the file itself: "
            "run 'git lfs pull'")
    refused("page.gguf", b"<!doctype html><html><body>Sign in</body></html>",
            "not a GGUF file: it is an HTML page: the download failed, or needs you to log in")
    refused("text.gguf", b"Entry not found, sorry about that", "not a GGUF file: it is a text, "
            "'Entry not found, sorry about that': did the download fail?")
    refused("zeros.gguf", bytes(4096), "not a GGUF file: it is zeros where it should begin: was the download "
            "interrupted?")
    refused("weights.gguf", (models / "model/model.safetensors").read_bytes()[:4096],
            "not a GGUF file: it is a safetensors file: convert makes a GGUF file of its folder")
    refused("predictor.gguf", (models / "model/model_lm_head.pt").read_bytes(),
            "not a GGUF file: it is a PyTorch file: convert reads safetensors")
    refused("empty.gguf", b"", "truncated: need 24 header bytes, file has 0; incomplete download?")
    whole = gguf.read_bytes()
    path = folder / "half.gguf"
    path.write_bytes(whole[:len(whole) // 2])
    st.refuses("half a download", "run", "-m", path, "-p", "x", "-n", 1,
               contains=f"past end of file ({len(whole) // 2}); incomplete download? a whole one has {len(whole)} bytes")


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def entry(key, value):
    """A key with a text."""
    return text(key) + struct.pack("<I", 8) + text(value)


def small_gguf(entries, tensors, data):
    """tensors: name, dimensions, type id, offset."""
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries)) + b"".join(entries)
    for name, ne, kind, offset in tensors:
        header += text(name) + struct.pack(f"<I{len(ne)}QIQ", len(ne), *ne, kind, offset)
    return header + bytes(-len(header) % 32) + data


def other_types(st: Cli, folder):
    path = folder / "types.gguf"
    path.write_bytes(small_gguf([entry("general.architecture", "made-up")],
                                [("a", [256, 2], 22, 0), ("b", [3], 97, 192), ("c", [32], 8, 224)], bytes(258)))
    st.refuses("run a type we do not have", "run", "-m", path, "-p", "x", "-n", 1,
               contains=f"error: {path}: tensor 'a': type 22 (IQ2_S) unsupported\n")
    st.refuses("quantize a type we do not have", "quantize", path, folder / "o.gguf", "Q4_0", contains="(IQ2_S)")
    shown = st("inspect", path, "--tensors").stdout
    for line in ("a IQ2_S [256, 2] 164 bytes at 192", "b type 97 [3] ? bytes at 384", "c Q8_0 [32] 34 bytes at 416",
                 "total 3 tensors, 547 weights, of unknown size"):
        check(line in " ".join(shown.split()), f"inspect --tensors lacks {line!r}: {shown}")
    listed = json.loads(st("inspect", path, "--tensors", "--json").stdout)
    check([t["type"] for t in listed["tensors"]] == ["IQ2_S", "type 97", "Q8_0"], f"inspect --json: {listed}")
    check(listed["metadata"] == {"general.architecture": "made-up"}, f"inspect --json: {listed}")
    empty = json.loads(st("inspect", path, "--json").stdout)
    check("tensors" not in empty and empty["tensor_count"] == 3, f"inspect --json: {empty}")
    path.write_bytes(small_gguf([], [], b""))
    check(json.loads(st("inspect", path, "--tensors", "--json").stdout) ==
          {"metadata": {}, "tensors": [], "version": 3, "file_bytes": 32, "tensor_count": 0, "tensor_bytes": 0},
          "inspect of an empty directory")


def other_keys(st: Cli, gguf, folder):
    path = folder / "keys.gguf"
    run = ["run", "-m", path, "-p", PROMPT, "-n", 2, "--temp", 0, "--no-progress"]
    gguf_keys.write_changed(gguf, path, add=[("smallthinker.attention.clamp_kqv", "f32", 8)])
    st.refuses("a value that is not implemented", *run,
               contains=f"error: {path}: key smallthinker.attention.clamp_kqv 8 unsupported, want 0\n")
    gguf_keys.write_changed(gguf, path, add=[("tokenizer.ggml.add_space_prefix", "bool", True)])
    for command in (run, ["tokenize", "-m", path, "-p", "x"]):
        st.refuses("a key of the vocabulary", *command,
                   contains=f"error: {path}: key tokenizer.ggml.add_space_prefix true: not understood")
    gguf_keys.write_changed(gguf, path, drop=["smallthinker.rope.freq_base"], add=[("general.license", "str", "mit")])
    said = st(*run, "-v").stderr
    check("note: no rope.freq_base in the file: using 10000" in said, f"a guess is not told: {said}")
    check("keys without effect: " in said and "general.license" in said, f"-v lists no keys: {said}")
    check("general.license" not in st(*run).stderr, "keys without effect are told without -v")


# A child begins with the peak of who started it, so a small process does.
MEASURE = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=False)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"""


def measured(command):
    """MiB at the peak, standard error."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *map(str, command)], capture_output=True, check=True)
    return int(done.stdout.split()[-1]) / 1024, done.stderr.decode()


def little_is_spent(st: Cli, gguf, folder):
    """64 MiB and 4 times the metadata for a file that is refused or inspected."""
    path = folder / "large.gguf"
    gguf_keys.write_changed(gguf, path, drop=["tokenizer.ggml.tokens"],
                            add=[("tokenizer.ggml.tokens", "strs", [f"t{i}" for i in range(600_000)])])
    limit = 1e9 if st.sanitized else 64 + 4 * path.stat().st_size / 2**20
    peak, said = measured([st.binary, "run", "-m", path, "-p", "x", "-n", 1])
    check("600000 tokens for a vocabulary of 4096 rows" in said, f"too many tokens: {said}")
    check(peak <= limit, f"too many tokens: {peak:.0f} MiB > {limit:.0f}")
    peak, said = measured([st.binary, "inspect", "--json", path])
    check(said == "" and peak <= limit, f"inspect --json of 600,000 tokens: {peak:.0f} MiB > {limit:.0f} {said}")
    path.write_bytes(small_gguf([entry(f"key.{i}", "x" * 65_000) for i in range(600)], [], b""))
    limit = 1e9 if st.sanitized else 64 + 4 * path.stat().st_size / 2**20
    peak, said = measured([st.binary, "inspect", "--json", path])
    check(said == "" and peak <= limit, f"inspect --json of 39 MB: {peak:.0f} MiB > {limit:.0f} {said}")


if __name__ == "__main__":
    main(__doc__, other_files, other_types, other_keys, little_is_spent)
