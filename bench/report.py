"""Arithmetic and tables of bench/compare; no measuring here, so that it can be tested."""

import statistics

# What a CPU flag of /proc/cpuinfo must be called in llama.cpp's system info.
CPU_FEATURES = {"avx2": "AVX2", "avx512f": "AVX512", "avx512_vnni": "AVX512_VNNI"}


def missing_features(cpu_flags, system_info):
    """Features that the CPU has and this build of llama.cpp does not use."""
    wanted = [name for flag, name in CPU_FEATURES.items() if flag in cpu_flags] + ["REPACK"]
    return [name for name in wanted if f"{name} = 1" not in system_info]


def fits_twice(model_bytes, our_bytes, available_bytes):
    """Whether both engines' weights fit into memory at once, with a tenth and 1 GiB to spare."""
    return 1.1 * (model_bytes + our_bytes) + 2**30 < available_bytes


def tests_of(prompt, generate, depth):
    """[(name, kind, tokens)], named as llama-bench names them."""
    suffix = f" @ d{depth}" if depth else ""
    tests = [("pp", prompt), ("tg", generate)]
    return [(f"{kind}{count}{suffix}", kind, count) for kind, count in tests if count]


def our_entry(entries, kind, count):
    """One test in the JSON of `smallthinker bench` (llama-bench's names)."""
    wanted = (count, 0) if kind == "pp" else (0, count)
    for entry in entries:
        if (entry["n_prompt"], entry["n_gen"]) == wanted:
            return entry
    raise ValueError(f"smallthinker bench reports no {kind}{count}")


def speed(entry):
    """Tokens per second."""
    return statistics.median(entry.get("samples_ts") or [entry["avg_ts"]])


def wall(entry, probe):
    """Tokens per second if all of the machine's bandwidth or int8 peak were used, or None.

    Both are set against the bytes and multiply-adds that smallthinker's own run touched.
    """
    costs = {"read_bandwidth": "bytes_per_token", "int8_peak": "multiply_adds_per_token"}
    limits = [
        probe[peak] / entry[cost]
        for peak, cost in costs.items()
        if probe and probe.get(peak) and entry.get(cost)
    ]
    return min(limits, default=None)


def row(test, threads, llama, ours, limit=None):
    """One line of the result from the samples (tok/s) of both engines."""
    medians = statistics.median(llama), statistics.median(ours)
    return {
        "test": test,
        "threads": threads,
        "llama_cpp": medians[0],
        "ours": medians[1],
        "ratio": medians[1] / medians[0],
        "wall": limit,
        "llama_cpp_samples": llama,
        "ours_samples": ours,
    }


def number(value):
    """Three significant digits at least, no exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cell(samples):
    """A median with its range."""
    low, high = number(min(samples)), number(max(samples))
    return f"{number(statistics.median(samples))} ({low}-{high})"


def flash_text(flashes):
    """{threads: {test: 0 or 1}} in words."""
    parts = [
        f"{test} {'on' if flash else 'off'} with {threads}"
        for threads, choice in flashes.items()
        for test, flash in choice.items()
    ]
    return ", ".join(parts) + " threads"


def buffers_text(buffers):
    """{type: MiB} in words."""
    return ", ".join(f"{name} {number(size)} MiB" for name, size in buffers.items())


def machine_text(probes):
    """What `smallthinker bench --probe` said, by threads."""
    parts = [
        f"reads {number(probe['read_bandwidth'] / 1e9)} GB/s and multiplies "
        f"{number(probe['int8_peak'] / 1e9)} G/s in int8 with {threads} threads"
        for threads, probe in probes.items()
    ]
    return ", ".join(parts) or "not probed"


def markdown(result):
    """The result as a Markdown table with the circumstances below."""
    lines = [
        "| | threads | llama.cpp | smallthinker | ratio | wall |",
        "|---|---|---|---|---|---|",
    ]
    for entry in result["rows"]:
        speeds = cell(entry["llama_cpp_samples"]), cell(entry["ours_samples"])
        limit = number(entry["wall"]) if entry["wall"] else "-"
        cells = f"{entry['test']}, tok/s", entry["threads"], *speeds, f"{entry['ratio']:.2f}", limit
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    for entry in result["memory"]:
        sizes = number(entry["llama_cpp"]), number(entry["ours"])
        ratio = f"{entry['ours'] / entry['llama_cpp']:.2f}"
        cells = "peak memory, MiB", entry["threads"], *sizes, ratio, "-"
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines.append("")
    lines += [f"* {name}: {value}" for name, value in result["about"].items()]
    return "\n".join(lines)
