// Whether it pays to read what a layer will probably need before its router has said so.
//
// A right guess uses time in which the device would have idled; a wrong one takes time from what is
// really needed. So guesses are read as long as a larger share of them comes true than the share of
// time that the device is busy anyway. While that is not so they are only made, in one pass of
// many, to notice when it changes.
//
// Bookkeeping only: no I/O, no clock. Not for concurrent use.
#pragma once

#include <cstdint>

namespace st {

class Foresight {
 public:
  // A pass over the layers begins. busy: share of the time since the last one, 0..1, that the
  // device had something to do.
  void begin_pass(double busy);

  // Of experts that were not in memory when they were guessed: asked for in the end, or not.
  void judge(int64_t right, int64_t wrong);

  bool guesses() const { return reads() || passes_ % kTrial == 0; }  // in this pass
  bool reads() const { return precision_ > busy_; }

  double precision() const { return precision_; }  // share of guesses that came true, of late
  double busy() const { return busy_; }

  static constexpr int64_t kTrial = 16;     // passes
  static constexpr double kGuesses = 64;    // about as many are averaged
  static constexpr double kPasses = 8;      // the same
  static constexpr double kAtFirst = 0.75;  // precision that is assumed

 private:
  double precision_ = kAtFirst;
  double busy_ = 0;
  int64_t passes_ = 0;
};

}  // namespace st
