// The text that a model is to continue, and how what it writes is read.
#pragma once

#include "chat/output_parser.h"
#include "text/marked_text.h"

namespace st {

struct ChatPrompt {
  MarkedText text;  // what a template says itself is trusted, what messages say is not
  OutputParserOptions parser;
};

}  // namespace st
