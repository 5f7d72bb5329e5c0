// Experts that stay in the file and come to memory when their router asks for them, as many at a
// time as a budget allows. Which of them stay is CachePolicy's business, reading is AsyncReader's;
// this brings the two together.
//
// Memory is cut into slots, one for an expert with its three matrices. prefetch() gives each
// missing expert a slot and submits its reads, gates first; the device reads while attention
// computes. The thread that first awaits a matrix brings it into the layout of the kernels, in
// place. So results have the same bits as with ResidentExperts, whatever the budget.
//
// What the next layer will probably need may be guessed: guess() reads it into slots that are
// pinned until that layer's prefetch() says what it does need, as long as guesses pay
// (foresight.h).
//
// Where every token uses all experts of every layer, as in dense models, nothing is guessed: some
// layers stay for good, the others are read ahead in the order of the layers (layer_order.h), and
// the first ones again for the next pass.
//
// What could not be read is forgotten, and read again when it is next asked for. A slot that the
// device may still write to, because a read was given up, is held back until it cannot: nothing
// ever waits for a device longer than a read may take, or about a second once it was given up.
#pragma once

#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/memory.h"
#include "experts/cache_policy.h"
#include "experts/expert_store.h"
#include "experts/foresight.h"
#include "io/async_reader.h"

namespace st {

struct CachedExpertsStats {
  uint64_t asked = 0;       // experts, each once per layer and pass
  uint64_t found = 0;       // of those, in memory already
  uint64_t foreseen = 0;    // on their way already, or there, because they were read ahead
  uint64_t bytes_read = 0;  // from the file
  double stall_seconds = 0;
};

class CachedExperts final : public ExpertStore {
 public:
  // The stacks of `layers` must be in files (MatrixStack::source), `used` experts are chosen by a
  // token at most, `reader` outlives the store. Begins with no room: see resize(). Throws
  // Error(kUnsupported) for what has no file, Error(kIo) if another file has its name now. `page`:
  // see MemoryRegion.
  CachedExperts(std::vector<ExpertLayer> layers, int64_t used, AsyncReader& reader,
                uint64_t page = page_size());
  ~CachedExperts() override;

  // Bytes of memory an expert takes, and the fewest and most experts worth having room for: those
  // of one token in one layer; all.
  uint64_t slot_bytes() const { return slot_bytes_; }
  int64_t fewest() const { return used_; }
  int64_t most() const { return static_cast<int64_t>(slots_.size()); }

  // Room for so many experts from now on; memory that is no longer needed goes back to the system.
  // Not between prefetch() and release().
  void resize(int64_t experts);
  int64_t room() const { return policy_.slots(); }

  void prefetch(int64_t layer, const ExpertDemand& demand) override;
  bool wants_guess() override { return !in_order_ && foresight_.guesses(); }
  void guess(int64_t layer, std::span<const int32_t> experts) override;
  bool ready(int64_t layer, int32_t expert) override;
  Matrix await(int64_t layer, int32_t expert, ExpertPart part) override;
  void release(int64_t layer) override;
  void warm(std::span<const float> rates) override;
  std::vector<float> rates() const override;

  // Throws Error(kIo) if a file of the experts was written to since its model opened it: then
  // nothing read is sure, and all is forgotten. Not between prefetch() and release().
  void check_files();

  CachedExpertsStats stats() const;

 private:
  enum class PartState : uint8_t { kAbsent, kReading, kHere, kFailed };
  struct Part {
    PartState state = PartState::kAbsent;
    Ticket ticket;
    uint64_t shift = 0;          // where its bytes begin in the part's room
    uint64_t asked_at = 0;       // prefetch() that had it read
    std::optional<Error> error;  // why it failed, for all who ask
  };
  struct Slot {
    std::mutex mutex;
    Part parts[kExpertParts];
  };

  struct Guess {
    int32_t expert;
    bool read;  // into a slot, which is pinned
  };

  std::string name_of(int64_t layer, int64_t expert) const;
  std::byte* room_of(int32_t slot, ExpertPart part) const;
  void read(CacheUnit unit, int32_t slot, ExpertPart part);
  int32_t take_slot(CacheUnit unit);
  int32_t spare_slot(CacheUnit unit);
  std::vector<int32_t> judge_guesses(int64_t layer, std::span<const int32_t> experts);
  void let_go_of_strays();
  bool forget_guesses();
  void note_time();
  void choose_layers(int64_t room);
  bool has_layer(int64_t layer) const;
  void read_ahead(int64_t layer, bool in_use);
  bool make_room(int64_t layer, bool in_use, int64_t ahead);
  bool vacate(int32_t slot);
  void empty(int32_t slot);
  void hold(int32_t slot);
  bool give_back();
  void wait_for_device();

  const int64_t used_;
  AsyncReader& reader_;
  std::vector<const ByteSource*> sources_;  // of the experts, each once
  std::vector<std::vector<FileId>> files_;  // (layers, parts)
  uint64_t part_at_[kExpertParts] = {};     // of a slot
  uint64_t slot_bytes_ = 0;
  std::deque<Slot> slots_;  // (experts of all layers)
  CachePolicy policy_;
  MemoryRegion memory_;           // addresses for all slots; those in use take memory
  std::vector<CacheUnit> asked_;  // of the current layer
  bool in_order_ = false;         // all experts of all layers are used by every token: then
  std::vector<bool> stays_;       // (layers) pinned,
  std::vector<bool> ahead_;       // (layers) read ahead, and not yet used
  Foresight foresight_;
  std::vector<std::vector<Guess>> guesses_;  // of layers to come, experts that were not there
  std::vector<CacheUnit> strays_;            // wrong guesses, pinned until they have been read
  std::chrono::steady_clock::time_point pass_began_{};
  double busy_seconds_ = 0;    // of the device, by then
  std::vector<int32_t> held_;  // slots without a unit that may still be written to
  uint64_t prefetches_ = 0;
  const Stop* stop_ = &Stop::never();  // of the current layer's demand
  CachedExpertsStats stats_;
};

}  // namespace st
