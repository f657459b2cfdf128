// The honest ceiling for tables of a nonlinear equation: the algorithm of solver/runge_kutta.py for one size and two
// sides, eight problems per vector, a polynomial exponential; steps of given length, and no bounds of errors.
//
//     d/dτ θ(q) = ℓ(q) + H(θ(q) - θ(q+1)) + H(θ(q) - θ(q-1)),   ln H(p) = Σ a_n T_n(y) + x Σ b_n T_n(y),
//     x = p per + place,   y = 2x² - 1,   δ* = p + ln(1 + γ/h)/γ with h = -d ln H/dp
//
// usage: called through ctypes; arrays are [group][…][8], [group][time][…][state][8].
#include "lanes.hpp"

#include <cmath>
#include <vector>

struct Side {
  const Lanes *even, *odd;
  Lanes per, place;
  int terms;

  inline Lanes worth(Lanes p) const {
    const Lanes x = p * per + place, twice = all(4.0) * x * x - all(2.0);
    Lanes e1 = all(0.0), e2 = e1, o1 = e1, o2 = e1;
    for (int n = terms - 1; n > 0; --n) {
      const Lanes e = (even[n] - e2) + twice * e1, o = (odd[n] - o2) + twice * o1;
      e2 = e1, e1 = e, o2 = o1, o1 = o;
    }
    const Lanes y = all(0.5) * twice;
    return exponential((even[0] - e2) + y * e1 + x * ((odd[0] - o2) + y * o1));
  }

  inline Lanes hazard(Lanes p) const {
    const Lanes x = p * per + place, twice = all(4.0) * x * x - all(2.0);
    Lanes e1 = all(0.0), e2 = e1, o1 = e1, o2 = e1, de1 = e1, de2 = e1, do1 = e1, do2 = e1;
    for (int n = terms - 1; n > 0; --n) {
      const Lanes de = all(2.0) * e1 - de2 + twice * de1, dodd = all(2.0) * o1 - do2 + twice * do1;
      de2 = de1, de1 = de, do2 = do1, do1 = dodd;
      const Lanes e = even[n] - e2 + twice * e1, o = odd[n] - o2 + twice * o1;
      e2 = e1, e1 = e, o2 = o1, o1 = o;
    }
    const Lanes y = all(0.5) * twice, value = odd[0] - o2 + y * o1;
    const Lanes slope_even = e1 - de2 + y * de1, slope_odd = o1 - do2 + y * do1;
    return -(value + all(4.0) * x * (slope_even + x * slope_odd)) * per;
  }
};

extern "C" void tables(int groups, int states, int times, const int* steps, int stages, const double* stage_weights,
                       const double* step_weights, double length, int terms, const Lanes* even, const Lanes* odd,
                       const Lanes* per, const Lanes* place, const Lanes* gamma, const Lanes* reward, Lanes* value,
                       Lanes* offsets) {
  std::vector<Lanes> theta(states), moved(states);
  std::vector<std::vector<Lanes>> slopes(stages, std::vector<Lanes>(states));
  for (int g = 0; g < groups; ++g) {
    Side sides[2];
    for (int side = 0; side < 2; ++side) {
      const long at = 2L * g + side;
      sides[side] = Side{even + at * terms, odd + at * terms, per[at], place[at], terms};
    }
    const Lanes* l = reward + (long)g * states;
    auto drift = [&](const std::vector<Lanes>& at, std::vector<Lanes>& out) {
      for (int i = 0; i < states; ++i) out[i] = l[i];
      for (int i = 0; i + 1 < states; ++i) {
        out[i] += sides[0].worth(at[i] - at[i + 1]);
        out[i + 1] += sides[1].worth(at[i + 1] - at[i]);
      }
    };
    for (int i = 0; i < states; ++i) theta[i] = all(0.0);
    for (int t = 0; t < times; ++t) {
      for (int step = 0; t > 0 && step < steps[t - 1]; ++step) {
        const double h = length / steps[t - 1];
        drift(theta, slopes[0]);
        for (int s = 1; s <= stages; ++s) {
          const double* weights = s < stages ? stage_weights + (long)(s - 1) * stages : step_weights;
          for (int i = 0; i < states; ++i) moved[i] = theta[i];
          for (int j = 0; j < s; ++j)
            if (weights[j] != 0.0)
              for (int i = 0; i < states; ++i) moved[i] += all(h * weights[j]) * slopes[j][i];
          if (s < stages) drift(moved, slopes[s]);
        }
        theta.swap(moved);
      }
      Lanes* at = value + ((long)g * times + t) * states;
      Lanes* bid = offsets + ((long)g * times + t) * 2 * states;
      for (int i = 0; i < states; ++i) {
        at[i] = theta[i];
        for (int side = 0; side < 2; ++side) {
          const int after = side == 0 ? i + 1 : i - 1;
          Lanes found = all(NAN);
          if (after >= 0 && after < states) {
            const Lanes p = theta[i] - theta[after];
            found = p + logarithm(all(1.0) + gamma[g] / sides[side].hazard(p)) / gamma[g];
          }
          bid[(long)side * states + i] = found;
        }
      }
    }
  }
}
