// Ctrl-C: the first one asks the work to stop, the second ends the process at once.
#pragma once

namespace st {

void install_interrupt_handler();
bool interrupted();
// Throws Error(kCancelled) if interrupted; for progress callbacks of long work.
void throw_if_interrupted();

}  // namespace st
