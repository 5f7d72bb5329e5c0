// Rows of a matrix that stays in the file, by number: those of the embedding, within a budget.
//
// They come as experts do (async_reader.h): what the device refuses is tried again, a read that
// does not end is given up, and an error says which row it was. Through the page cache, though: a
// row is small, and the usual ones come again and again.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/memory.h"
#include "base/stop.h"
#include "io/async_reader.h"
#include "weights/weight_store.h"

namespace st {

class RowReader {
 public:
  // REQUIRES: the rows are in a file. `reader` outlives this.
  RowReader(MatrixRows rows, AsyncReader& reader);
  ~RowReader();
  RowReader(const RowReader&) = delete;
  RowReader& operator=(const RowReader&) = delete;

  // out: (rows.size(), cols). Throws Error(kIo), and Error(kCancelled) once `stop` is requested.
  void read(std::span<const int32_t> rows, float* out, const Stop& stop);

 private:
  void read_some(std::span<const int32_t> rows, float* out, const Stop& stop);

  const MatrixRows rows_;
  AsyncReader& reader_;
  const FileId file_;
  const uint64_t room_;  // bytes for a row
  MemoryRegion buffer_;  // (kAtOnce, room_)
};

}  // namespace st
