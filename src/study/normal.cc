#include "study/normal.h"

#include <cmath>

namespace st {

// exp(-y) as 1 / exp(y), whose series has no cancellation.
double normal_density(double x) {
  const double y = x * x / 2;
  double sum = 1;
  double term = 1;
  for (int n = 1; n < 200 && term > sum * 1e-17; ++n) {
    term *= y / n;
    sum += term;
  }
  constexpr double kPeak = 0.398942280401432677939946;  // 1 / sqrt(2 pi)
  return kPeak / sum;
}

// 1/2 + density(x) (x + x^3/3 + x^5/(3 5) + ...)
double normal_cdf(double x) {
  double sum = 0;
  double term = x;
  for (int n = 1; n < 400 && std::abs(term) > std::abs(sum) * 1e-17; ++n) {
    sum += term;
    term *= x * x / (2 * n + 1);
  }
  return 0.5 + normal_density(x) * sum;
}

double normal_quantile(double p) {
  double low = -6;
  double high = 6;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (normal_cdf(middle) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

double rectified_square(double t) {
  return (1 + t * t) * (1 - normal_cdf(t)) - t * normal_density(t);
}

}  // namespace st
