// Scales (and minima) of n values such that their codes lose little: the least of
// sum w (x - value)^2 over some guesses. Of each guess only the codes are kept; what scale fits
// those best follows by least squares.
//
// Codes themselves are chosen later, for the scale as it is stored. All arrays: (n); weights are
// not negative. What cannot be divided by gives 0.
#pragma once

#include <algorithm>
#include <cmath>

#include "tensor/lanes.h"

namespace st {

// 1 / d, or 0 where that is not finite.
inline float inverse(float d) {
  const float inverse = 1.0f / d;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// The first value of the largest magnitude.
template <int n>
float find_peak(const float* x) {
  float peak = 0;
  for (int i = 0; i < n; ++i) {
    if (std::fabs(x[i]) > std::fabs(peak)) peak = x[i];
  }
  return peak;
}

// Codes from `low` to `high`; the peak has the code `peak` or one a little beside it.
struct CodeRange {
  float low, high, peak;
};
constexpr CodeRange signed_codes(float n) { return {-n, n - 1, -n}; }
constexpr CodeRange unsigned_codes(float n) { return {0, n, n}; }

struct Scale {
  float scale = 0;
  float curvature = 0;  // how much more is lost when scale is off by one, squared
};

// Scales are tried by the code of the peak, a value of the largest magnitude: near `code_of_peak`,
// `steps` of them to both sides, and the same of the other sign; then those that the best one's
// codes lead to. round(v) is the value of the code nearest to v.
template <int n, typename Round>
Scale fit_scale_by(const float* x, const float* w, float peak, float code_of_peak, float step,
                   int steps, const Round& round) {
  float best = 0;  // what the fit makes better than zeros
  Scale fit;
  const auto improve = [&](float inverse_scale) {
    Lanes sum_xl = lanes(0), sum_ll = lanes(0);
    for (int i = 0; i < n; i += kLanes) {
      const Lanes v = load_lanes(x + i);
      const Lanes l = round(v * lanes(inverse_scale));
      const Lanes wl = load_lanes(w + i) * l;
      sum_xl += wl * v;
      sum_ll += wl * l;
    }
    const float xl = sum_lanes(sum_xl), ll = sum_lanes(sum_ll);
    const float scale = xl * inverse(ll);
    if (!(scale * xl > best)) return false;
    best = scale * xl;
    fit = {scale, ll};
    return true;
  };
  const float norm = inverse(peak);
  for (int t = -steps; t <= steps; ++t)
    improve((code_of_peak + step * static_cast<float>(t)) * norm);
  improve(-code_of_peak * norm);
  while (improve(inverse(fit.scale))) {
  }
  return fit;
}

// value = scale * code. Scales of codes that are not negative are not negative.
template <int n>
Scale fit_scale(const float* x, const float* w, CodeRange codes) {
  const float peak = codes.low < 0 ? find_peak<n>(x) : std::max(0.0f, *std::max_element(x, x + n));
  return fit_scale_by<n>(x, w, peak, codes.peak, 0.1f, 9, [&](Lanes v) {
    return clamp_lanes(round_lanes(v), lanes(codes.low), lanes(codes.high));
  });
}

// value = scale * code - min with codes 0 to `most`; min is not negative.
struct AffineFit {
  float scale = 0;
  float min = 0;
  float curvature = 0;  // of the loss over min
};

// Works on y = (x - low) / range, which is within 0 .. 1, and looks for y = slope * code + offset.
template <int n>
AffineFit fit_scale_and_min(const float* x, const float* w, float most) {
  float low = 0, high = x[0];
  for (int i = 0; i < n; ++i) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  const float range = high - low;
  const float norm = inverse(range);
  const float offset_limit = -low * norm;  // where min is 0
  Lanes y[n / kLanes];
  Lanes sum_w = lanes(0), sum_y = lanes(0), sum_yy = lanes(0);
  for (int i = 0; i < n / kLanes; ++i) {
    const Lanes weight = load_lanes(w + i * kLanes);
    y[i] = (load_lanes(x + i * kLanes) - lanes(low)) * lanes(norm);
    sum_w += weight;
    sum_y += weight * y[i];
    sum_yy += weight * y[i] * y[i];
  }
  const float W = sum_lanes(sum_w), Y = sum_lanes(sum_y), YY = sum_lanes(sum_yy);
  float best = YY;  // lost by a slope of 0
  float best_slope = 0, best_offset = 0;
  const auto improve = [&](float inverse_slope, float guess) {
    Lanes sum_l = lanes(0), sum_ll = lanes(0), sum_yl = lanes(0);
    for (int i = 0; i < n / kLanes; ++i) {
      const Lanes v = round_lanes((y[i] - lanes(guess)) * lanes(inverse_slope));
      const Lanes l = clamp_lanes(v, lanes(0), lanes(most));
      const Lanes wl = load_lanes(w + i * kLanes) * l;
      sum_l += wl;
      sum_ll += wl * l;
      sum_yl += wl * y[i];
    }
    const float L = sum_lanes(sum_l), LL = sum_lanes(sum_ll), YL = sum_lanes(sum_yl);
    const float by = inverse(W * LL - L * L);
    float slope = (W * YL - Y * L) * by, offset = (LL * Y - L * YL) * by;
    if (offset > offset_limit) {
      offset = offset_limit;
      slope = (YL - offset * L) * inverse(LL);
    }
    const float error =
        YY + slope * (slope * LL + 2 * (offset * L - YL)) + offset * (offset * W - 2 * Y);
    if (!(error < best)) return false;
    best = error;
    best_slope = slope;
    best_offset = offset;
    return true;
  };
  for (int t = -10; t <= 10; ++t) improve(most + 0.1f * static_cast<float>(t), 0);
  while (improve(inverse(best_slope), best_offset)) {
  }
  return {best_slope * range, -(low + best_offset * range), W};
}

}  // namespace st
