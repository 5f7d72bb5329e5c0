#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <type_traits>

#include "base/error.h"
#include "base/json.h"

namespace st {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 64;
constexpr uint64_t kMaxValues = uint64_t{1} << 17;
constexpr size_t kMaxToken = size_t{1} << 24;

// "byte 7 (line 1, column 7)", of the last byte that was read.
std::string place_of(std::string_view text, size_t position) {
  const std::string_view before = text.substr(0, position == 0 ? 0 : position - 1);
  const auto line = std::ranges::count(before, '\n') + 1;
  const size_t newline = before.rfind('\n');
  const size_t begin = newline == before.npos ? 0 : newline + 1;
  return fmt::format("byte {} (line {}, column {})", position, line, position - begin);
}

// A string, number or run of blanks, which the parser below keeps several times while it reads it.
void check_tokens(std::string_view text) {
  bool in_string = false;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i - begin > kMaxToken) {
      fail(ErrorCode::kInvalidData, "JSON with a token of more than {} bytes at {}", kMaxToken,
           place_of(text, begin + 1));
    }
    if (text[i] == '"') {
      in_string = !in_string;
      begin = i;
    } else if (in_string) {
      if (text[i] == '\\') ++i;
    } else if (std::string_view(",:[]{}").find(text[i]) != std::string_view::npos) {
      begin = i;
    }
  }
}

// A text with quotes around NaN and infinities, which Python writes and JSON has not.
class Quoted {
 public:
  explicit Quoted(std::string_view text) : original_(text) {
    if (text.find("NaN") == text.npos && text.find("Infinity") == text.npos) return;
    bool in_string = false;
    size_t copied = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '"') in_string = !in_string;
      if (in_string && text[i] == '\\') ++i;
      const size_t word = in_string ? 0 : word_at(text.substr(i));
      if (word == 0) continue;
      changed_ += text.substr(copied, i - copied);
      quotes_.push_back(changed_.size());
      changed_ += fmt::format("\"{}\"", text.substr(i, word));
      quotes_.push_back(changed_.size() - 1);
      copied = i + word;
      i = copied - 1;
    }
    if (!quotes_.empty()) changed_ += text.substr(copied);
  }

  std::string_view text() const { return quotes_.empty() ? original_ : changed_; }
  std::string place(size_t position) const {
    const auto quotes = std::ranges::lower_bound(quotes_, position) - quotes_.begin();
    return place_of(original_, position - static_cast<size_t>(quotes));
  }

 private:
  static size_t word_at(std::string_view rest) {
    for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
      if (rest.starts_with(word)) return word.size();
    }
    return 0;
  }

  std::string_view original_;
  std::string changed_;
  std::vector<size_t> quotes_;  // in changed_, ascending
};

// Builds the document from the parser's events, and counts what it costs.
template <typename Json>
class Builder final : public Json::json_sax_t {
  using Sax = typename Json::json_sax_t;
  using Text = typename Sax::string_t;

 public:
  Builder(const Quoted& text, std::span<const JsonStream> streams)
      : text_(text), streams_(streams) {
    open_.reserve(kMaxDepth + 1);  // pointers into it stay valid
  }

  Json take_document() { return std::move(document_); }

  bool null() override { return scalar(nullptr); }
  bool boolean(bool value) override { return scalar(value); }
  bool number_integer(typename Sax::number_integer_t value) override { return scalar(value); }
  bool number_unsigned(typename Sax::number_unsigned_t value) override { return scalar(value); }
  bool number_float(typename Sax::number_float_t value, const Text&) override {
    return scalar(value);
  }
  bool string(Text& value) override { return scalar(std::move(value)); }
  bool binary(typename Sax::binary_t&) override { return scalar(nullptr); }  // not in JSON text
  bool start_object(size_t) override { return begin(Json::object()); }
  bool start_array(size_t) override { return begin(Json::array()); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }

  bool key(Text& name) override {
    Open& parent = open_.back();
    if (parent.stream == nullptr && !is_new(parent, name)) {
      fail(ErrorCode::kInvalidData, "duplicate key '{}'", printable(name));
    }
    parent.key = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string& token, const json::exception& e) override {
    const std::string place = text_.place(position);
    if (dynamic_cast<const json::out_of_range*>(&e) != nullptr) {
      fail(ErrorCode::kInvalidData, "number {} at {} is out of range", printable(token, 40), place);
    }
    fail(ErrorCode::kInvalidData, "invalid JSON at {}", place);
  }

 private:
  // Objects that keep the order of their keys are lists: their own search takes time in proportion.
  static constexpr bool kOrdered = std::is_same_v<Json, nlohmann::ordered_json>;

  struct Open {
    Json* value;
    const JsonStream* stream = nullptr;
    std::string key = {};             // of the member to come, if an object
    std::set<std::string> keys = {};  // if kOrdered
    Json element = nullptr;           // of the stream, while it is read
    uint64_t values = 0;              // that were kept before it
  };

  static bool is_new(Open& parent, const std::string& name) {
    if constexpr (kOrdered) return parent.keys.insert(name).second;
    return !parent.value->contains(name);
  }

  bool scalar(Json value) {
    Json* place = add(std::move(value));
    if (!open_.empty() && open_.back().stream != nullptr) give(*place);
    return true;
  }

  bool begin(Json value) {
    if (open_.size() == kMaxDepth) {
      fail(ErrorCode::kInvalidData, "JSON nested deeper than {}", kMaxDepth);
    }
    const JsonStream* stream = open_.size() == 2 ? stream_here() : nullptr;
    Json* place = add(std::move(value));
    open_.push_back({.value = place, .stream = stream, .values = values_});
    return true;
  }

  bool end() {
    open_.pop_back();
    if (!open_.empty() && open_.back().stream != nullptr) give(open_.back().element);
    return true;
  }

  // Where `value` is kept from now on.
  Json* add(Json value) {
    if (++values_ > kMaxValues) {
      fail(ErrorCode::kInvalidData, "JSON of more than {} values", kMaxValues);
    }
    Json* place = &document_;
    if (!open_.empty()) {
      Open& parent = open_.back();
      if (parent.stream != nullptr) {
        place = &parent.element;
      } else if (parent.value->is_array()) {
        return &parent.value->emplace_back(std::move(value));
      } else if constexpr (kOrdered) {
        auto& members = parent.value->template get_ref<typename Json::object_t&>();
        return &members.Container::emplace_back(parent.key, std::move(value)).second;
      } else {
        place = &(*parent.value)[parent.key];
      }
    }
    *place = std::move(value);
    return place;
  }

  void give(Json& element) {
    Open& stream = open_.back();
    if constexpr (!kOrdered) stream.stream->take(stream.key, std::move(element));
    values_ = stream.values;
  }

  const JsonStream* stream_here() const {
    for (const JsonStream& stream : streams_) {
      const bool named = open_[0].key == stream.object && open_[1].key == stream.list;
      if (named && open_[0].value->is_object() && open_[1].value->is_object()) return &stream;
    }
    return nullptr;
  }

  const Quoted& text_;
  std::span<const JsonStream> streams_;
  Json document_;
  std::vector<Open> open_;
  uint64_t values_ = 0;
};

template <typename Json>
Json parse(std::string_view text, std::span<const JsonStream> streams) {
  // The parser below would take a NUL for the end of the text.
  if (const size_t nul = text.find('\0'); nul != text.npos) {
    fail(ErrorCode::kInvalidData, "invalid JSON at {}", place_of(text, nul + 1));
  }
  check_tokens(text);
  const Quoted quoted(text);
  Builder<Json> builder(quoted, streams);
  Json::sax_parse(quoted.text(), &builder);
  return builder.take_document();
}

}  // namespace

json parse_json(std::string_view text, std::span<const JsonStream> streams) {
  return parse<json>(text, streams);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text) {
  return parse<nlohmann::ordered_json>(text, {});
}

}  // namespace st
