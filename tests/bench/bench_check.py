#!/usr/bin/env python3
"""Checks the arithmetic and the tables of bench/compare, the pictures of bench/plot and
bench/memory-plot.

Usage: bench_check.py --bench bench --docs docs

Measures nothing and needs no llama.cpp.
"""

import argparse
import copy
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
from xml.etree import ElementTree

BENCH = DOCS = pathlib.Path()  # from the command line


def svg_of(data):
    """(exit status, root element or None) of bench/plot."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder, "in.json"), pathlib.Path(folder, "out.svg")
        source.write_text(json.dumps(data))
        command = [sys.executable, BENCH / "plot", source, "-o", target]
        status = subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode
        return status, ElementTree.parse(target).getroot() if target.exists() else None


def label(value):
    """What is to be read beside a bar."""
    if value is None:
        return "not measured"
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"


def texts(root):
    """All that is written in an SVG."""
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def beyond_frame(root):
    """Texts that would cross an edge of the picture in a wide font such as DejaVu Sans."""
    right, bottom = float(root.get("width")) - 10, float(root.get("height")) - 10
    found = []
    for element in root.iter("{http://www.w3.org/2000/svg}text"):
        words, kinds = element.text or "", (element.get("class") or "").split()
        size = 11 if "small" in kinds else 15 if "title" in kinds else 13
        width = 0.53 * size * len(words)
        left = float(element.get("x")) - width * (0.5 if "middle" in kinds else "end" in kinds)
        if left < 10 or left + width > right or not 10 + size < float(element.get("y")) < bottom:
            found.append(words)
    return found


class Compare(unittest.TestCase):
    """bench/report.py, and that bench/compare starts."""

    def test_row_takes_medians(self):
        row = self.report.row("pp512", 2, [100.0, 40.0, 50.0], [90.0, 100.0, 4.0], 800.0)
        self.assertEqual([row["llama_cpp"], row["ours"], row["ratio"]], [50.0, 90.0, 1.8])
        even = self.report.row("pp512", 2, [1.0, 3.0], [3.0, 5.0])
        self.assertEqual(even["ratio"], 2.0)

    def test_markdown_shows_everything(self):
        rows = [self.report.row("tg128 @ d64", 2, [40.0, 50.0, 60.0], [99.0, 101.0, 120.0], 158.4)]
        memory = [{"threads": 2, "llama_cpp": 2200.0, "ours": 2310.0}]
        table = self.report.markdown({"rows": rows, "memory": memory, "about": {"cpu": "some"}})
        lines = table.splitlines()
        self.assertEqual(
            lines[2], "| tg128 @ d64, tok/s | 2 | 50 (40-60) | 101 (99-120) | 2.02 | 158 |"
        )
        self.assertEqual(lines[3], "| peak memory, MiB | 2 | 2,200 | 2,310 | 1.05 | - |")
        self.assertEqual(lines[5], "* cpu: some")
        self.assertEqual({line.count("|") for line in lines[:4]}, {7})

    def test_wall_is_the_nearer_limit(self):
        entry = {"bytes_per_token": 5e8, "multiply_adds_per_token": 6e8}
        probe = {"read_bandwidth": 75e9, "int8_peak": 600e9}
        self.assertEqual(self.report.wall(entry, probe), 150)
        self.assertEqual(self.report.wall(dict(entry, bytes_per_token=None), probe), 1000)
        self.assertIsNone(self.report.wall(entry, None))

    def test_our_entry(self):
        prompt = {"n_prompt": 512, "n_gen": 0, "avg_ts": 7.0, "samples_ts": [1.0, 9.0, 2.0]}
        generate = {"n_prompt": 0, "n_gen": 128, "avg_ts": 7.0}
        entries = [prompt, generate]
        self.assertEqual(self.report.speed(self.report.our_entry(entries, "pp", 512)), 2.0)
        self.assertEqual(self.report.speed(self.report.our_entry(entries, "tg", 128)), 7.0)
        with self.assertRaises(ValueError):
            self.report.our_entry(entries, "pp", 128)

    def test_words(self):
        flashes = {1: {"pp512": 1, "tg128": 0}}
        words = self.report.flash_text(flashes), self.report.buffers_text({"A": 0.7, "B": 2050.0})
        self.assertEqual(words[0], "pp512 on with 1, tg128 off with 1 threads")
        self.assertEqual(words[1], "A 0.7 MiB, B 2,050 MiB")
        probes = {2: {"read_bandwidth": 76.5e9, "int8_peak": 855e9}}
        self.assertIn("76.5 GB/s and multiplies 855 G/s", self.report.machine_text(probes))
        self.assertEqual(self.report.machine_text({}), "not probed")

    def test_tests_of(self):
        self.assertEqual(
            self.report.tests_of(512, 128, 0), [("pp512", "pp", 512), ("tg128", "tg", 128)]
        )
        self.assertEqual(self.report.tests_of(0, 8, 64), [("tg8 @ d64", "tg", 8)])

    def test_missing_features(self):
        info = "CPU : AVX2 = 1 | AVX512 = 1 | AVX512_VNNI = 1 | REPACK = 1 | "
        cpu = ["avx2", "avx512f", "avx512_vnni"]
        self.assertEqual(self.report.missing_features(cpu, info), [])
        self.assertEqual(self.report.missing_features(["avx2"], "AVX2 = 1 | REPACK = 1"), [])
        self.assertEqual(
            self.report.missing_features(cpu, "AVX2 = 1"), ["AVX512", "AVX512_VNNI", "REPACK"]
        )

    def test_fits_twice(self):
        self.assertTrue(self.report.fits_twice(2e9, 2e9, 8e9))
        self.assertFalse(self.report.fits_twice(12e9, 12e9, 24e9))

    def test_starts(self):
        for name in ("compare", "plot", "memory-plot", "llama_child.py"):
            command = [sys.executable, BENCH / name, "--help"]
            self.assertEqual(subprocess.run(command, stdout=subprocess.DEVNULL).returncode, 0, name)


class Plot(unittest.TestCase):
    """bench/plot on the committed figures and on made ones."""

    def setUp(self):
        self.data = json.loads((DOCS / "speed.json").read_text())

    def assert_all_drawn(self, data):
        status, root = svg_of(data)
        self.assertEqual(status, 0)
        entries = data["results"] + data["walls"]
        values = [entry[metric] for entry in entries for metric in ("generation", "prompt")]
        written = texts(root)
        for value in values:
            self.assertIn(label(value), written)
            written.remove(label(value))
        names = {entry.get("engine") for entry in data["results"]} | data["models"].keys()
        self.assertLessEqual(names, set(written))
        for footnote in data["footnotes"]:  # a long one is on several lines
            self.assertIn(footnote, " ".join(filter(None, written)))

    def test_committed_figures(self):
        self.assert_all_drawn(self.data)

    def test_picture_is_up_to_date(self):
        root = ElementTree.parse(DOCS / "speed.svg").getroot()
        self.assertEqual(texts(root), texts(svg_of(self.data)[1]))
        self.assertEqual(beyond_frame(root), [])

    def test_bars_are_proportional(self):
        data = copy.deepcopy(self.data)
        data["models"] = {"m": {}}
        data["walls"] = []
        common = {"date": "d", "model": "m", "threads": 4}
        data["results"] = [
            {**common, "engine": f"<{value}&>", "generation": value, "prompt": value}
            for value in (200, 50)
        ]
        self.assert_all_drawn(data)
        rects = svg_of(data)[1].iter("{http://www.w3.org/2000/svg}rect")
        widths = [float(rect.get("width")) for rect in rects if rect.get("class") == "peer"]
        self.assertEqual(len(widths), 4)
        self.assertAlmostEqual(widths[0], 4 * widths[2], delta=0.5)

    def test_refuses_what_it_cannot_draw(self):
        for key, value in [("model", "another"), ("generation", "fast")]:
            data = copy.deepcopy(self.data)
            data["results"][0][key] = value
            self.assertEqual(svg_of(data)[0], 1, key)
        del self.data["results"][0]["prompt"]
        self.assertEqual(svg_of(self.data)[0], 1)


def memory_svg(data, model):
    """(exit status, root element or None) of bench/memory-plot draw."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder, "in.json"), pathlib.Path(folder, "out.svg")
        source.write_text(json.dumps(data))
        command = [sys.executable, BENCH / "memory-plot", "draw", source, "--model", model, "-o", target]
        status = subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode
        return status, ElementTree.parse(target).getroot() if target.exists() else None


def tips(root):
    """What the dots of an SVG tell."""
    name = "{http://www.w3.org/2000/svg}title"
    return [e.find(name).text for e in root.iter("{http://www.w3.org/2000/svg}circle") if e.find(name) is not None]


class MemoryPlot(unittest.TestCase):
    """bench/memory-plot draw on the committed figures and on made ones."""

    def setUp(self):
        self.data = json.loads((DOCS / "memory.json").read_text())

    def pictures(self):
        """{model: SVG file} of those with figures."""
        measured = {entry["model"] for entry in self.data["results"]}
        return {model: DOCS / f"memory-{model.split('B')[0].lower()}b.svg" for model in measured}

    def test_pictures_are_up_to_date_and_complete(self):
        self.assertTrue(self.pictures())
        for model, file in self.pictures().items():
            status, root = memory_svg(self.data, model)
            self.assertEqual(status, 0)
            committed = ElementTree.parse(file).getroot()
            self.assertEqual((texts(root), tips(root)), (texts(committed), tips(committed)))
            self.assertEqual(beyond_frame(root), [])
            drawn = [tip.rsplit(" ", 1)[1] for tip in tips(root)]
            for entry in self.data["results"]:
                if entry["model"] == model:
                    self.assertIn(label(entry["tokens_per_second"]), drawn)

    def dots(self, speeds):
        """(x, y) of nine dots: speeds, shares of experts and bytes read at three budgets."""
        common = {"date": "d", "engine": "smallthinker", "model": "m", "threads": 2, "samples": []}
        self.data["models"] = {"m": {"about": "", "published": []}}
        self.data["results"] = [
            {**common, "memory": memory, "tokens_per_second": speed, "found_share": found, "disk_mib_per_token": 1}
            for memory, speed, found in zip((512, 1024, None), speeds, (0.5, 0.75, 1), strict=True)
        ]
        status, root = memory_svg(self.data, "m")
        self.assertEqual(status, 0)
        at = [(float(e.get("cx")), float(e.get("cy"))) for e in root.iter("{http://www.w3.org/2000/svg}circle") if len(e)]
        self.assertEqual(len(at), 9)
        return at

    def test_heights_are_proportional(self):
        at = self.dots((10, 40, 100))
        for first, (low, middle, high) in ((0, (10, 40, 100)), (3, (50, 75, 100))):
            heights = [y for _, y in at[first : first + 3]]
            share = (heights[0] - heights[1]) / (heights[0] - heights[2])
            self.assertAlmostEqual(share, (middle - low) / (high - low), delta=0.01)
            self.assertLess(at[first][0], at[first + 1][0])

    def test_axis_has_no_empty_half(self):
        at = self.dots((80, 82, 96))  # from 80 to 96, in steps of 2
        self.assertAlmostEqual((at[0][1] - at[1][1]) / 190, 2 / 16, delta=0.001)
        self.assertAlmostEqual(at[0][1] - at[2][1], 190, delta=0.1)

    def test_axis_of_a_factor_of_100_is_logarithmic(self):
        below, at_bound = self.dots((1, 10, 99)), self.dots((1, 10, 100))
        self.assertAlmostEqual((below[0][1] - below[1][1]) / (below[0][1] - below[2][1]), 9 / 98, delta=0.01)
        self.assertAlmostEqual(at_bound[0][1] - at_bound[1][1], at_bound[1][1] - at_bound[2][1], delta=0.1)
        # An axis ends at the round numbers nearest to its values: these are its ends.
        self.assertAlmostEqual(at_bound[0][1] - at_bound[2][1], 190, delta=0.1)

    def test_refuses_what_it_does_not_know(self):
        self.assertEqual(memory_svg(self.data, "another")[0], 1)


def main():
    """Command line; see the top of the file."""
    global BENCH, DOCS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", type=pathlib.Path, required=True)
    parser.add_argument("--docs", type=pathlib.Path, required=True)
    args = parser.parse_args()
    BENCH, DOCS = args.bench, args.docs
    sys.path.insert(0, str(BENCH))
    import report  # from the folder just named

    Compare.report = report
    unittest.main(argv=[sys.argv[0]])


if __name__ == "__main__":
    main()
