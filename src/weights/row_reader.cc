#include "weights/row_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "tensor/quantize.h"

namespace st {
namespace {

constexpr size_t kAtOnce = 16;  // rows

}  // namespace

RowReader::RowReader(MatrixRows rows, AsyncReader& reader)
    : rows_(std::move(rows)),
      reader_(reader),
      file_(reader.open_again(rows_.source, PageCache::kUse)),
      room_(reader.room(file_, rows_.matrix.stride())),
      buffer_(kAtOnce * room_) {}

RowReader::~RowReader() {
  reader_.keep(std::move(buffer_));  // the device may still be writing
}

void RowReader::read(std::span<const int32_t> rows, float* out, const Stop& stop) {
  while (!rows.empty()) {
    const size_t n = std::min(rows.size(), kAtOnce);
    read_some(rows.first(n), out, stop);
    rows = rows.subspan(n);
    out += static_cast<int64_t>(n) * rows_.matrix.cols;
  }
}

void RowReader::read_some(std::span<const int32_t> rows, float* out, const Stop& stop) {
  const uint64_t bytes = rows_.matrix.stride();
  std::vector<Ticket> tickets;
  for (size_t i = 0; i < rows.size(); ++i) {
    const uint64_t at = rows_.offset + static_cast<uint64_t>(rows[i]) * bytes;
    tickets.push_back(reader_.submit({file_, at, bytes, buffer_.data() + i * room_}));
  }
  std::optional<Error> error;  // the first
  bool busy = false;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (error) reader_.cancel(tickets[i]);
    const ReadResult result = reader_.await(tickets[i], stop);
    busy |= result.buffer_busy;
    if (error) continue;
    if (result.ok()) {
      dequantize_row(rows_.matrix.type, result.bytes.data(), rows_.matrix.cols,
                     out + static_cast<int64_t>(i) * rows_.matrix.cols);
    } else {
      error = result.error->within(fmt::format("{}: row {}", rows_.name, rows[i]));
    }
  }
  if (busy) {
    reader_.keep(std::move(buffer_));
    buffer_ = MemoryRegion(kAtOnce * room_);
  }
  if (error) {
    stop.check();  // in one way everywhere
    throw Error(*error);
  }
}

}  // namespace st
