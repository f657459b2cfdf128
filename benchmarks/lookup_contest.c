/* Lookups in a table by the C reader, and by hand: the bid and the ask offset
   of many states, one after the other.

   `read_*` asks quotegrid.h; `bare_*` is what one writes who knows the shape:
   the axes and their order are in the code, the node comes from a guess and two
   comparisons, coordinates are clamped to the ends, and the numbers are added
   up in the order of FORMAT.md §6, so that both give the same bits. It has the
   rule of the limits, without which a rounded inventory gets other quotes, and
   leaves out: refusals (NaN, outside, no such node), snapping to a node, axes
   chosen at run time, other rules.

   With `chained` a state is fetched from a place that depends on the quotes
   before, so that nothing of two lookups overlaps: that is the time from a
   question to its answer. Without it the processor works on several at once. */

#define _POSIX_C_SOURCE 200809L
#define QUOTEGRID_POSIX
#include <stdlib.h>

#include "quotegrid.h"

typedef struct {
  const double *nodes;
  long count;
  double per_unit;
} line;

typedef struct {
  line time, factor, lots;
  const double
      *offset; /* [time, factor, lots, 2], as far as there are these axes */
} grid;

typedef struct {
  const double *time, *factor, *lots; /* [count] */
  long count;
  uint64_t none; /* 0, which the compiler does not know */
} questions;

void *open_table(const char *path) {
  const void *bytes;
  size_t size;
  qg_table *table = malloc(sizeof *table);
  if (!table || qg_map(path, &bytes, &size) ||
      qg_read(table, bytes, size, QG_CHECK_ALL))
    return NULL;
  return table;
}

static line line_of(const qg_table *table, qg_tensor_id id) {
  const qg_tensor *tensor = &table->tensor[id];
  line found = {tensor->data, 0, 0.0};
  if (!tensor->data)
    return found;
  found.count = (long)tensor->shape[0];
  found.per_unit = (double)(found.count - 1) /
                   (found.nodes[found.count - 1] - found.nodes[0]);
  return found;
}

/* The same numbers in the same memory, for the lookups by hand. */
void *open_grid(const qg_table *table) {
  grid *g = malloc(sizeof *g);
  if (!g)
    return NULL;
  g->time = line_of(table, QG_T_TIME);
  g->factor = line_of(table, QG_T_FACTOR_0);
  g->lots = line_of(table, QG_T_INVENTORY_0);
  g->offset = qg_numbers(table, QG_T_OFFSET);
  return g;
}

/* ---- by hand
 * ----------------------------------------------------------------------------------
 */

static inline double clamped(const line *axis, double x) {
  double low = axis->nodes[0], high = axis->nodes[axis->count - 1];
  return x < low ? low : x > high ? high : x;
}

/* The cell [i, i + 1] of x. */
static inline long cell(const line *axis, double x) {
  long i = (long)((x - axis->nodes[0]) * axis->per_unit);
  if (i > axis->count - 2)
    i = axis->count - 2;
  while (i > 0 && axis->nodes[i] > x)
    i--;
  while (i < axis->count - 2 && axis->nodes[i + 1] <= x)
    i++;
  return i;
}

static inline double weight(const line *axis, long i, double x) {
  return (x - axis->nodes[i]) / (axis->nodes[i + 1] - axis->nodes[i]);
}

static inline long nearest(const line *axis, double x) {
  long i = cell(axis, x);
  double low = axis->nodes[i], high = axis->nodes[i + 1], below = x - low,
         above = high - x;
  return i + ((above < below) | ((above == below) & (fabs(high) < fabs(low))));
}

static inline void limits(const line *axis, double lots, double *out) {
  if (lots + 1.0 - axis->nodes[axis->count - 1] > 1e-9)
    out[0] = NAN;
  if (axis->nodes[0] - (lots - 1.0) > 1e-9)
    out[1] = NAN;
}

static inline void bare_lots(const grid *g, double lots, double *out) {
  double x = clamped(&g->lots, lots);
  const double *row = g->offset + 2 * nearest(&g->lots, x);
  out[0] = row[0];
  out[1] = row[1];
  limits(&g->lots, x, out);
}

static inline void bare_time_lots(const grid *g, double time, double lots,
                                  double *out) {
  double t = clamped(&g->time, time), x = clamped(&g->lots, lots);
  long i = cell(&g->time, t), j = cell(&g->lots, x), n = g->lots.count;
  double v = weight(&g->time, i, t), w = weight(&g->lots, j, x);
  const double *early = g->offset + 2 * (i * n + j), *late = early + 2 * n;
  double a = (1.0 - v) * (1.0 - w), b = (1.0 - v) * w, c = v * (1.0 - w),
         d = v * w;
  for (int side = 0; side < 2; side++)
    out[side] = a * early[side] + b * early[side + 2] + c * late[side] +
                d * late[side + 2];
}

static inline void bare_time_factor_lots(const grid *g, double time,
                                         double factor, double lots,
                                         double *out) {
  double t = clamped(&g->time, time), f = clamped(&g->factor, factor),
         x = clamped(&g->lots, lots);
  long i = cell(&g->time, t), j = cell(&g->factor, f), n = g->lots.count,
       m = g->factor.count;
  double v = weight(&g->time, i, t), w = weight(&g->factor, j, f);
  const double *early =
                   g->offset + 2 * ((i * m + j) * n + nearest(&g->lots, x)),
               *late = early + 2 * n * m;
  double a = (1.0 - v) * (1.0 - w), b = (1.0 - v) * w, c = v * (1.0 - w),
         d = v * w;
  for (int side = 0; side < 2; side++)
    out[side] = a * early[side] + b * early[side + 2 * n] + c * late[side] +
                d * late[side + 2 * n];
  limits(&g->lots, x, out);
}

/* ---- by the reader
 * ----------------------------------------------------------------------------
 */

QG_INLINE void ask_reader(const qg_table *table, qg_rules rules,
                          const qg_state *state, double *out) {
  qg_corners corners;
  if (qg_look_up(table, rules, state, &corners)) {
    out[0] = out[1] =
        -1e300; /* a refusal; shows when the contestants are compared */
    return;
  }
  out[0] = qg_offset(table, &corners, 0);
  out[1] = qg_offset(table, &corners, 1);
}

QG_INLINE void read_lots(const qg_table *table, qg_rules rules, double lots,
                         double *out) {
  qg_state state = {0};
  state.inventory = &lots;
  ask_reader(table, rules, &state, out);
}

QG_INLINE void read_time_lots(const qg_table *table, qg_rules rules,
                              double time, double lots, double *out) {
  qg_state state = {0};
  state.time = &time;
  state.inventory = &lots;
  ask_reader(table, rules, &state, out);
}

QG_INLINE void read_time_factor_lots(const qg_table *table, qg_rules rules,
                                     double time, double factor, double lots,
                                     double *out) {
  qg_state state = {0};
  state.time = &time;
  state.factor = &factor;
  state.inventory = &lots;
  ask_reader(table, rules, &state, out);
}

/* ---- all questions
 * ----------------------------------------------------------------------------
 */

/* 0 (`none` is 0), but not before these quotes are known. */
static inline long after(const double *quotes, uint64_t none) {
  uint64_t bits[2];
  memcpy(bits, quotes, sizeof bits);
  return (long)((bits[0] | bits[1]) & none);
}

/* `quote` of all questions, one after the other as they come, and each after
 * the answer to the one before. */
#define RUN(name, type, quote)                                                 \
  void name(const type *h, const questions *q, int between, double *out) {     \
    const qg_rules rules = {(qg_between)between, QG_REFUSE};                   \
    (void)rules;                                                               \
    for (long k = 0; k < q->count; k++, out += 2)                              \
      quote;                                                                   \
  }                                                                            \
  void name##_chained(const type *h, const questions *q, int between,          \
                      double *out) {                                           \
    const qg_rules rules = {(qg_between)between, QG_REFUSE};                   \
    const uint64_t none = q->none;                                             \
    (void)rules;                                                               \
    for (long i = 0, k = 0; i < q->count;                                      \
         k = ++i + after(out, none), out += 2)                                 \
      quote;                                                                   \
  }

RUN(bare_1, grid, bare_lots(h, q->lots[k], out))
RUN(bare_2, grid, bare_time_lots(h, q->time[k], q->lots[k], out))
RUN(bare_3, grid,
    bare_time_factor_lots(h, q->time[k], q->factor[k], q->lots[k], out))
RUN(read_1, qg_table, read_lots(h, rules, q->lots[k], out))
RUN(read_2, qg_table, read_time_lots(h, rules, q->time[k], q->lots[k], out))
RUN(read_3, qg_table,
    read_time_factor_lots(h, rules, q->time[k], q->factor[k], q->lots[k], out))
