#include "weights/row_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "tensor/quantize.h"

namespace st {

RowReader::RowReader(MatrixRows rows, AsyncReader& reader, size_t kept)
    : rows_(std::move(rows)),
      reader_(reader),
      file_(reader.open_again(rows_.source, PageCache::kUse)),
      room_(reader.room(file_, rows_.matrix.stride())),
      slots_(kept),
      buffer_(kept * room_),
      values_(static_cast<size_t>(rows_.matrix.cols)) {}

RowReader::~RowReader() {
  reader_.keep(std::move(buffer_));  // the device may still be writing
}

void RowReader::ask(std::span<const int32_t> rows) {
  const bool unfinished =
      std::ranges::any_of(slots_, [](const Slot& s) { return s.ticket.has_value(); });
  if (unfinished) give_up(Stop::never(), false);  // nobody took what was asked for last
  wanted_.assign(rows.begin(), rows.end());
  end_ = begin_round(0);
}

RowReader::Slot* RowReader::slot_of(int32_t row) {
  const auto slot = std::ranges::find(slots_, row, &Slot::row);
  return slot == slots_.end() ? nullptr : &*slot;
}

// Finds slots for the wanted rows from `first` on, of those used longest ago, and begins to read
// what was in none. Returns the first that finds no slot.
size_t RowReader::begin_round(size_t first) {
  const uint64_t bytes = rows_.matrix.stride();
  ++round_;
  for (size_t i = first; i < wanted_.size(); ++i) {
    if (Slot* known = slot_of(wanted_[i])) {
      known->used = round_;
      continue;
    }
    Slot& slot = *std::ranges::min_element(slots_, {}, &Slot::used);
    if (slot.used == round_) return i;
    const uint64_t at = rows_.offset + static_cast<uint64_t>(wanted_[i]) * bytes;
    slot = {wanted_[i], round_, reader_.submit({file_, at, bytes, room_of(slot)}), nullptr};
  }
  return wanted_.size();
}

// Its row is there afterwards. Throws what reading throws; then nothing is on its way any more.
void RowReader::await(Slot& slot, const Stop& stop) {
  const ReadResult result = reader_.await(*slot.ticket, stop);
  slot.ticket.reset();
  slot.bytes = result.bytes.data();
  if (result.ok()) return;
  const Error error = result.error->within(fmt::format("{}: row {}", rows_.name, slot.row));
  slot.row = -1;
  give_up(stop, result.buffer_busy);
  stop.check();  // in one way everywhere
  throw Error(error);
}

// Ends what is on its way. `busy`: the device may still write to the buffer, which is left to it.
void RowReader::give_up(const Stop& stop, bool busy) {
  for (Slot& slot : slots_) {
    if (slot.ticket) reader_.cancel(*slot.ticket);
  }
  for (Slot& slot : slots_) {
    if (!slot.ticket) continue;
    const ReadResult result = reader_.await(*std::exchange(slot.ticket, std::nullopt), stop);
    busy |= result.buffer_busy;
    slot.bytes = result.bytes.data();
    if (!result.ok()) slot.row = -1;
  }
  if (!busy) return;
  std::ranges::fill(slots_, Slot{});
  reader_.keep(std::move(buffer_));
  buffer_ = MemoryRegion(slots_.size() * room_);
}

void RowReader::take(const Each& each, const Stop& stop) {
  for (size_t i = 0; i < wanted_.size(); ++i) {
    if (i == end_) end_ = begin_round(i);
    Slot& slot = *slot_of(wanted_[i]);
    if (slot.ticket) await(slot, stop);
    dequantize_row(rows_.matrix.type, slot.bytes, rows_.matrix.cols, values_.data());
    refuse_bad_scales(slot.row);
    each(i, values_);
  }
}

// As WeightStore does for what it has in memory.
void RowReader::refuse_bad_scales(int32_t row) const {
  const DType type = rows_.matrix.type;
  const auto finite = [](float x) { return std::isfinite(x); };
  if (!is_split(type) || std::ranges::all_of(values_, finite)) return;
  fail(ErrorCode::kInvalidData, "{}: row {}: a scale of its {} blocks is not a finite number",
       rows_.name, row, dtype_name(type));
}

void RowReader::read(std::span<const int32_t> rows, float* out, const Stop& stop) {
  ask(rows);
  const int64_t cols = rows_.matrix.cols;
  take(
      [&](size_t i, std::span<const float> values) {
        std::ranges::copy(values, out + static_cast<int64_t>(i) * cols);
      },
      stop);
}

}  // namespace st
