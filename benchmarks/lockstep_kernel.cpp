// The honest ceiling for tables in lockstep: the algorithm of solver/lockstep.py for one size and two sides,
// eight problems per vector, everything in the first-level cache, a polynomial logarithm.
//
//     d/dτ v = M v,   M = κ diag(ℓ) + rates beside the diagonal,   e^{hP} v by Horner's rule,   P = M + c ≥ 0
//
// usage: called through ctypes; arrays are [group][state][8], [group][time][...][state][8].
#include "lanes.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

struct Factorials {
  double log[80];
  Factorials() {
    log[0] = 0.0;
    for (int n = 1; n < 80; ++n) log[n] = log[n - 1] + std::log(double(n));
  }
};

static int order(double reach, double low) {  // terms after which the rest is below 2^-54 of the sum, as in lockstep.py
  static const Factorials factorials;
  const double logarithm = std::log(reach), least = low - 54.0 * 0.6931471805599453;
  int n = 1;
  while (n < 79 && n * logarithm - factorials.log[n] > least) ++n;
  return n;
}

extern "C" void tables(int groups, int states, int times, const Lanes* diagonal, const Lanes* up, const Lanes* down,
                       const Lanes* shift, const Lanes* decay, const Lanes* size, const Lanes* base, double length,
                       Lanes* value, Lanes* offsets) {
  std::vector<Lanes> v(states + 2), s(states + 2), theta(states);
  const int middle = states / 2;
  for (int g = 0; g < groups; ++g) {
    const Lanes *d = diagonal + (long)g * states, *u = up + (long)g * states, *w = down + (long)g * states;
    Lanes level = all(0.0);
    for (int i = 0; i < states + 2; ++i) v[i] = all(i > 0 && i <= states ? 1.0 : 0.0);
    for (int t = 0; t < times; ++t) {
      if (t > 0) {
        Lanes most = all(0.0), least = all(1e300);
        for (int i = 1; i <= states; ++i) {
          Lanes ratio = (d[i - 1] * v[i] + u[i - 1] * v[i + 1] + w[i - 1] * v[i - 1]) / v[i];
          most = ratio > most ? ratio : most;
          least = ratio < least ? ratio : least;
        }
        double reach = 0.0;
        for (int lane = 0; lane < 8; ++lane) reach = std::fmax(reach, length * most[lane]);
        const int steps = std::fmax(1.0, std::ceil(reach / 12.0));
        int terms = 1;
        for (int lane = 0; lane < 8; ++lane)
          terms = std::max(terms, order(length / steps * most[lane], length / steps * least[lane]));
        for (int step = 0; step < steps; ++step) {
          std::memcpy(s.data(), v.data(), sizeof(Lanes) * (states + 2));
          for (int n = terms; n > 0; --n) {
            const Lanes share = all(length / steps / n);
            Lanes before = s[0];
            for (int i = 1; i <= states; ++i) {
              Lanes here = s[i];
              s[i] = v[i] + share * (d[i - 1] * here + u[i - 1] * s[i + 1] + w[i - 1] * before);
              before = here;
            }
          }
          const Lanes scale = all(1.0) / s[1 + middle];
          level += logarithm(s[1 + middle]);
          for (int i = 1; i <= states; ++i) v[i] = s[i] * scale;
        }
        level -= shift[g] * all(length);
      }
      const Lanes inverse = all(1.0) / decay[g];
      for (int i = 0; i < states; ++i) theta[i] = logarithm(v[i + 1]) * inverse;
      Lanes* at = value + ((long)g * times + t) * states;
      Lanes* bid = offsets + ((long)g * times + t) * 2 * states;
      const Lanes per = all(1.0) / size[g];
      for (int i = 0; i < states; ++i) at[i] = theta[i] + level * inverse;
      for (int i = 0; i < states; ++i) {
        bid[i] = i + 1 < states ? base[2 * g] + (theta[i] - theta[i + 1]) * per : all(NAN);
        bid[states + i] = i > 0 ? base[2 * g + 1] + (theta[i] - theta[i - 1]) * per : all(NAN);
      }
    }
  }
}
