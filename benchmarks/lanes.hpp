// Eight doubles at a time, for the C++ kernels of this folder.
#pragma once
#include <cstdint>
#include <cstring>

typedef double Lanes __attribute__((vector_size(64)));
typedef int64_t Words __attribute__((vector_size(64)));

static inline Lanes all(double x) { return Lanes{x, x, x, x, x, x, x, x}; }

static inline Lanes logarithm(Lanes x) {
  Words bits;
  std::memcpy(&bits, &x, sizeof bits);
  const int64_t half = 0x3FE6A09E667F3BCDLL;
  Words exponent = (bits - half) >> 52;
  Words mantissa = bits - (exponent << 52);
  Lanes m;
  std::memcpy(&m, &mantissa, sizeof m);
  Lanes s = (m - all(1.0)) / (m + all(1.0)), square = s * s, series = all(0.0);
  for (int n = 21; n > 1; n -= 2) series = (series + all(1.0 / n)) * square;
  Lanes e = __builtin_convertvector(exponent, Lanes);
  return e * all(0.6931471803691238) + (all(2.0) * s + (all(2.0) * s * series + e * all(1.9082149292705877e-10)));
}

static inline Lanes exponential(Lanes x) {  // |x| below 700
  Words whole = __builtin_convertvector(x * all(1.4426950408889634) + all(1024.5), Words) - 1024;  // rounded
  Lanes n = __builtin_convertvector(whole, Lanes);
  Lanes r = (x - n * all(0.6931471803691238)) - n * all(1.9082149292705877e-10), series = all(1.0);
  for (int k = 13; k > 0; --k) series = all(1.0) + series * r * all(1.0 / k);
  Words bits;
  std::memcpy(&bits, &series, sizeof bits);
  bits += whole << 52;
  std::memcpy(&series, &bits, sizeof bits);
  return series;
}
