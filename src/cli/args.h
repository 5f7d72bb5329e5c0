// What the command line said, as plain structs: one per command. options.cc fills them, cmd_*.cc
// act.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "chat/journal.h"
#include "cli/bench_table.h"
#include "cli/chat/chat_settings.h"
#include "cli/terminal/terminal.h"
#include "convert/bundle_file.h"
#include "convert/convert.h"
#include "convert/quantize_file.h"
#include "engine/engine.h"
#include "engine/generate.h"
#include "study/bench.h"
#include "study/cache_sim.h"
#include "study/routing_trace.h"
#include "study/synth.h"

namespace st {

// Options every command that runs a model has.
struct ModelArgs {
  std::string model;     // path, or a name until with_model_paths() has found the model
  bool offline = false;  // a name never makes us download
  int threads = 0;
  int64_t context = 0;
  int64_t batch = 2048;
  int64_t micro_batch = 512;
  std::optional<KvType> cache_type;
  std::optional<Gating> gating;
  std::optional<LmHead> lm_head = LmHead::kDense;  // empty: sparse if the model can
  float lm_head_threshold = 0;
  int64_t lm_head_floor = 256;
  std::string kernels;
  uint64_t memory = 0;         // budget in bytes; 0: none
  std::string expert_bundle;   // headerless file with the experts; empty: none
  std::string hot_set;         // file; empty: none
  std::string record_routing;  // file for a routing trace; empty: none
  bool reference_env = false;  // whether the reference engine's environment variables count
  std::optional<int64_t> cached_matrices;  // its MAX_N_CACHED, instead of a budget
  bool verbose = false;
  bool progress = true;
};

// Where text comes from: -p, -f, or else standard input.
struct TextArgs {
  std::optional<std::string> prompt;
  std::string file;
  bool escape = true;  // \n and the like in -p
  bool whole = false;  // with the line feed that a file may end with
};

// After so many tokens the budget becomes another.
struct MemoryChange {
  int64_t tokens = 0;
  uint64_t bytes = 0;
};

struct RunArgs {
  ModelArgs model;
  std::vector<MemoryChange> memory_changes;  // ascending
  TextArgs text;
  GenerateOptions generate;
  bool display_prompt = true;
  bool raw = false;  // control bytes also to a terminal
  bool chat = true;  // at a terminal, without a prompt
};

struct ChatArgs {
  ModelArgs model;
  ChatSettings settings;
  std::string system, system_file;     // message, or where it is; empty: none
  std::vector<std::string> files;      // that go with the first message
  std::optional<std::string> prompt;   // the one message
  std::string chat_template;           // name or file; empty: the model's
  std::optional<std::string> session;  // name or file; none: the chat is not kept
  JournalOptions kept;
  bool turns = false;       // of standard input each line is a message,
  bool null_turns = false;  // or what ends with NUL
  ColorChoice color = ColorChoice::kAuto;
};

// Of a command that writes a model: what the library wants, and whether progress is shown.
template <typename Options>
struct FileArgs {
  Options options;
  bool progress = true;
};
using ConvertArgs = FileArgs<ConvertOptions>;
using QuantizeArgs = FileArgs<QuantizeOptions>;
using BundleArgs = FileArgs<BundleOptions>;
using SynthArgs = FileArgs<SynthOptions>;

struct StripArgs {
  std::string input, output;
  bool progress = true;
};

struct TokenizeArgs {
  std::string model;  // GGUF file or Hugging Face folder
  bool offline = false;
  TextArgs text;
  bool ids = false;
  bool parse_special = true;
};

struct DetokenizeArgs {
  std::string model;
  bool offline = false;
  std::vector<std::string> ids;  // empty: from standard input
  bool raw = false;              // control bytes also to a terminal
};

// What a template makes of a context or a chat; or what there is in a model's output.
struct TemplateArgs {
  std::string template_file, context;  // a template by itself, and a JSON object for it
  std::optional<std::tm> now;          // what templates take for the time; empty: the clock's

  std::string model;  // GGUF file or Hugging Face folder
  bool offline = false;
  std::string chat_template;  // name or file; empty: the model's
  std::string tools;          // "generic"; of an output: names, with commas between
  std::string chat;           // file with a request
  bool tokens = false;        // as ids

  std::string output;  // file that a model has written, to be taken apart,
  std::string format = "hermes";
  bool in_reasoning = false;  // from inside reasoning on,
  int64_t pieces = 0;         // in pieces of so many bytes; 0: one
  bool cut = false;           // by a limit
};

struct PerplexityArgs {
  ModelArgs model;
  std::string file;
  int64_t windows = 0;         // 0: all
  std::string saved_logits;    // to be written, or
  bool kl_divergence = false;  // to be compared with, which has the text, too
};

struct ImatrixArgs {
  ModelArgs model;
  std::string file;
  int64_t windows = 0;  // 0: all
  bool output = false;  // of the head's matrix, too
  std::string outfile;
};

struct InspectArgs {
  ModelArgs settings;  // for the plan
  std::string model;   // empty: the system
  bool offline = false;
  bool plan = false;
  bool system = false;
  bool tensors = false;
  bool json = false;
};

struct LogitsArgs {
  ModelArgs model;
  TextArgs text;
  std::optional<std::string> tokens;  // "1,2,3"
  bool all = false;
  std::string outfile;
};

struct BenchArgs {
  ModelArgs model;  // threads, context and micro_batch are set for each run
  std::vector<int64_t> prompt{512};
  std::vector<int64_t> generate{128};
  std::vector<std::pair<int64_t, int64_t>> prompt_generate;
  std::vector<int64_t> depth{0};
  std::vector<int64_t> threads{0};  // 0: as choose_threads() says
  std::vector<int64_t> micro_batch{512};
  BenchOptions options;
  BenchFormat format = BenchFormat::kMarkdown;
  bool probe = true;
  bool probe_only = false;
};

struct VerifyArgs {
  ModelArgs model;  // threads, context, micro_batch and memory are set for each run
  std::string file;
  int64_t tokens = 96;
  std::vector<int64_t> threads{1, 2, 3, 8};
  std::vector<int64_t> micro_batch{1, 7, 64, 512};
  std::vector<uint64_t> memory;  // budgets, each beside no budget
};

// Memory for experts: so many bytes, or a share of all of them.
struct CacheBudget {
  uint64_t bytes = 0;
  double share = 0;  // of all experts; 0: bytes holds
};

struct CacheSimArgs {
  std::string trace;  // or made up:
  std::optional<MadeUpKind> made_up;
  RoutingShape shape;     // of what is made up
  int64_t tokens = 2000;  // made up
  uint64_t seed = 1;
  std::vector<CacheBudget> memory;
  std::vector<SimPolicy> policies;  // empty: all
  bool by_token = false;
  int64_t from = 0;  // passes left out at the beginning
  int64_t skip = 0;  // tokens that do not count
  std::string hot_set, save_hot_set;
};

// What messages name where they show how to get a model.
inline constexpr std::string_view kExampleModel = "ggml-org/Qwen3-0.6B-GGUF:Q4_0";

struct PullArgs {
  std::string name;  // OWNER/REPO[:QUANT]
  int tries = 5;
  bool progress = true;
};

struct ListArgs {  // the models that are here
  bool json = false;
};

struct RemoveArgs {
  std::vector<std::string> names;
};

// What is kept of conversations.
struct SessionArgs {
  enum class Action { kList, kShow, kRemove, kExport, kImport };
  Action action = Action::kList;
  std::vector<std::string> names;  // or paths; of kExport and kImport a file may follow
};

struct StartArgs {};  // `smallthinker` alone

struct PrintArgs {  // version, help, completion, man
  std::string text;
};

using Command =
    std::variant<RunArgs, ChatArgs, ConvertArgs, QuantizeArgs, BundleArgs, StripArgs, SynthArgs,
                 TokenizeArgs, DetokenizeArgs, TemplateArgs, PerplexityArgs, ImatrixArgs,
                 InspectArgs, LogitsArgs, BenchArgs, VerifyArgs, CacheSimArgs, PullArgs, ListArgs,
                 RemoveArgs, SessionArgs, StartArgs, PrintArgs>;

// Each acts and returns the exit code. They throw Error.
int execute(const RunArgs& args);
int execute(const ChatArgs& args);
int execute(const ConvertArgs& args);
int execute(const QuantizeArgs& args);
int execute(const BundleArgs& args);
int execute(const StripArgs& args);
int execute(const SynthArgs& args);
int execute(const TokenizeArgs& args);
int execute(const DetokenizeArgs& args);
int execute(const TemplateArgs& args);
int execute(const PerplexityArgs& args);
int execute(const ImatrixArgs& args);
int execute(const InspectArgs& args);
int execute(const LogitsArgs& args);
int execute(const BenchArgs& args);
int execute(const VerifyArgs& args);
int execute(const CacheSimArgs& args);
int execute(const PullArgs& args);
int execute(const ListArgs& args);
int execute(const RemoveArgs& args);
int execute(const SessionArgs& args);
int execute(const StartArgs& args);
int execute(const PrintArgs& args);

// Of InspectArgs, where --system or --plan is given.
int inspect_system(const InspectArgs& args);
int inspect_plan(const InspectArgs& args);

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 130;

}  // namespace st
