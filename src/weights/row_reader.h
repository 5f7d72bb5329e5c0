// Rows of a matrix that stays in the file, by number: those of the embedding within a budget, those
// of embeddings by layer always.
//
// They come as experts do (async_reader.h): what the device refuses is tried again, a read that
// does not end is given up, and an error says which row it was. Through the page cache, though: a
// row is small, and the usual ones come again and again. The rows used last stay here.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "base/stop.h"
#include "io/async_reader.h"
#include "weights/weight_store.h"

namespace st {

class RowReader {
 public:
  // So many rows are on their way, or stay, at once. REQUIRES: the rows are in a file; `kept` > 0.
  // `reader` outlives this.
  RowReader(MatrixRows rows, AsyncReader& reader, size_t kept = 16);
  ~RowReader();
  RowReader(const RowReader&) = delete;
  RowReader& operator=(const RowReader&) = delete;

  // Rows are on their way from here on, as many as find room; the others when take() gets there.
  void ask(std::span<const int32_t> rows);
  // Calls each(i, values) for all i in order: row i of those asked for last, (cols). Throws
  // Error(kIo), Error(kInvalidData) for a row of blocks with a scale that is not a finite number,
  // and Error(kCancelled) once `stop` is requested.
  using Each = std::function<void(size_t i, std::span<const float> values)>;
  void take(const Each& each, const Stop& stop);

  // Both, out: (rows.size(), cols).
  void read(std::span<const int32_t> rows, float* out, const Stop& stop);

  // What it may take of memory.
  uint64_t bytes() const { return buffer_.size(); }

 private:
  struct Slot {
    int32_t row = -1;
    size_t used = 0;                   // in this round, or the last one that was
    std::optional<Ticket> ticket;      // of a row that may be on its way ...
    const std::byte* bytes = nullptr;  // ... or where it is, in the slot's room
  };

  size_t begin_round(size_t first);
  Slot* slot_of(int32_t row);
  std::byte* room_of(const Slot& slot) {
    return buffer_.data() + static_cast<size_t>(&slot - slots_.data()) * room_;
  }
  void await(Slot& slot, const Stop& stop);
  void give_up(const Stop& stop, bool busy);
  void refuse_bad_scales(int32_t row) const;

  const MatrixRows rows_;
  AsyncReader& reader_;
  const FileId file_;
  const uint64_t room_;  // bytes for a row
  std::vector<Slot> slots_;
  MemoryRegion buffer_;          // (slots, room_)
  std::vector<int32_t> wanted_;  // by ask()
  size_t end_ = 0;               // of those that have been begun with
  size_t round_ = 0;             // of slots in use together
  std::vector<float> values_;    // (cols)
};

}  // namespace st
