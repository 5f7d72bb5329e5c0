// The commands and their options as documentation: what completion and the manual page are made of.
#pragma once

#include <string>
#include <vector>

namespace st {

struct OptionDoc {
  std::vector<std::string> names;  // "-t", "--threads"; empty: an argument without a name
  std::string value;               // what stands for its value, such as FILE; empty: takes none
  std::string help;
  std::string fallback;  // what holds without it; empty: nothing, or help tells
  bool required = false;
  bool repeats = false;  // may be given often, or has many values
};

struct CommandDoc {
  std::string name, help;
  std::vector<OptionDoc> options;
};

// Of an option or argument: what its value completes to.
enum class Completes { kNothing, kFiles, kModels, kSessions, kCommands, kChoices };
Completes completes(const OptionDoc& option);
// Of kChoices the words, with blanks between: "on off auto".
std::string choices(const OptionDoc& option);

}  // namespace st
