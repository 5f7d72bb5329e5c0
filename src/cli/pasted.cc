#include "cli/pasted.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/error.h"

namespace st {
namespace {

enum class Takes {
  kNothing,
  kValue,
  kSwitch
};  // a switch may have on, off, auto, 0 or 1 behind it
enum class Answer { kSilence, kNote, kRefusal };

// An option of llama.cpp that we do not have.
struct Pasted {
  std::string_view names;  // separated by commas
  Takes takes;
  Answer answer;
  std::string_view same;  // values, separated by commas, that ask for what is done anyway
  std::string_view text;
};

constexpr std::string_view kNoGpu = "no GPU is used, everything runs on the CPU";
constexpr std::string_view kNoChat = "the prompt is continued as it is; 'smallthinker chat' talks";
constexpr std::string_view kNoShift = "the context is not shifted, a text ends when it is full";
constexpr std::string_view kByName = "models are downloaded by name: -m OWNER/REPO[:QUANT]";
constexpr std::string_view kUnknownSampler = "there is no such sampler here";

constexpr Pasted kPasted[] = {
    {"-ngl,--gpu-layers,--n-gpu-layers", Takes::kValue, Answer::kNote, "0", kNoGpu},
    {"-dev,--device", Takes::kValue, Answer::kNote, "none", kNoGpu},
    {"-sm,--split-mode", Takes::kValue, Answer::kNote, "none", kNoGpu},
    {"-ts,--tensor-split", Takes::kValue, Answer::kNote, "", kNoGpu},
    {"-mg,--main-gpu", Takes::kValue, Answer::kNote, "0", kNoGpu},
    {"-ot,--override-tensor", Takes::kValue, Answer::kNote, "", kNoGpu},
    {"-nkvo,--no-kv-offload", Takes::kNothing, Answer::kSilence, "", ""},
    {"-cmoe,--cpu-moe", Takes::kNothing, Answer::kSilence, "", ""},
    {"-ncmoe,--n-cpu-moe", Takes::kValue, Answer::kSilence, "", ""},
    {"--no-op-offload", Takes::kNothing, Answer::kSilence, "", ""},
    {"-fa,--flash-attn", Takes::kSwitch, Answer::kNote, ",on,auto,1",
     "attention never makes a whole matrix of scores"},
    {"--no-mmap", Takes::kNothing, Answer::kSilence, "", ""},
    {"-mmp,--mmap", Takes::kSwitch, Answer::kNote, "off,0", "files are read, not mapped"},
    {"--mlock", Takes::kNothing, Answer::kNote, "",
     "memory is not locked; weights are in the process's own, so only swapping could take them"},
    {"--no-warmup", Takes::kNothing, Answer::kSilence, "", ""},
    {"--warmup", Takes::kNothing, Answer::kNote, "", "nothing runs before the prompt"},
    {"-tb,--threads-batch", Takes::kValue, Answer::kNote, "", "prompts use the threads of -t"},
    {"--keep", Takes::kValue, Answer::kNote, "0", kNoShift},
    {"--context-shift", Takes::kNothing, Answer::kNote, "", kNoShift},
    {"--no-context-shift", Takes::kNothing, Answer::kSilence, "", ""},
    {"--numa", Takes::kValue, Answer::kNote, "", "threads and memory are not bound to nodes"},
    {"-C,--cpu-mask,-Cr,--cpu-range", Takes::kValue, Answer::kNote, "",
     "threads run on the CPUs the system allows; see taskset"},
    {"--cpu-strict", Takes::kSwitch, Answer::kNote, "0", "the system places threads"},
    {"--prio", Takes::kValue, Answer::kNote, "0", "threads have the usual priority"},
    {"--poll", Takes::kValue, Answer::kNote, "", "idle threads spin briefly, then sleep"},
    {"--check-tensors", Takes::kNothing, Answer::kSilence, "", ""},
    {"-np,--parallel", Takes::kValue, Answer::kNote, "1", "there is one text at a time"},
    {"-dt,--defrag-thold", Takes::kValue, Answer::kSilence, "", ""},
    {"-cnv,--conversation,-i,--interactive,-if,--interactive-first,-st,--single-turn,-mli,"
     "--multiline-input,--jinja",
     Takes::kNothing, Answer::kNote, "", kNoChat},
    {"--chat-template,--chat-template-file", Takes::kValue, Answer::kNote, "", kNoChat},
    {"--no-jinja,--simple-io,--perf", Takes::kNothing, Answer::kSilence, "", ""},
    {"-co,--color", Takes::kSwitch, Answer::kNote, "off,auto",
     "the text is printed without colours"},
    {"-sp,--special", Takes::kNothing, Answer::kNote, "", "special tokens are not printed"},
    {"--verbose-prompt", Takes::kNothing, Answer::kNote, "", "see 'smallthinker tokenize'"},
    {"--no-perf", Takes::kNothing, Answer::kNote, "", "timings go to standard error"},
    {"--log-disable", Takes::kNothing, Answer::kNote, "", "messages go to standard error"},
    {"--log-file", Takes::kValue, Answer::kNote, "", "messages go to standard error"},
    {"-lv,--verbosity,--log-verbosity", Takes::kValue, Answer::kNote, "", "-v tells more"},
    {"-hff,--hf-file", Takes::kValue, Answer::kRefusal, "",
     "a file stands behind the name: -m OWNER/REPO:FILE"},
    {"-hft,--hf-token", Takes::kValue, Answer::kRefusal, "",
     "others could see it in the list of processes: set HF_TOKEN"},
    {"-mu,--model-url,-dr,--docker-repo", Takes::kValue, Answer::kRefusal, "", kByName},
    {"-sys,--system-prompt,-sysf,--system-prompt-file,-r,--reverse-prompt", Takes::kValue,
     Answer::kRefusal, "", "'smallthinker chat' has that"},
    {"--mirostat", Takes::kValue, Answer::kRefusal, "0", kUnknownSampler},
    {"--xtc-probability", Takes::kValue, Answer::kRefusal, "0,0.0", kUnknownSampler},
    {"--dry-multiplier", Takes::kValue, Answer::kRefusal, "0,0.0", kUnknownSampler},
    {"--dynatemp-range", Takes::kValue, Answer::kRefusal, "0,0.0", kUnknownSampler},
    {"--grammar,--grammar-file,-j,--json-schema", Takes::kValue, Answer::kRefusal, "",
     "there are no grammars here"},
    {"--lora,--lora-scaled", Takes::kValue, Answer::kRefusal, "", "there are no adapters here"},
};

// llama.cpp has long options with one dash, which no option parser understands.
constexpr std::pair<std::string_view, std::string_view> kSpellings[] = {
    {"-no-cnv", "--no-cnv"},    {"-ub", "--ubatch-size"},   {"-pg", "--pg"},
    {"-ctk", "--cache-type-k"}, {"-ctv", "--cache-type-v"}, {"-hf", "--model"},
    {"-hfr", "--model"},        {"--hf-repo", "--model"},   {"-sys", "--system-prompt"},
    {"-sysf", "--system-file"}, {"-cnv", "--cnv"},
};

// Whether `word` is one of a list separated by commas.
bool in_list(std::string_view list, std::string_view word) {
  while (true) {
    const size_t comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == word) return true;
    if (comma == list.size()) return false;
    list.remove_prefix(comma + 1);
  }
}

const Pasted* find_pasted(std::string_view option) {
  const auto* found = std::ranges::find_if(
      kPasted, [&](const Pasted& pasted) { return in_list(pasted.names, option); });
  return found == std::end(kPasted) ? nullptr : found;
}

bool is_option(std::string_view argument) {
  return argument.size() > 1 && argument[0] == '-' && (argument[1] < '0' || argument[1] > '9');
}

// "--threads", or "-ngx", which would be -n with the value "gx" to a parser that glues; not "-t4".
bool is_long(std::string_view option) {
  const auto letter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  return option.starts_with("--") || (option.size() > 2 && (letter(option[2]) || option[2] == '-'));
}

class Translation {
 public:
  Translation(std::span<const std::string> arguments, const OptionLookup& lookup,
              std::span<const std::string> options, std::vector<std::string>& notes)
      : rest_(arguments), lookup_(lookup), options_(options), notes_(notes) {}

  std::vector<std::string> run() {
    while (!rest_.empty()) {
      if (rest_.front() == "--") {  // options end here
        out_.insert(out_.end(), rest_.begin(), rest_.end());
        break;
      }
      is_option(rest_.front()) ? option() : keep(1);
    }
    return std::move(out_);
  }

 private:
  void keep(size_t count) {
    count = std::min(count, rest_.size());
    out_.insert(out_.end(), rest_.begin(), rest_.begin() + static_cast<ptrdiff_t>(count));
    rest_ = rest_.subspan(count);
  }

  void option() {
    const std::string typed = rest_.front();
    const size_t equals = typed.starts_with("--") ? typed.find('=') : std::string::npos;
    std::string name = typed.substr(0, equals);
    for (const auto& [from, to] : kSpellings) {
      if (name == from && lookup_(std::string(to)) >= 0) name = to;
    }
    if (const int values = lookup_(name); values >= 0) {
      const bool glued = equals != std::string::npos;
      out_.push_back(glued ? name + typed.substr(equals) : name);
      rest_ = rest_.subspan(1);
      if (!glued) keep(static_cast<size_t>(values));
    } else if (const Pasted* pasted = runs_model_ ? find_pasted(name) : nullptr) {
      rest_ = rest_.subspan(1);
      std::optional<std::string> value;
      if (equals != std::string::npos) value = typed.substr(equals + 1);
      answer(*pasted, name, std::move(value));
    } else if (!is_long(typed) && lookup_(typed.substr(0, 2)) >= 0) {
      keep(1);  // -t4
    } else {
      const std::string meant = nearest(name, options_);
      fail(ErrorCode::kInvalidUsage, "no option '{}'{}", printable(name),
           meant.empty() ? "" : ", did you mean " + meant + "?");
    }
  }

  void answer(const Pasted& pasted, const std::string& name, std::optional<std::string> value) {
    if (!value && takes_next(pasted, name)) {
      value = rest_.front();
      rest_ = rest_.subspan(1);
    }
    const bool silent = pasted.answer == Answer::kSilence ||
                        (pasted.takes != Takes::kNothing && !pasted.same.empty() &&
                         in_list(pasted.same, value.value_or("")));
    if (silent) return;
    const std::string shown = value ? name + " " + printable(*value) : name;
    if (pasted.answer == Answer::kRefusal) {
      fail(ErrorCode::kInvalidUsage, "{}: {}", shown, pasted.text);
    }
    notes_.push_back(fmt::format("{}: {}", shown, pasted.text));
  }

  bool takes_next(const Pasted& pasted, const std::string& name) const {
    if (pasted.takes == Takes::kNothing) return false;
    if (pasted.takes == Takes::kSwitch) {
      return !rest_.empty() && in_list("on,off,auto,0,1", rest_.front());
    }
    if (rest_.empty()) fail(ErrorCode::kInvalidUsage, "{}: the value is missing", name);
    return true;
  }

  std::span<const std::string> rest_;
  const OptionLookup& lookup_;
  std::span<const std::string> options_;
  std::vector<std::string>& notes_;
  const bool runs_model_ = lookup_("--model") >= 0;  // so do all of llama.cpp's options
  std::vector<std::string> out_;
};

// How many letters must be put in, taken out or changed.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t before = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = before + (a[i] == b[j] ? 0 : 1);
      before = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, changed});
    }
  }
  return row.back();
}

}  // namespace

std::vector<std::string> translate(std::span<const std::string> arguments,
                                   const OptionLookup& lookup, std::span<const std::string> options,
                                   std::vector<std::string>& notes) {
  return Translation(arguments, lookup, options, notes).run();
}

bool is_pasted_option(const std::string& option) {
  const bool spelt = std::ranges::any_of(
      kSpellings, [&](const auto& spelling) { return spelling.first == option; });
  return spelt || find_pasted(option) != nullptr;
}

std::string nearest(std::string_view word, std::span<const std::string> among) {
  constexpr size_t kLongest = 64;  // what nobody typed is not compared
  if (word.size() > kLongest) return {};
  std::string best;
  size_t least = (word.size() + 2) / 3 + 1;
  for (const std::string& candidate : among) {
    const bool begun = word.size() >= 3 && candidate.starts_with(word);
    if (const size_t letters = begun ? 1 : distance(word, candidate); letters < least) {
      least = letters;
      best = candidate;
    }
  }
  return best;
}

}  // namespace st
