// No command writes over what it reads.
#pragma once

#include <string>
#include <vector>

#include "cli/args.h"

namespace st {

// Throws Error(kInvalidUsage) if an output would replace an input: the file itself, another part of
// a split model, any file of a folder. Empty paths mean no file. For the start of a command, before
// anything is read.
void check_outputs(const std::vector<std::string>& outputs, const std::vector<std::string>& inputs);

// The same for a command that runs a model, whose own files are added.
void check_model_outputs(const ModelArgs& args, std::vector<std::string> inputs = {},
                         std::vector<std::string> outputs = {});

// The file that text comes from; empty if it was given itself.
std::string text_file(const TextArgs& args);

}  // namespace st
