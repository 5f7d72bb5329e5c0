// What `bench` prints: llama-bench's columns and field names first, then ours.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "study/bench.h"
#include "study/probe.h"

namespace st {

enum class BenchFormat { kMarkdown, kCsv, kJson, kJsonLines };

// nullopt for an unknown name.
std::optional<BenchFormat> parse_bench_format(std::string_view name);

// What a GGUF says about itself.
struct BenchModel {
  std::string filename;
  std::string name;         // general.name
  std::string description;  // "smallthinker 4B Q4_0"
  uint64_t bytes = 0;       // of tensors
  uint64_t parameters = 0;
  bool transposed = false;  // down matrices by neuron
  bool experts = true;      // else dense
};
BenchModel describe_model(const Engine& engine, std::string filename);

struct BenchRow {
  BenchModel model;
  std::string cpu;      // "AMD EPYC"
  std::string kernels;  // "avx512"
  std::string version;
  std::string time;  // ISO 8601, when the test began
  int threads = 0;
  int64_t batch = 0;
  int64_t micro_batch = 0;
  KvType cache_type = KvType::kI16;
  double load_seconds = 0;
  uint64_t peak_memory = 0;    // 0: not known
  uint64_t memory = 0;         // budget; 0: none
  std::optional<Probe> probe;  // not with --no-probe
  BenchResult result;

  // nullopt where something was not counted or not measured.
  std::optional<double> bytes_per_token() const;
  std::optional<double> bandwidth_share() const;  // of the read bandwidth, 0..1
  std::optional<double> int8_share() const;       // of the int8 peak, 0..1
  std::optional<double> found_share() const;      // experts that were in memory, 0..1
  std::optional<double> wait_share() const;       // of the threads' time, for the file, 0..1
};

// Columns that llama-bench shows only when they tell something.
struct BenchColumns {
  bool batch = false;
  bool micro_batch = false;
  bool cache_type = false;
  bool memory = false;  // the budget, and what it did
};

// A document is rows, each printed as soon as it is known, and a foot.
class BenchTable {
 public:
  BenchTable(BenchFormat format, BenchColumns columns) : format_(format), columns_(columns) {}
  std::string row(const BenchRow& row);  // with whatever goes before it
  std::string foot() const;

 private:
  std::string markdown(const BenchRow& row);

  BenchFormat format_;
  BenchColumns columns_;
  int rows_ = 0;
  std::string notes_;  // beneath a Markdown table: a line per loaded engine
};

std::string format_probes(BenchFormat format, std::span<const Probe> probes);

}  // namespace st
