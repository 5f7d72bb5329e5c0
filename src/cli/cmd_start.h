// The models that are here, for who has named none.
#pragma once

#include <string>

namespace st {

// Which they are and what can be done with them, in lines that can be pasted.
std::string describe_models();

}  // namespace st
