#include <new>

#include "base/error.h"
#include "cli/args.h"
#include "cli/interrupt.h"
#include "cli/model_names.h"
#include "cli/options.h"
#include "cli/reference_env.h"
#include "cli/streams.h"

namespace st {
namespace {

int exit_code(const Error& error) {
  if (error.code() == ErrorCode::kCancelled) return kExitInterrupted;
  return error.code() == ErrorCode::kInvalidUsage ? kExitUsage : kExitFailure;
}

int report(const Error& error) {
  end_lines();
  if (error.code() != ErrorCode::kCancelled) print_err("error: {}\n", error.what());
  return exit_code(error);
}

int main_or_throw(int argc, char** argv) {
  install_signal_handlers();
  auto [given, notes] = parse_command_line({argv + 1, argv + argc});
  Command command = with_reference_env(std::move(given), notes);
  for (const std::string& note : notes) print_err("note: {}\n", note);
  command = with_model_paths(std::move(command));
  const int code = std::visit([](const auto& args) { return execute(args); }, command);
  flush_out();
  return code;
}

}  // namespace
}  // namespace st

int main(int argc, char** argv) {
  try {
    st::open_standard_streams();
    return st::main_or_throw(argc, argv);
  } catch (const st::Error& e) {
    return st::report(e);
  } catch (const std::bad_alloc&) {
    return st::report({st::ErrorCode::kOutOfMemory, "out of memory"});
  } catch (const std::exception& e) {
    return st::report({st::ErrorCode::kIo, e.what()});
  }
}
