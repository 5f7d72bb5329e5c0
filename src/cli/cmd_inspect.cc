#include <fmt/format.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/args.h"
#include "cli/model_args.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "format/gguf_model.h"

namespace st {
namespace {

using nlohmann::json;

json element(const GgufArray& array, uint64_t i) {
  if (array.type == GgufType::kString) return array.strings[i];
  if (array.holds_integers()) return array.integer(i);
  return array.number(i);
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string type_of(const GgufTensor& tensor) {
  return name_of_dtype(static_cast<uint32_t>(tensor.type));
}

// A value as JSON, piece by piece: a vocabulary takes many times its size as a whole one.
void write_json(const GgufValue& value, const std::function<void(std::string_view)>& sink) {
  const auto* array = std::get_if<GgufArray>(&value.value);
  if (array == nullptr) {
    const auto scalar = []<typename T>(const T& x) -> json {
      if constexpr (std::is_same_v<T, GgufArray>)
        return nullptr;
      else
        return x;
    };
    return sink(dump(std::visit(scalar, value.value)));
  }
  sink("[");
  for (uint64_t i = 0; i < array->count; ++i) {
    if (i > 0) sink(",");
    sink(dump(element(*array, i)));
  }
  sink("]");
}

// One line per key; long arrays and texts by their size and beginning.
std::string summary(const GgufValue& value) {
  constexpr size_t kShownBytes = 80, kShownItems = 64;
  if (const auto* text = std::get_if<std::string>(&value.value)) {
    return fmt::format("'{}'", printable(*text, kShownBytes));
  }
  const auto* array = std::get_if<GgufArray>(&value.value);
  if (array != nullptr && (array->count > kShownItems || array->type == GgufType::kString)) {
    return printable(value);
  }
  std::string line;
  write_json(value, [&](std::string_view piece) { line += piece; });
  return line;
}

void print_metadata(const GgufFile& file) {
  print_out("  \"metadata\": {{");
  const char* separator = "\n";
  for (const GgufEntry& entry : file.entries()) {
    print_out("{}    {}: ", separator, dump(entry.key));
    write_json(entry.value, write_out);
    separator = ",\n";
  }
  print_out("\n  }},\n");
}

void print_json(const GgufModel& model, bool tensors) {
  print_out("{{\n");
  print_metadata(model.metadata());
  uint64_t bytes = 0;
  const char* separator = "  \"tensors\": [\n";
  for (const auto& [info, source] : model.tensors()) {
    bytes += info->bytes;
    if (!tensors) continue;
    const json tensor = {{"name", info->name},
                         {"type", type_of(*info)},
                         {"ne", info->ne},
                         {"offset", info->offset},
                         {"bytes", info->bytes}};
    print_out("{}    {}", separator, dump(tensor));
    separator = ",\n";
  }
  if (tensors) print_out("{}", model.tensors().empty() ? "  \"tensors\": [],\n" : "\n  ],\n");
  print_out(
      "  \"version\": {},\n  \"file_bytes\": {},\n  \"tensor_count\": {},\n"
      "  \"tensor_bytes\": {}\n}}\n",
      model.metadata().version(), model.file_bytes(), model.tensors().size(), bytes);
}

struct Sum {
  int count = 0;
  uint64_t bytes = 0;
  bool sized = true;

  void add(const GgufTensor& tensor) {
    ++count;
    bytes += tensor.bytes;
    sized = sized && tensor.bytes > 0;
  }
  std::string text() const { return sized ? format_bytes(bytes) : "of unknown size"; }
};

uint64_t weights_of(const GgufTensor& tensor) {
  uint64_t weights = 1;
  for (const uint64_t n : tensor.ne) weights *= n;  // which the reader has checked
  return weights;
}

void print_text(const GgufModel& model, bool tensors) {
  for (const GgufEntry& entry : model.metadata().entries()) {
    print_out("{:<46} {}\n", printable(entry.key), summary(entry.value));
  }
  std::map<std::string, Sum> types;
  Sum total;
  uint64_t weights = 0;
  for (const auto& [info, source] : model.tensors()) {
    const std::string type = type_of(*info);
    types[type].add(*info);
    total.add(*info);
    weights += weights_of(*info);
    if (tensors) {
      print_out("{:<46} {:<5} [{}] {} bytes at {}\n", printable(info->name), type,
                fmt::join(info->ne, ", "), info->bytes > 0 ? std::to_string(info->bytes) : "?",
                info->offset);
    }
  }
  for (const auto& [name, sum] : types) {
    print_out("{:<46} {} tensors, {}\n", name, sum.count, sum.text());
  }
  print_out("{:<46} {} tensors, {} weights, {}", "total", total.count, weights, total.text());
  if (total.sized && weights > 0) {
    print_out(" ({:.2f} bits per weight)",
              8.0 * static_cast<double>(total.bytes) / static_cast<double>(weights));
  }
  print_out("\n");
}

}  // namespace

int execute(const InspectArgs& args) {
  if (args.system) return inspect_system(args);
  if (args.plan) return inspect_plan(args);
  refuse_folder(args.model);
  const GgufModel model(args.model, GgufTypes::kAny);
  args.json ? print_json(model, args.tensors) : print_text(model, args.tensors);
  return kExitOk;
}

}  // namespace st
