#include "store/async_reader.h"

#include <gtest/gtest.h>
