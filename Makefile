# make run        build, convert the shipped tiny model, quantise it and generate from it
# make test       all tests (what CI runs)
# make test-arm   all of it that can run on aarch64, in an emulator; an hour or two
# make test-long  each file compiled by itself, a faulty disk and random sequences under the thread
#                 sanitizer, 100 runs held to --memory (as root), mutants, fuzzing
# make install  the program, its manual page and completions, in PREFIX (/usr/local)
# make bench      speed on this machine
# make lint       clang-tidy, slow (needs clang-tidy-19 and a build)
SHELL := /bin/bash
MODEL := models/tiny-smallthinker/model
OUT   := build/models
BIN   := build/smallthinker

.PHONY: run build install test test-arm test-long bench lint format clean

run: build
	@mkdir -p $(OUT)
	$(BIN) convert $(MODEL) --outfile $(OUT)/tiny-f16.gguf --outtype f16 --transpose-down all
	$(BIN) quantize --pure $(OUT)/tiny-f16.gguf $(OUT)/tiny-q4_0.gguf Q4_0 2>/dev/null
	$(BIN) run -m $(OUT)/tiny-q4_0.gguf -n 96 --temp 0.6 --seed 7 \
	  -p "Once upon a time there was a little fox named Leo. He lived in a den."

build:
	@scripts/install-deps build
	@[ -f build/CMakeCache.txt ] || cmake --preset release -DST_TESTS=OFF -DCMAKE_UNITY_BUILD=ON >/dev/null
	@cmake --build --preset release --target smallthinker

PREFIX ?= /usr/local
install: build
	@DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(PREFIX)"

test:
	@scripts/test

test-arm:
	@scripts/test-arm

test-long:
	@scripts/install-deps fuzz
	@scripts/each-file
	@scripts/faults
	@$(MAKE) -s build
	@scripts/promise
	@scripts/memory-limits
	@scripts/mutants
	@scripts/fuzz

bench: build
	@scripts/bench

lint:
	git ls-files 'src/*.cc' | grep -v _test.cc | xargs -P2 -n1 clang-tidy-19 -p build --quiet

format:
	git ls-files '*.cc' '*.h' | xargs clang-format-19 -i

clean:
	rm -rf build build-*
