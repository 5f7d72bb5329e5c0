#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/args.h"
#include "cli/inspect_plan.h"
#include "cli/inspect_system.h"
#include "cli/report.h"
#include "cli/streams.h"
#include "format/gguf_model.h"

namespace st {
namespace {

using nlohmann::json;

struct Visitor {
  json operator()(const GgufArray& array) const {
    json out = json::array();
    for (uint64_t i = 0; i < array.count; ++i) {
      if (array.type == GgufType::kString) {
        out.push_back(array.strings[i]);
      } else if (array.holds_integers()) {
        out.push_back(array.integer(i));
      } else {
        out.push_back(array.number(i));
      }
    }
    return out;
  }
  template <typename T>
  json operator()(const T& value) const {
    return value;
  }
};

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// One line per key; long arrays and texts by their size and beginning.
std::string summary(const GgufValue& value) {
  constexpr uint64_t kShown = 8;
  if (const auto* array = std::get_if<GgufArray>(&value.value)) {
    if (array->count <= 64 && array->type != GgufType::kString) return dump(Visitor{}(*array));
    return fmt::format("array of {} {}", array->count, gguf_type_name(array->type));
  }
  if (const auto* text = std::get_if<std::string>(&value.value)) {
    return fmt::format("'{}'", printable(*text, kShown * 10));
  }
  return dump(std::visit(Visitor{}, value.value));
}

void print_json(const GgufModel& model, bool tensors) {
  json out;
  for (const GgufEntry& entry : model.metadata().entries()) {
    out["metadata"][entry.key] = std::visit(Visitor{}, entry.value.value);
  }
  out["version"] = model.metadata().version();
  out["file_bytes"] = model.file_bytes();
  uint64_t bytes = 0;
  for (const auto& tensor : model.tensors()) {
    bytes += tensor.info->bytes;
    if (!tensors) continue;
    out["tensors"].push_back({{"name", tensor.info->name},
                              {"type", dtype_name(tensor.info->type)},
                              {"ne", tensor.info->ne},
                              {"offset", tensor.info->offset},
                              {"bytes", tensor.info->bytes}});
  }
  out["tensor_count"] = model.tensors().size();
  out["tensor_bytes"] = bytes;
  print_out("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
}

void print_text(const GgufModel& model, bool tensors) {
  for (const GgufEntry& entry : model.metadata().entries()) {
    print_out("{:<46} {}\n", printable(entry.key), summary(entry.value));
  }
  struct Sum {
    int count = 0;
    uint64_t bytes = 0;
  };
  std::map<std::string_view, Sum> types;
  uint64_t bytes = 0;
  uint64_t weights = 0;
  for (const auto& [info, source] : model.tensors()) {
    const DTypeInfo& type = dtype_info(info->type);
    Sum& sum = types[type.name];
    ++sum.count;
    sum.bytes += info->bytes;
    bytes += info->bytes;
    weights += info->bytes / type.block_bytes * type.block_values;
    if (tensors) {
      print_out("{:<46} {:<5} [{}] {} bytes at {}\n", printable(info->name), type.name,
                fmt::join(info->ne, ", "), info->bytes, info->offset);
    }
  }
  for (const auto& [name, sum] : types) {
    print_out("{:<46} {} tensors, {}\n", name, sum.count, format_bytes(sum.bytes));
  }
  print_out("{:<46} {} tensors, {} weights, {} ({:.2f} bits per weight)\n", "total",
            model.tensors().size(), weights, format_bytes(bytes),
            weights > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(weights) : 0.0);
}

}  // namespace

int execute(const InspectArgs& args) {
  if (args.system) return inspect_system(args);
  if (args.plan) return inspect_plan(args);
  const GgufModel model(args.model);
  args.json ? print_json(model, args.tensors) : print_text(model, args.tensors);
  return kExitOk;
}

}  // namespace st
