// Where files of the user's are kept, by the XDG Base Directory Specification.
#pragma once

#include <string>

namespace st {

enum class UserFolder { kData, kState, kCache };

// "/home/ann/.local/state/smallthinker": of our own in the folder that the environment names, or in
// the usual one below $HOME. Empty where there is neither; it need not exist.
std::string user_folder(UserFolder folder);

// The same, made with the folders above it, which only the user may enter. Throws Error(kNotFound)
// where there is none, Error(kIo) where it cannot be made.
std::string make_user_folder(UserFolder folder);

}  // namespace st
