// The temporary files that this process writes to and has not renamed yet (see AtomicFile), and
// what becomes of them however it ends.
//
// Each lies beside the file NAME it will become, as NAME.XXXXXXXX.tmp with 8 hexadecimal digits,
// and is locked as long as its writer lives. What a process leaves that is killed is not locked any
// more, and is removed by the next one that writes NAME.
#pragma once

#include <string>

namespace st {

// An open temporary file for `path`, its name in `temporary`, which must not change or move until
// the file is renamed or removed. -1 with errno set if there can be none.
int create_temporary(const std::string& path, std::string& temporary);
// False with errno set on failure: then the file is still there.
bool rename_temporary(const std::string& temporary, const std::string& path);
void remove_temporary(const std::string& temporary);

// Removes them all, for who is about to end the process without another word; a signal handler may
// call it. From then on threads that create, rename or remove one wait for the end.
void remove_temporaries() noexcept;

}  // namespace st
