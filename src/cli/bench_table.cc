#include "cli/bench_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "arch/names.h"
#include "base/error.h"
#include "convert/gguf_out.h"

namespace st {
namespace {

using nlohmann::ordered_json;

constexpr double kMiB = 1 << 20;
constexpr double kGiB = 1 << 30;

double total(std::span<const double> values) {
  return mean(values) * static_cast<double>(values.size());
}

std::vector<int64_t> nanoseconds(std::span<const double> seconds) {
  std::vector<int64_t> ns;
  for (const double s : seconds) ns.push_back(std::llround(s * 1e9));
  return ns;
}

// 4'271'234'048 -> "4B", 16'000'000 -> "16M": as models are called.
std::string size_label(uint64_t parameters) {
  constexpr uint64_t kMillion = 1'000'000;
  return parameters >= 1000 * kMillion ? fmt::format("{}B", parameters / (1000 * kMillion))
                                       : fmt::format("{}M", parameters / kMillion);
}

ordered_json optional_number(const std::optional<double>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

// Everything there is to tell; single values first, then the lists, which CSV leaves out.
ordered_json fields(const BenchRow& row) {
  const BenchResult& r = row.result;
  const std::vector<double> rates = r.rates();
  const auto per_token = [&](uint64_t count) {
    return count == 0
               ? ordered_json(nullptr)
               : ordered_json(static_cast<double>(count) / static_cast<double>(r.stats.tokens));
  };
  const std::string cache_type{kv_type_name(row.cache_type)};
  ordered_json out = {
      {"version", row.version},
      {"cpu_info", row.cpu},
      {"backends", "CPU"},
      {"kernels", row.kernels},
      {"model_filename", row.model.filename},
      {"model_type", row.model.description},
      {"model_name", row.model.name},
      {"model_size", row.model.bytes},
      {"model_n_params", row.model.parameters},
      {"down_transposed", row.model.transposed},
      {"n_batch", row.batch},
      {"n_ubatch", row.micro_batch},
      {"n_threads", row.threads},
      {"type_k", cache_type},
      {"type_v", cache_type},
      {"n_prompt", r.test.prompt},
      {"n_gen", r.test.generate},
      {"n_depth", r.test.depth},
      {"test", r.test.name()},
      {"test_time", row.time},
      {"avg_ns", std::llround(mean(r.seconds) * 1e9)},
      {"stddev_ns", std::llround(standard_deviation(r.seconds) * 1e9)},
      {"avg_ts", mean(rates)},
      {"stddev_ts", standard_deviation(rates)},
      {"avg_first_token_ns", std::llround(mean(r.first_token) * 1e9)},
      {"stddev_first_token_ns", std::llround(standard_deviation(r.first_token) * 1e9)},
      {"load_ns", std::llround(row.load_seconds * 1e9)},
      {"peak_memory", row.peak_memory > 0 ? ordered_json(row.peak_memory) : ordered_json(nullptr)},
      {"read_bandwidth",
       row.probe ? ordered_json(row.probe->read_bandwidth) : ordered_json(nullptr)},
      {"int8_peak", row.probe ? ordered_json(row.probe->int8_peak) : ordered_json(nullptr)},
      {"bandwidth_share", optional_number(row.bandwidth_share())},
      {"int8_share", optional_number(row.int8_share())},
      {"bytes_per_token", per_token(r.stats.weight_bytes)},
      {"multiply_adds_per_token", per_token(r.stats.multiply_adds)},
      {"neurons_per_token", per_token(r.stats.neurons)},
      {"active_neurons_per_token", per_token(r.stats.active_neurons)},
      {"expert_uses_per_token", per_token(row.model.experts ? r.stats.expert_uses : 0)},
      {"expert_loads_per_token", per_token(row.model.experts ? r.stats.expert_loads : 0)},
      {"head_rows_per_token", per_token(r.stats.head_rows)},
      {"memory", row.memory > 0 ? ordered_json(row.memory) : ordered_json(nullptr)},
      {"found_share", optional_number(row.found_share())},
      {"wait_share", optional_number(row.wait_share())},
      {"disk_bytes_per_token", per_token(r.stats.disk_bytes)},
      {"samples_ns", nanoseconds(r.seconds)},
      {"samples_ts", rates},
      {"samples_first_token_ns", nanoseconds(r.first_token)},
  };
  return out;
}

ordered_json fields(const Probe& probe) {
  return {{"kernels", probe.kernels},
          {"n_threads", probe.threads},
          {"read_bandwidth", probe.read_bandwidth},
          {"int8_peak", probe.int8_peak}};
}

std::string dump(const ordered_json& value, int indent = -1) {
  return value.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

// A CSV cell: texts quoted with quotes doubled, unknown values empty.
std::string cell(const ordered_json& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return dump(value);
  std::string out = "\"";
  for (const char c : value.get_ref<const std::string&>())
    out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

std::string csv(const ordered_json& object, bool head) {
  std::string names;
  std::string values;
  for (const auto& [name, value] : object.items()) {
    if (value.is_array()) continue;
    const char* comma = values.empty() && names.empty() ? "" : ",";
    names += comma + name;
    values += comma + cell(value);
  }
  return (head ? names + "\n" : "") + values + "\n";
}

// JSON objects become an array, a value at a time.
std::string element(const ordered_json& object, bool first) {
  std::string text = dump(object, 2);
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 3) {
    text.insert(at + 1, "  ");
  }
  return (first ? "[\n  " : ",\n  ") + text;
}

struct Column {
  std::string title;
  size_t width;
  bool left;
  std::string text;
};

std::string table_line(std::span<const Column> columns, bool head) {
  std::string line = "|";
  std::string rule = "|";
  for (const Column& c : columns) {
    const std::string& text = head ? c.title : c.text;
    line +=
        c.left ? fmt::format(" {:<{}} |", text, c.width) : fmt::format(" {:>{}} |", text, c.width);
    rule += fmt::format(" {:->{}} |", c.left ? "-" : ":", c.width);
  }
  return head ? line + "\n" + rule + "\n" : line + "\n";
}

std::string percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f}", *share * 100) : "-";
}

std::string binary_size(uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  return value >= kGiB ? fmt::format("{:.2f} GiB", value / kGiB)
                       : fmt::format("{:.2f} MiB", value / kMiB);
}

std::string parameter_count(uint64_t parameters) {
  const auto value = static_cast<double>(parameters);
  return value >= 1e9 ? fmt::format("{:.2f} B", value / 1e9) : fmt::format("{:.2f} M", value / 1e6);
}

}  // namespace

std::optional<BenchFormat> parse_bench_format(std::string_view name) {
  if (name == "md") return BenchFormat::kMarkdown;
  if (name == "csv") return BenchFormat::kCsv;
  if (name == "json") return BenchFormat::kJson;
  if (name == "jsonl") return BenchFormat::kJsonLines;
  return std::nullopt;
}

BenchModel describe_model(const Engine& engine, std::string filename) {
  BenchModel model{
      .filename = std::move(filename),
      .name = engine.config().name,
      .transposed = engine.model().weights().experts.front().layout == DownLayout::kNeurons,
      .experts = engine.config().has_experts()};
  std::map<DType, uint64_t> bytes;
  const auto add = [&](DType dtype, uint64_t size) {
    const DTypeInfo& type = dtype_info(dtype);
    bytes[dtype] += size;
    model.bytes += size;
    model.parameters += size / type.block_bytes * type.block_values;
  };
  for (const auto& [info, source] : engine.model().file().tensors()) {
    if (is_expert_tensor(*info) || names::is_dense_part(info->name)) continue;
    add(info->type, info->bytes);
  }
  // A bundle has them in tensors that do not tell their types.
  for (const ExpertLayer& layer : engine.model().weights().experts) {
    for (const MatrixStack* stack : {&layer.gate, &layer.up, &layer.down}) {
      const Matrix& matrix = stack->prototype;
      add(matrix.type, static_cast<uint64_t>(stack->count) * matrix.bytes());
    }
  }
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& kv) { return kv.second; });
  model.description = fmt::format("{} {} {}", engine.config().architecture,
                                  size_label(model.parameters), dtype_name(most->first));
  return model;
}

std::optional<double> BenchRow::bytes_per_token() const {
  if (result.stats.weight_bytes == 0) return std::nullopt;
  return static_cast<double>(result.stats.weight_bytes) / static_cast<double>(result.stats.tokens);
}

std::optional<double> BenchRow::bandwidth_share() const {
  if (!probe || result.stats.weight_bytes == 0) return std::nullopt;
  return static_cast<double>(result.stats.weight_bytes) / total(result.seconds) /
         probe->read_bandwidth;
}

std::optional<double> BenchRow::int8_share() const {
  if (!probe || result.stats.multiply_adds == 0) return std::nullopt;
  return static_cast<double>(result.stats.multiply_adds) / total(result.seconds) / probe->int8_peak;
}

std::optional<double> BenchRow::found_share() const {
  const Stats& s = result.stats;
  if (s.expert_loads == 0) return std::nullopt;
  return static_cast<double>(s.found_experts) / static_cast<double>(s.expert_loads);
}

std::optional<double> BenchRow::wait_share() const {
  return result.stats.wait_seconds / (total(result.seconds) * threads);
}

std::string BenchTable::markdown(const BenchRow& row) {
  const std::vector<double> rates = row.result.rates();
  const auto bytes = row.bytes_per_token();
  std::vector<Column> columns = {
      {"model", 30, true, printable(row.model.description, 60)},
      {"size", 10, false, binary_size(row.model.bytes)},
      {"params", 10, false, parameter_count(row.model.parameters)},
      {"backend", 10, true, "CPU " + row.kernels},
      {"threads", 7, false, fmt::format("{}", row.threads)},
  };
  if (columns_.batch) columns.push_back({"n_batch", 7, false, fmt::format("{}", row.batch)});
  if (columns_.micro_batch) {
    columns.push_back({"n_ubatch", 8, false, fmt::format("{}", row.micro_batch)});
  }
  if (columns_.cache_type) {
    columns.push_back({"type_kv", 7, false, std::string(kv_type_name(row.cache_type))});
  }
  if (columns_.memory) columns.push_back({"memory", 10, false, binary_size(row.memory)});
  std::vector<Column> rest = {
      {"test", 15, false, row.result.test.name()},
      {"t/s", 20, false, fmt::format("{:.2f} ± {:.2f}", mean(rates), standard_deviation(rates))},
      {"first ms", 9, false, fmt::format("{:.2f}", mean(row.result.first_token) * 1e3)},
      {"MiB/tok", 8, false, bytes ? fmt::format("{:.2f}", *bytes / kMiB) : "-"},
      {"% read", 6, false, percent(row.bandwidth_share())},
      {"% int8", 6, false, percent(row.int8_share())},
      {"peak RSS", 10, false, row.peak_memory > 0 ? binary_size(row.peak_memory) : "-"},
  };
  columns.insert(columns.end(), rest.begin(), rest.end());
  if (columns_.memory) {
    const Stats& stats = row.result.stats;
    const auto disk = static_cast<double>(stats.disk_bytes) / static_cast<double>(stats.tokens);
    columns.push_back({"% found", 7, false, percent(row.found_share())});
    columns.push_back({"disk MiB/tok", 12, false, fmt::format("{:.2f}", disk / kMiB)});
    columns.push_back({"% wait", 6, false, percent(row.wait_share())});
  }

  const std::string limits =
      row.probe ? fmt::format("; the machine reads {:.1f} GB/s and multiplies {:.1f} G/s in int8",
                              row.probe->read_bandwidth / 1e9, row.probe->int8_peak / 1e9)
                : "";
  const std::string note = fmt::format("{} thread{}: loaded in {:.2f} s{}\n", row.threads,
                                       row.threads == 1 ? "" : "s", row.load_seconds, limits);
  if (!notes_.ends_with(note)) notes_ += note;
  return (rows_ == 0 ? table_line(columns, true) : "") + table_line(columns, false);
}

std::string BenchTable::row(const BenchRow& row) {
  std::string text;
  switch (format_) {
    case BenchFormat::kMarkdown:
      text = markdown(row);
      break;
    case BenchFormat::kCsv:
      text = csv(fields(row), rows_ == 0);
      break;
    case BenchFormat::kJson:
      text = element(fields(row), rows_ == 0);
      break;
    case BenchFormat::kJsonLines:
      text = dump(fields(row)) + "\n";
      break;
  }
  ++rows_;
  return text;
}

std::string BenchTable::foot() const {
  if (format_ == BenchFormat::kJson) return rows_ == 0 ? "[]\n" : "\n]\n";
  return notes_.empty() ? "" : "\n" + notes_;
}

std::string format_probes(BenchFormat format, std::span<const Probe> probes) {
  std::string out;
  for (const Probe& probe : probes) {
    const bool first = out.empty();
    switch (format) {
      case BenchFormat::kMarkdown: {
        const std::vector<Column> columns = {
            {"backend", 10, true, fmt::format("CPU {}", probe.kernels)},
            {"threads", 7, false, fmt::format("{}", probe.threads)},
            {"read GB/s", 10, false, fmt::format("{:.1f}", probe.read_bandwidth / 1e9)},
            {"int8 GMAC/s", 11, false, fmt::format("{:.1f}", probe.int8_peak / 1e9)},
        };
        out += (first ? table_line(columns, true) : "") + table_line(columns, false);
        break;
      }
      case BenchFormat::kCsv:
        out += csv(fields(probe), first);
        break;
      case BenchFormat::kJson:
        out += element(fields(probe), first);
        break;
      case BenchFormat::kJsonLines:
        out += dump(fields(probe)) + "\n";
        break;
    }
  }
  return format == BenchFormat::kJson ? out + "\n]\n" : out;
}

}  // namespace st
