#include "chat/journal.h"

#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"

namespace st {
namespace {

// What a modest disk reads, in bytes per second, and how many times faster than evaluating tokens
// reading their keys and values must be.
constexpr double kReadRate = 5e8;
constexpr double kPays = 5;

template <typename T>
int64_t common(const std::vector<T>& a, const std::vector<T>& b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

bool exists(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0;
}

std::string both(const std::string& kernels, const std::string& more) {
  return kernels.find(more) == std::string::npos ? kernels + "+" + more : kernels;
}

// Errors of a file carry its path.
template <typename Body>
auto of_file(const std::string& path, Body&& body) {
  return with_context(printable_path(path), std::forward<Body>(body));
}

}  // namespace

Journal::Journal(Engine& engine, std::string path, std::string_view template_source,
                 JournalOptions options)
    : engine_(engine),
      options_(options),
      file_(of_file(path, [&] { return JournalFile(path, JournalFile::Access::kCreate); })),
      header_(header_of(engine, template_source)),
      contents_(header_) {
  if (file_.size() > 0) of_file(file_.path(), [&] { take(read_journal(file_)); });
}

void Journal::notice(const std::string& text) {
  notices_.push_back(fmt::format("{}: {}", printable_path(file_.path()), text));
}

void Journal::take(ReadJournal read) {
  const JournalHeader& old = read.header;
  contents_ = std::move(read.contents);
  header_bytes_ = read.begin;
  end_ = read.end;
  chain_ = read.chain;
  hot_set_ = std::move(read.hot);
  stale_ = old != header_;
  if (read.whole < file_.size()) {
    notice(fmt::format("the last {} bytes are no whole turn and are left out",
                       file_.size() - read.whole));
  }
  if (!contents_.has_tiles()) return;
  if (const std::string differs = difference(old, header_); !differs.empty()) {
    notice(fmt::format("keys and values are {}: they are evaluated anew", differs));
    return contents_.forget_tokens();
  }
  if (old.kernels != header_.kernels) {
    if (options_.exact) {
      fail(ErrorCode::kUnsupported, "keys and values are of {} kernels, not {}: not exact",
           printable(old.kernels), header_.kernels);
    }
    notice(
        fmt::format("keys and values are of {} kernels, not {}: bits may differ from a fresh run",
                    printable(old.kernels), header_.kernels));
    header_.kernels = both(old.kernels, header_.kernels);
  }
  if (old.chat_template != header_.chat_template) {
    notice("another template wrote its prompts: what is the same is used, the rest evaluated anew");
  }
}

bool Journal::restore(SequenceId id) {
  if (!contents_.has_tiles()) return false;
  const int64_t positions = std::ssize(contents_.chat().tokens);
  if (positions > engine_.context()) {
    notice(
        fmt::format("keys and values of {} tokens do not fit the context of {}: they are "
                    "evaluated anew",
                    positions, engine_.context()));
    return false;
  }
  try {
    engine_.restore(id, positions, contents_.first(),
                    [&](size_t group, int64_t tile, std::span<std::byte> out) {
                      read_tile(file_, group, tile, *contents_.find_tile(group, tile), out);
                    });
    return true;
  } catch (const Error& e) {
    notice(fmt::format("{}: keys and values are evaluated anew", e.what()));
    stale_ = true;
    return false;
  }
}

void Journal::warm() {
  if (hot_set_.empty()) return;
  try {
    engine_.begin_with(hot_set_);
  } catch (const Error& e) {
    notice(fmt::format("{}: no expert is read ahead", e.what()));
  }
}

// ---- Saving ----

// Whether keys and values are worth their place.
bool Journal::keeps(SequenceId id) {
  const KvPool& cache = engine_.cache();
  const int64_t tokens = cache.length(id);
  uint64_t bytes = 0;
  for (size_t g = 0; g < header_.groups.size(); ++g) {
    const int64_t tiles = tile_count(tokens) - cache.first_tile(id, g);
    bytes += static_cast<uint64_t>(tiles) * header_.groups[g].bytes;
  }
  if (options_.keep == KeepKv::kNever) return false;
  if (bytes > options_.limit) {
    if (contents_.has_tiles()) {
      notice(
          fmt::format("keys and values of {} tokens take {} bytes, the limit is {}: from now on "
                      "the text alone is kept",
                      tokens, bytes, options_.limit));
    }
    return false;
  }
  if (options_.keep == KeepKv::kAlways || prompt_rate_ == 0) return true;
  const double saved = static_cast<double>(tokens) / prompt_rate_;  // seconds
  return saved > kPays * static_cast<double>(bytes) / kReadRate;
}

void Journal::save(const ChatState& chat, SequenceId id, const AnswerTimings& timings) {
  if (timings.prompt_seconds > 0) prompt_rate_ = std::max(prompt_rate_, timings.prompt_rate());
  of_file(file_.path(), [&] {
    if (!stale_ && chat == contents_.chat()) return;
    const bool keep = keeps(id);
    if (!file_.in_place()) {
      if (exists(file_.path())) fail(ErrorCode::kIo, "another file has this name now");
      stale_ = true;  // somebody has removed it
    }
    if (stale_) {
      rewrite(chat, id, keep);
    } else {
      append(chat, id, keep);
      if (file_.size() > 2 * (header_bytes_ + contents_.live_bytes())) {
        try {
          rewrite(chat, id, keep);
        } catch (const Error&) {  // the turn is saved; the next one tries again
        }
      }
    }
    save_hot_set();
  });
}

// Each turn overwrites it, so it costs a write without a sync, and never makes the file grow.
void Journal::save_hot_set() {
  if (std::string now = engine_.hot_set(); !now.empty()) hot_set_ = std::move(now);
  try {
    JournalWriter(file_, contents_, chain_).hot(hot_set_);
    file_.flush();
  } catch (const Error&) {  // it only makes the next start faster
    try {
      file_.truncate(end_);
    } catch (const Error&) {  // it is no whole record either
    }
  }
}

// What is new since `at`, which the writer changes.
void Journal::write(JournalWriter& writer, const JournalContents& at, const ChatState& chat,
                    SequenceId id, bool keep) const {
  const ChatState& saved = at.chat();
  const int64_t messages = common(saved.messages, chat.messages);
  const int64_t tokens = common(saved.tokens, chat.tokens);
  if (messages < std::ssize(saved.messages) || tokens < std::ssize(saved.tokens)) {
    writer.rewind(messages, tokens);
  }
  for (const Message& message : std::span(chat.messages).subspan(static_cast<size_t>(messages))) {
    writer.message(message);
  }
  if (tokens < std::ssize(chat.tokens)) {
    writer.tokens(tokens, std::span(chat.tokens).subspan(static_cast<size_t>(tokens)));
  }
  const bool drew = chat.seed && (chat.seed != saved.seed || chat.used != saved.used);
  if (drew && chat.used <= JournalContents::kMostUsed) writer.sampler(*chat.seed, chat.used);
  if (chat.settings != saved.settings) writer.settings(chat.settings);

  std::vector<int64_t> first;
  std::vector<std::byte> bytes;
  for (size_t g = 0; keep && g < header_.groups.size(); ++g) {
    const KvPool& cache = engine_.cache();
    first.push_back(cache.first_tile(id, g));
    bytes.resize(header_.groups[g].bytes);
    for (int64_t i = first.back(); i < tile_count(cache.length(id)); ++i) {
      const int64_t end = std::min((i + 1) * kTileKeys, cache.length(id));
      const SavedTile* tile = at.find_tile(g, i);
      if (tile != nullptr && tile->end >= end) continue;
      cache.copy_tile(id, g, i, bytes);
      writer.tile(g, i, end, bytes);
    }
  }
  writer.commit(first);
}

void Journal::append(const ChatState& chat, SequenceId id, bool keep) {
  JournalContents next = contents_;
  JournalWriter writer(file_, next, chain_);
  try {
    if (file_.size() > end_) file_.truncate(end_);  // what was no whole turn
    write(writer, next, chat, id, keep);
  } catch (...) {
    try {
      file_.truncate(end_);
    } catch (const Error&) {  // it is no whole turn either
    }
    throw;
  }
  contents_ = std::move(next);
  chain_ = writer.chain();
  end_ = file_.size();
}

void Journal::rewrite(const ChatState& chat, SequenceId id, bool keep) {
  JournalContents next(header_);
  uint64_t chain = 0, header_bytes = 0;
  file_.replace([&](JournalFile& file) {
    JournalWriter writer(file, next, 0);
    writer.header(header_);
    header_bytes = file.size();
    write(writer, next, chat, id, keep);
    chain = writer.chain();
  });
  contents_ = std::move(next);
  chain_ = chain;
  header_bytes_ = header_bytes;
  end_ = file_.size();
  stale_ = false;
}

}  // namespace st
