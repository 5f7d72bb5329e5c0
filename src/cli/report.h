// What commands tell about themselves: sizes as people read them, peaks of memory, progress.
#pragma once

#include <cstdint>
#include <string>

#include "base/stop.h"
#include "engine/engine.h"
#include "engine/perplexity.h"
#include "engine/session.h"

namespace st {

std::string format_bytes(uint64_t bytes);  // "1.9 GiB"
inline constexpr uint64_t kNoBudget = UINT64_MAX;
std::string format_budget(uint64_t bytes);                // "no limit" for kNoBudget
std::string counted(uint64_t n, std::string_view thing);  // "1 answer", "2 answers"
uint64_t peak_memory_bytes();                             // the largest resident set so far
bool reset_peak_memory();  // counts it anew; false where the system cannot

// "1.9 GiB of weights", and how much of them stays in the file.
std::string describe_weights(const WeightStore& store);

// What became of a memory budget, for `tokens` tokens in `seconds`; lines.
std::string receipt(const MemoryReport& report, int64_t tokens, double seconds);
// The same to standard error, at the end of a run.
void print_receipt(const MemoryReport& report, int64_t tokens, double seconds);

// What became of drafts, to follow a rate: ", spec 62 of 80 drafts"; nothing if there were none.
std::string describe_drafts(const DraftCount& drafts);

// The perplexity after each window, to standard error.
void print_progress(const PerplexityResult& result, int64_t windows);

// Progress on standard error (unless `show` is false): a bar that redraws itself on a terminal, a
// line per tenth elsewhere. Work that is over within half a second draws nothing.
Progress make_progress_bar(bool show);

}  // namespace st
