"""Files given as a model that are none, or not whole: each is refused with a line that says what it is."""
from harness import Cli, main

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


if __name__ == "__main__":
    main(__doc__, other_files)
