// What the file of a conversation says of the engine whose keys and values it has.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "tensor/kv_tile.h"

namespace st {

struct JournalHeader {
  std::string model;          // its name, for people
  std::string fingerprint;    // of its tensors, see fingerprint()
  std::string vocabulary;     // checksum of it
  std::string chat_template;  // checksum of it
  std::string kernels;        // tables that computed the keys and values: "avx2", "avx2+avx512"
  KvType type = KvType::kF32;
  int64_t kv_heads = 0, head_dim = 0;
  int64_t vocab = 0;  // ids are less
  std::vector<KvPool::TileGroup> groups;

  bool operator==(const JournalHeader&) const = default;
};

// Of an engine whose chats become text by this template.
JournalHeader header_of(Engine& engine, std::string_view template_source);

// JSON. parse_header() throws Error(kInvalidData | kUnsupported) that says what is wrong.
std::string format_header(const JournalHeader& header);
JournalHeader parse_header(std::string_view text);

// Why keys and values of one are none for the other; empty: they are.
std::string difference(const JournalHeader& file, const JournalHeader& engine);

}  // namespace st
