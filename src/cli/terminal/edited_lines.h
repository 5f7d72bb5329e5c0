// The line editor where there is libedit.
#pragma once

#include <memory>

#include "cli/terminal/line_editor.h"

namespace st {

std::unique_ptr<LineEditor> make_edited_lines(LineEditorOptions options,
                                              TakenInterrupts& interrupts);

}  // namespace st
