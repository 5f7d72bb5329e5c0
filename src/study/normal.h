// The normal distribution in plain arithmetic: unlike the functions of a C library, the same bits
// on every machine.
#pragma once

namespace st {

double normal_density(double x);
double normal_cdf(double x);       // share below x
double normal_quantile(double p);  // inverse of normal_cdf. REQUIRES: 1e-6 <= p <= 1 - 1e-6
// E[max(0, g)^2] for g normal with mean -t and deviation 1.
double rectified_square(double t);

}  // namespace st
