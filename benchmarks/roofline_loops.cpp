// What this processor can do: multiply-adds from registers, reads and writes of the nearest two caches, and the
// inner loop of lockstep_kernel.cpp on vectors of any multiple of eight problems. Called through ctypes.
#include <cstddef>

typedef double Wide __attribute__((vector_size(64)));
typedef double Narrow __attribute__((vector_size(32)));

#define KEEP(x) asm volatile("" : "+v"(x))

// 12 chains of x = x a + b, so that none waits for another; 2 · 12 · lanes operations a pass. Each chain is a
// variable of its own: an array would be kept in memory.
#define EACH(DO) DO(x0) DO(x1) DO(x2) DO(x3) DO(x4) DO(x5) DO(x6) DO(x7) DO(x8) DO(x9) DO(x10) DO(x11)
#define BEGIN(x) Vector x = Vector{} + 1.0; KEEP(x);
#define STEP(x)                       \
  {                                   \
    Vector product = x * a;           \
    if (!fused) KEEP(product);        \
    x = product + b;                  \
    KEEP(x);                          \
  }
#define ADD(x) total += x[0];

template <class Vector, bool fused>
static double chains(long passes) {
  Vector a = Vector{} + 0.999999, b = Vector{} + 1e-6;
  KEEP(a);
  KEEP(b);
  EACH(BEGIN)
  for (long pass = 0; pass < passes; ++pass) {
    EACH(STEP)
  }
  double total = 0.0;
  EACH(ADD)
  return total;
}

extern "C" double fused_chains(long passes) { return chains<Wide, true>(passes); }
extern "C" double plain_chains(long passes) { return chains<Narrow, false>(passes); }

// x = y + s z over vectors of `count` times eight doubles: 24 bytes a double
extern "C" void triads(Wide* x, const Wide* y, const Wide* z, long count, long passes) {
  const Wide s = Wide{} + 0.5;
  for (long pass = 0; pass < passes; ++pass) {
    for (long i = 0; i < count; ++i) x[i] = y[i] + s * z[i];
    asm volatile("" ::: "memory");
  }
}

// s ← v + share (d s + u s(+1) + w s(-1)), in place, rows of `K` vectors; `states` rows between two of zeros
template <int K>
static void terms(int states, long count, double share, const Wide* v, const Wide* d, const Wide* u, const Wide* w,
                  Wide* s) {
  for (long n = 0; n < count; ++n) {
    Wide before[K] = {};
    for (int i = 1; i <= states; ++i) {
#pragma GCC unroll 4
      for (int k = 0; k < K; ++k) {
        const long row = (long)i * K + k, own = row - K;
        const Wide here = s[row];
        s[row] = v[row] + share * (d[own] * here + u[own] * s[row + K] + w[own] * before[k]);
        before[k] = here;
      }
    }
    asm volatile("" ::: "memory");
  }
}

extern "C" void lockstep_terms(int vectors, int states, long count, double share, const Wide* v, const Wide* d,
                               const Wide* u, const Wide* w, Wide* s) {
  if (vectors == 1) terms<1>(states, count, share, v, d, u, w, s);
  if (vectors == 2) terms<2>(states, count, share, v, d, u, w, s);
  if (vectors == 4) terms<4>(states, count, share, v, d, u, w, s);
}
