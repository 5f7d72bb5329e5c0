// Progress on standard error: a bar that redraws itself on a terminal, a line per tenth elsewhere.
#pragma once

#include "base/progress.h"

namespace st {

// A Progress that draws (or not, when `show` is false). Work that is over within half a second
// draws nothing.
Progress make_progress_bar(bool show);

}  // namespace st
