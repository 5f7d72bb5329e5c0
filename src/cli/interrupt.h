// Ctrl-C: the first one asks the work to stop, the second ends the process at once.
#pragma once

namespace st {

void install_interrupt_handler();
// From now on also the first one ends the process at once; for work that leaves nothing to finish.
void exit_when_interrupted();
bool interrupted();
// Throws Error(kCancelled) if interrupted; for progress callbacks of long work.
void throw_if_interrupted();

}  // namespace st
