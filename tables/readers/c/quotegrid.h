/* quotegrid.h: quotes from a policy table, in C99 and C++, without allocation and without dependencies.

   A table is one file (FORMAT.md). Its state is a node on every axis: time, regime, factors, parameter axes,
   inventories. Between the nodes x_i and x_{i+1} of an axis a coordinate x has the weights

       1 - w  and  w,    w = (x - x_i)/(x_{i+1} - x_i),

   and a number of the table is the sum over the corners, products of weights times the number there:

       δ(x) = Σ_corners  Π_axes w_axis · δ(corner).

   A NaN offset is a flow that is not quoted; with a weight it makes the sum NaN. Every operation is one rounding
   to nearest, in the order of FORMAT.md §6, so that all readers agree to the last bit.

       qg_table table;                                       no pointers of its own: all lead into the bytes
       qg_error error = qg_read(&table, bytes, size, QG_CHECK_ALL);
       if (error) puts(qg_error_name(error));
       qg_rules rules = {QG_TOWARDS_FLAT, QG_REFUSE};
       double lots = 3;
       qg_state state = {0};
       state.inventory = &lots;
       qg_corners corners;
       if (!qg_look_up(&table, rules, &state, &corners))
           bid = reference - qg_offset(&table, &corners, 0);

   The bytes stay where they are, unchanged, as long as the table is used; a table is never written to, so any
   number of threads may read it. Bytes must lie at an address that is a multiple of 8, as those of mmap and
   malloc do. QUOTEGRID_POSIX, defined before this header, adds `qg_map`, which maps a file; QUOTEGRID_PORTABLE
   leaves out the instructions for SHA-256 that x86 processors have, found at run time. Link with -lm. */

#ifndef QUOTEGRID_H
#define QUOTEGRID_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && defined(__x86_64__) && !defined(QUOTEGRID_PORTABLE)
#define QG_SHA_INSTRUCTIONS
#include <cpuid.h>
#include <immintrin.h>
#endif

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "quotegrid.h needs double arithmetic without excess precision (on x86: -msse2 -mfpmath=sse)"
#endif
#if defined(__FAST_MATH__) || defined(_M_FP_FAST) || defined(__ASSOCIATIVE_MATH__) ||                        \
    defined(__RECIPROCAL_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "quotegrid.h needs IEEE arithmetic: compile without -ffast-math, -Ofast or /fp:fast"
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "quotegrid.h reads little-endian numbers in place and needs a little-endian machine"
#endif
#ifdef _MSC_VER
#pragma fp_contract(off)
#endif

/* A lookup takes nanoseconds: a call, or numbers that go through memory, would be half of it. */
#ifdef __GNUC__
#define QG_INLINE static inline __attribute__((always_inline))
#else
#define QG_INLINE static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors: why a question, an order or a file is refused; the names are those of FORMAT.md --- */

/* clang-format off */
#define QG_ERRORS(X)                             \
    X(OK, "ok")                                  \
    X(NOT_A_NUMBER, "not-a-number")              \
    X(OUTSIDE_BOX, "outside-box")                \
    X(BETWEEN_NODES, "between-nodes")            \
    X(UNKNOWN_REGIME, "unknown-regime")          \
    X(WRONG_COORDINATES, "wrong-coordinates")    \
    X(WRONG_SYMBOL, "wrong-symbol")              \
    X(WRONG_TICK, "wrong-tick")                  \
    X(TOO_EARLY, "too-early")                    \
    X(EXPIRED, "expired")                        \
    X(OUTSIDE_PRICE_BOX, "outside-price-box")    \
    X(CROSSED_MARKET, "crossed-market")          \
    X(CROSSED_QUOTES, "crossed-quotes")          \
    X(FILE_TOO_SHORT, "file-too-short")          \
    X(HEADER_TOO_LARGE, "header-too-large")      \
    X(HEADER_TOO_LONG, "header-too-long")        \
    X(DATA_ALIGNMENT, "data-alignment")          \
    X(METADATA_ENTRY, "metadata-entry")          \
    X(FORMAT_VERSION, "format-version")          \
    X(HEADER_FORM, "header-form")                \
    X(TENSOR_DTYPE, "tensor-dtype")              \
    X(TENSOR_SHAPE, "tensor-shape")              \
    X(TENSOR_OFFSETS, "tensor-offsets")          \
    X(TENSOR_SIZE, "tensor-size")                \
    X(DATA_TOO_SHORT, "data-too-short")          \
    X(DATA_TOO_LONG, "data-too-long")            \
    X(TENSOR_UNKNOWN, "tensor-unknown")          \
    X(TENSOR_ORDER, "tensor-order")              \
    X(TENSOR_MISSING, "tensor-missing")          \
    X(TENSOR_TYPE, "tensor-type")                \
    X(WORD_FORM, "word-form")                    \
    X(NAME_FORM, "name-form")                    \
    X(NAME_REPEATED, "name-repeated")            \
    X(ASSET_COUNT, "asset-count")                \
    X(AXIS_COUNT, "axis-count")                  \
    X(AXIS_ORDER, "axis-order")                  \
    X(BOX_FORM, "box-form")                      \
    X(REFERENCE_PRICE, "reference-price")        \
    X(LIFE_TIME, "life-time")                    \
    X(LOT_SIZE, "lot-size")                      \
    X(REGIME_COUNT, "regime-count")              \
    X(FLOW_COUNT, "flow-count")                  \
    X(FLOW_SIDE, "flow-side")                    \
    X(FLOW_SIZE, "flow-size")                    \
    X(FLOW_ASSET, "flow-asset")                  \
    X(FLOW_REPEATED, "flow-repeated")            \
    X(PARAMETER_COUNT, "parameter-count")        \
    X(TABLE_SHAPE, "table-shape")                \
    X(HOLD_FORM, "hold-form")                    \
    X(BOUND_FORM, "bound-form")                  \
    X(INFINITE_NUMBER, "infinite-number")        \
    X(VALUE_MISSING, "value-missing")            \
    X(CONTENT_HASH, "content-hash")              \
    X(BYTES_NOT_ALIGNED, "bytes-not-aligned")    \
    X(FILE_UNREADABLE, "file-unreadable")
/* clang-format on */

#define QG_AS_ENUM(name, text) QG_##name,
typedef enum qg_error { QG_ERRORS(QG_AS_ENUM) QG_ERROR_COUNT } qg_error;
#undef QG_AS_ENUM

/* The name of an error, as FORMAT.md writes it. */
static inline const char *qg_error_name(qg_error error) {
#define QG_AS_TEXT(name, text) text,
    static const char *const names[] = {QG_ERRORS(QG_AS_TEXT) ""};
#undef QG_AS_TEXT
    return names[(unsigned)error < QG_ERROR_COUNT ? error : QG_ERROR_COUNT];
}

/* ---- the table ------------------------------------------------------------------------------- */

enum {
    QG_MAX_AXES = 8, /* besides the regimes */
    QG_MAX_RANK = 12,
    QG_MAX_NAMES = 1000,
    QG_MAX_CORNERS = 256 /* two on every axis */
};

/* Every tensor by its name, in the order of the file; a trailing number counts axes. */
/* clang-format off */
#define QG_EIGHT(X, NAME, name) \
    X(NAME##_0, name "_0") X(NAME##_1, name "_1") X(NAME##_2, name "_2") X(NAME##_3, name "_3") \
    X(NAME##_4, name "_4") X(NAME##_5, name "_5") X(NAME##_6, name "_6") X(NAME##_7, name "_7")
#define QG_TENSORS(X)                                                                                        \
    X(TIME, "time") QG_EIGHT(X, FACTOR, "factor") QG_EIGHT(X, PARAMETER_AXIS, "parameter_axis")              \
    QG_EIGHT(X, INVENTORY, "inventory") X(BOX, "box") X(REFERENCE, "reference_price")                        \
    X(PRICE_BOX, "price_box") X(START, "start") X(LIFE, "life") X(LOT_SIZES, "lot_size") X(UNIT, "unit")     \
    X(SYMBOL, "symbol") X(REGIME, "regime") X(FACTOR_NAME, "factor_name")                                    \
    X(PARAMETER_AXIS_NAME, "parameter_axis_name") X(FLOW_NAME, "flow_name") X(FLOW_SIDES, "flow_side")       \
    X(FLOW_SIZES, "flow_size") X(FLOW_ASSETS, "flow_asset") X(VALUE, "value") X(OFFSET, "offset")            \
    X(HEDGE_RATE, "hedge_rate") X(MARKET_ORDER, "market_order") X(GAIN, "gain") X(PARAMETER, "parameter")    \
    X(PARAMETER_NAME, "parameter_name") X(VALUE_SENSITIVITY, "value_sensitivity")                            \
    X(OFFSET_SENSITIVITY, "offset_sensitivity") X(GAIN_SENSITIVITY, "gain_sensitivity")                      \
    X(VALUE_CURVATURE, "value_curvature") X(OFFSET_CURVATURE, "offset_curvature")                            \
    X(GAIN_CURVATURE, "gain_curvature") X(OFFSET_HOLD, "offset_hold") X(OFFSET_BOUND, "offset_bound")        \
    X(OFFSET_BOUND_PARAMETER, "offset_bound_parameter")
/* clang-format on */

#define QG_AS_ENUM(NAME, name) QG_T_##NAME,
typedef enum qg_tensor_id { QG_TENSORS(QG_AS_ENUM) QG_TENSOR_COUNT } qg_tensor_id;
#undef QG_AS_ENUM

typedef struct qg_tensor {
    const void *data; /* NULL: not in this table */
    char type;        /* 'F' or 'I' */
    int rank;
    int64_t shape[QG_MAX_RANK];
} qg_tensor;

typedef struct qg_axis {
    const double *nodes; /* strictly increasing */
    int64_t count;
    int64_t stride;             /* states from one node to the next */
    double low, high;           /* the validity box */
    double snap;                /* a coordinate so close to a node is the node */
    double first, steps;        /* the first node; how many steps there are from it to the last */
    double nodes_per_unit;      /* were they evenly spread */
    double free_low, free_high; /* of an inventory: between them no fill leaves the limits */
} qg_axis;

typedef struct qg_table {
    const unsigned char *bytes;
    size_t size;
    const char *metadata; /* JSON within a JSON string: see qg_metadata */
    size_t metadata_size;
    qg_tensor tensor[QG_TENSOR_COUNT];
    int axis_count; /* time, factors, parameter axes, inventories; regimes apart */
    int time_count, factor_count, parameter_axis_count, asset_count;
    qg_axis axis[QG_MAX_AXES];
    int64_t regime_count, regime_stride;
    int64_t states;
    int flow_count, parameter_count;
    int asked; /* bits QG_GIVES_…: which coordinates a state must have */
} qg_table;

typedef enum qg_check {
    QG_CHECK_ALL,   /* everything, with the content hash: the whole file is read */
    QG_CHECK_HEADER /* all but what looks at every number; lookups of such a table stay within its bytes */
} qg_check;

/* Check the bytes of a runtime file and find everything in them. */
static inline qg_error qg_read(qg_table *table, const void *bytes, size_t size, qg_check check);

/* A row of words, ended by a zero; NULL if the table has no such tensor or no such row. */
static inline const char *qg_word(const qg_table *table, qg_tensor_id words, int row) {
    const qg_tensor *t = &table->tensor[words];
    return t->data && row >= 0 && row < t->shape[0] ? (const char *)t->data + 8 * t->shape[1] * row : NULL;
}

static inline const char *qg_symbol(const qg_table *table, int asset) {
    return qg_word(table, QG_T_SYMBOL, asset);
}
static inline const char *qg_price_unit(const qg_table *table) { return qg_word(table, QG_T_UNIT, 0); }
static inline const char *qg_time_unit(const qg_table *table) { return qg_word(table, QG_T_UNIT, 1); }
static inline const char *qg_flow_name(const qg_table *table, int flow) {
    return qg_word(table, QG_T_FLOW_NAME, flow);
}

/* The place of a name among words of the table, such as QG_T_REGIME or QG_T_PARAMETER_NAME; -1: not there. */
static inline int qg_place(const qg_table *table, qg_tensor_id words, const char *name) {
    const char *word;
    for (int row = 0; (word = qg_word(table, words, row)) != NULL; row++)
        if (strcmp(word, name) == 0) return row;
    return -1;
}

static inline const double *qg_numbers(const qg_table *table, qg_tensor_id id) {
    return (const double *)table->tensor[id].data;
}
static inline const int64_t *qg_integers(const qg_table *table, qg_tensor_id id) {
    return (const int64_t *)table->tensor[id].data;
}

/* Of a flow: 1 bid, -1 ask; lots; number of the asset. */
static inline int qg_flow_side(const qg_table *table, int flow) {
    return (int)qg_integers(table, QG_T_FLOW_SIDES)[flow];
}
static inline int64_t qg_flow_size(const qg_table *table, int flow) {
    return qg_integers(table, QG_T_FLOW_SIZES)[flow];
}
static inline int qg_flow_asset(const qg_table *table, int flow) {
    return (int)qg_integers(table, QG_T_FLOW_ASSETS)[flow];
}

/* The 64 digits of the content hash; not ended by a zero. */
static inline const char *qg_content_hash(const qg_table *table) { return (const char *)table->bytes + 57; }

/* The long-run gain per time; NaN where the table has none. */
static inline double qg_gain(const qg_table *table) {
    return table->tensor[QG_T_GAIN].data ? *qg_numbers(table, QG_T_GAIN) : NAN;
}

/* The metadata as JSON text, ended by a zero and cut off at `room` bytes; returns the length of the whole. */
static inline size_t qg_metadata(const qg_table *table, char *text, size_t room) {
    size_t length = 0;
    for (size_t i = 0; i < table->metadata_size; i++, length++) {
        if (table->metadata[i] == '\\') i++; /* qg_read has seen that a character follows */
        if (length + 1 < room) text[length] = table->metadata[i];
    }
    if (room) text[length < room ? length : room - 1] = '\0';
    return length;
}

/* ---- lookup (FORMAT.md §6) ------------------------------------------------------------------- */

typedef enum qg_between { QG_EXACT, QG_NEAREST, QG_TOWARDS_FLAT, QG_LINEAR } qg_between;
typedef enum qg_outside { QG_REFUSE, QG_CLAMP } qg_outside;

typedef struct qg_rules {
    qg_between between; /* nodes of the inventory axes */
    qg_outside outside; /* of the validity box */
} qg_rules;

enum {
    QG_GIVES_TIME = 1,
    QG_GIVES_REGIME = 2,
    QG_GIVES_FACTOR = 4,
    QG_GIVES_PARAMETER = 8,
    QG_GIVES_INVENTORY = 16
};

/* One coordinate for each axis of the table; NULL for what the table does not have. */
typedef struct qg_state {
    const double *time;
    const int64_t *regime; /* its number, from 0: see qg_place */
    const double *factor;
    const double *parameter;
    const double *inventory; /* lots, one number for each asset */
} qg_state;

/* Where a state falls: what all numbers of the table are looked up with. */
typedef struct qg_corners {
    int count;
    int64_t first;                 /* state of the first corner */
    int64_t state[QG_MAX_CORNERS]; /* of each corner, counted from the first */
    double weight[QG_MAX_CORNERS];
    unsigned clamped;              /* bit i: axis i was outside of the box and moved to its edge */
    int near_limit;                /* nearest or towards_flat, and a fill may leave the limits */
    double inventory[QG_MAX_AXES]; /* as given, but clamped and snapped to nodes */
} qg_corners;

/* A product, rounded by itself: the barrier keeps a compiler from fusing it with an addition. */
QG_INLINE double qg_times(double a, double b) {
    double product = a * b;
#if defined(__GNUC__) && defined(__x86_64__)
    __asm__("" : "+x"(product));
#elif defined(__GNUC__) && defined(__aarch64__)
    __asm__("" : "+w"(product));
#elif defined(__GNUC__)
    volatile double rounded = product;
    product = rounded;
#endif
    return product;
}

/* The last node that is not above x, or 0. */
static inline int64_t qg_search(const qg_axis *axis, double x) {
    int64_t low = 0, high = axis->count;
    if (x >= axis->nodes[high - 1]) return high - 1;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (axis->nodes[middle] <= x)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The same: guessed, as if the nodes were evenly spread, or else searched for. */
QG_INLINE int64_t qg_node_below(const qg_axis *axis, double x) {
    double guess = (x - axis->first) * axis->nodes_per_unit;
    if (guess >= 0.0 && guess < axis->steps) {
        int64_t i = (int64_t)guess;
        if (axis->nodes[i] <= x && x < axis->nodes[i + 1]) return i;
    }
    return qg_search(axis, x);
}

/* Steps 1 to 3 on one axis: a node, or two with the weights 1 - w and w (w stays -1 for one). */
QG_INLINE qg_error qg_along(const qg_axis *axis, qg_between between, qg_outside outside, double *coordinate,
                            int64_t *node, double *w, int *clamped) {
    double x = *coordinate;
    if (!(axis->low - x <= axis->snap && x - axis->high <= axis->snap)) { /* true of NaN as well */
        if (!isfinite(x)) return QG_NOT_A_NUMBER;
        if (outside == QG_REFUSE) return QG_OUTSIDE_BOX;
        x = x < axis->low ? axis->low : axis->high;
        *clamped = 1;
    }
    int64_t i = qg_node_below(axis, x);
    double low = axis->nodes[i];
    *w = -1.0;
    *node = i;
    *coordinate = low;
    if (fabs(x - low) <= axis->snap || i + 1 == axis->count) return QG_OK;
    double high = axis->nodes[i + 1], below = x - low, above = high - x;
    if (above <= axis->snap) {
        *node = i + 1;
        *coordinate = high;
        return QG_OK;
    }
    *coordinate = x;
    if (between == QG_LINEAR) {
        *w = below / (high - low);
        return QG_OK;
    }
    if (between == QG_EXACT) return QG_BETWEEN_NODES;
    int nearer = above < below, level = above == below;
    int flatter = fabs(high) < fabs(low), as_flat = fabs(high) == fabs(low);
    *node = i + (between == QG_NEAREST ? nearer | (level & flatter) : flatter | (as_flat & nearer));
    return QG_OK;
}

/* Multiply the corners found so far by those of one more axis. */
QG_INLINE void qg_extend(qg_corners *corners, int64_t node, int64_t stride, double w) {
    corners->first += node * stride;
    if (w < 0.0) return;
    double *const weight = corners->weight;
    int64_t *const state = corners->state;
    if (corners->count == 1) { /* the loop below, unrolled: these stay in registers */
        state[1] = stride;
        weight[0] = 1.0 - w;
        weight[1] = w;
        corners->count = 2;
    } else if (corners->count == 2) {
        double low = weight[0], high = weight[1];
        state[2] = state[1];
        state[3] = state[1] + stride;
        state[1] = stride;
        weight[0] = qg_times(low, 1.0 - w);
        weight[1] = qg_times(low, w);
        weight[2] = qg_times(high, 1.0 - w);
        weight[3] = qg_times(high, w);
        corners->count = 4;
    } else {
        for (int c = corners->count - 1; c >= 0; c--) { /* backwards: corner c becomes 2c and 2c + 1 */
            int64_t from = state[c];
            double of = weight[c];
            state[2 * c] = from;
            weight[2 * c] = qg_times(of, 1.0 - w);
            state[2 * c + 1] = from + stride;
            weight[2 * c + 1] = qg_times(of, w);
        }
        corners->count *= 2;
    }
}

/* One more axis. */
QG_INLINE qg_error qg_on_axis(const qg_table *table, int number, qg_between between, qg_outside outside,
                              double *x, qg_corners *corners) {
    const qg_axis *axis = &table->axis[number];
    int64_t node;
    double w;
    int clamped = 0;
    qg_error error = qg_along(axis, between, outside, x, &node, &w, &clamped);
    if (error) return error;
    if (clamped) corners->clamped |= 1u << number;
    qg_extend(corners, node, axis->stride, w);
    return QG_OK;
}

/* Where a state falls in a table; every other number follows from it. */
QG_INLINE qg_error qg_look_up(const qg_table *table, qg_rules rules, const qg_state *state,
                              qg_corners *corners) {
    const int given = (state->time ? QG_GIVES_TIME : 0) | (state->regime ? QG_GIVES_REGIME : 0) |
                      (state->factor ? QG_GIVES_FACTOR : 0) | (state->parameter ? QG_GIVES_PARAMETER : 0) |
                      (state->inventory ? QG_GIVES_INVENTORY : 0);
    if (given != table->asked) return QG_WRONG_COORDINATES;
    const int rounds = rules.between == QG_NEAREST || rules.between == QG_TOWARDS_FLAT;
    qg_error error;
    double x;
    int number = 0;
    corners->count = 1;
    corners->first = 0;
    corners->state[0] = corners->state[1] = 0;
    corners->weight[0] = 1.0;
    corners->weight[1] = 0.0; /* is not used; some compilers do not see that */
    corners->clamped = 0;
    corners->near_limit = 0;
    if (state->time) {
        x = *state->time;
        if ((error = qg_on_axis(table, number++, QG_LINEAR, rules.outside, &x, corners))) return error;
    }
    if (state->regime) {
        if (*state->regime < 0 || *state->regime >= table->regime_count) return QG_UNKNOWN_REGIME;
        corners->first += *state->regime * table->regime_stride;
    }
    if (state->factor)
        for (int i = 0; i < table->factor_count; i++) {
            x = state->factor[i];
            if ((error = qg_on_axis(table, number++, QG_LINEAR, rules.outside, &x, corners))) return error;
        }
    if (state->parameter)
        for (int i = 0; i < table->parameter_axis_count; i++) {
            x = state->parameter[i];
            if ((error = qg_on_axis(table, number++, QG_LINEAR, rules.outside, &x, corners))) return error;
        }
    for (int i = 0;;) { /* there is one asset at least */
        const qg_axis *axis = &table->axis[number];
        x = state->inventory[i];
        if ((error = qg_on_axis(table, number++, rules.between, rules.outside, &x, corners))) return error;
        corners->inventory[i] = x;
        if (rounds && (x < axis->free_low || x > axis->free_high)) corners->near_limit = 1;
        if (++i == table->asset_count) return QG_OK;
    }
}

/* Σ weight · number over the corners; a state has `row` numbers, of which this is number `column`. */
QG_INLINE double qg_sum(const double *numbers, int64_t row, int64_t column, const qg_corners *corners) {
    const double *const weight = corners->weight;
    const int64_t *const state = corners->state;
    numbers += corners->first * row + column;
    if (corners->count == 1) return numbers[0];
    double total = qg_times(weight[0], numbers[0]) + qg_times(weight[1], numbers[state[1] * row]);
    if (corners->count == 2) return total;
    total += qg_times(weight[2], numbers[state[2] * row]);
    total += qg_times(weight[3], numbers[state[3] * row]);
    for (int c = 4; c < corners->count; c++) total += qg_times(weight[c], numbers[state[c] * row]);
    return total;
}

QG_INLINE double qg_value(const qg_table *table, const qg_corners *corners) {
    return qg_sum(qg_numbers(table, QG_T_VALUE), 1, 0, corners);
}

/* The offset of a flow: bid = reference price - offset, ask = reference price + offset. NaN: off. */
QG_INLINE double qg_offset(const qg_table *table, const qg_corners *corners, int flow) {
    if (corners->near_limit) { /* a fill must not leave the limits from the inventory that was given */
        int asset = qg_flow_asset(table, flow);
        const qg_axis *axis = &table->axis[table->axis_count - table->asset_count + asset];
        double after =
            corners->inventory[asset] + (double)(qg_flow_side(table, flow) * qg_flow_size(table, flow));
        if (axis->nodes[0] - after > 1e-9 || after - axis->nodes[axis->count - 1] > 1e-9) return NAN;
    }
    return qg_sum(qg_numbers(table, QG_T_OFFSET), table->flow_count, flow, corners);
}

/* Units of the asset per time, + buys; NaN where the table has no hedging. */
static inline double qg_hedge_rate(const qg_table *table, const qg_corners *corners, int asset) {
    const double *numbers = qg_numbers(table, QG_T_HEDGE_RATE);
    return numbers ? qg_sum(numbers, table->asset_count, asset, corners) : NAN;
}

/* Lots to trade at once, + buys; NaN where the table has no market orders. */
static inline double qg_market_order(const qg_table *table, const qg_corners *corners, int asset) {
    const double *numbers = qg_numbers(table, QG_T_MARKET_ORDER);
    return numbers ? qg_sum(numbers, table->asset_count, asset, corners) : NAN;
}

/* ---- shifts: to first order in changes h of the parameters, and what that leaves out ---------- */

/* Σ h_i d_i and (Σ |h_i| sqrt(½|c_i|))² of a number that has `row` to a state. */
static inline double qg_shift(const qg_table *table, const qg_corners *corners, qg_tensor_id slopes,
                              qg_tensor_id bends, int64_t row, int64_t column, const double *changes,
                              double *error) {
    double moved = 0.0, left_out = 0.0;
    for (int i = 0; i < table->parameter_count; i++) {
        const double *slope = qg_numbers(table, slopes) + i * table->states * row;
        const double *bend = qg_numbers(table, bends) + i * table->states * row;
        moved += qg_times(changes[i], qg_sum(slope, row, column, corners));
        left_out += qg_times(fabs(changes[i]), sqrt(qg_times(0.5, fabs(qg_sum(bend, row, column, corners)))));
    }
    *error = qg_times(left_out, left_out);
    return moved;
}

/* The value after changes of all parameters, one finite number each; NaN without sensitivities. */
static inline double qg_shifted_value(const qg_table *table, const qg_corners *corners, const double *changes,
                                      double *error) {
    *error = NAN;
    if (!table->tensor[QG_T_PARAMETER].data) return NAN;
    return qg_value(table, corners) +
           qg_shift(table, corners, QG_T_VALUE_SENSITIVITY, QG_T_VALUE_CURVATURE, 1, 0, changes, error);
}

/* An offset after such changes, stopped at its bounds. An error of NaN: nothing is said of it. */
static inline double qg_shifted_offset(const qg_table *table, const qg_corners *corners, int flow,
                                       const double *changes, double *error) {
    *error = NAN;
    if (!table->tensor[QG_T_PARAMETER].data) return NAN;
    const double *bound = qg_numbers(table, QG_T_OFFSET_BOUND) + 2 * flow;
    const int64_t *parameter = qg_integers(table, QG_T_OFFSET_BOUND_PARAMETER) + 2 * flow;
    double low = bound[0], high = bound[1], left_out;
    if (parameter[0] >= 0) low += changes[parameter[0]];
    if (parameter[1] >= 0) high += changes[parameter[1]];
    double moved = qg_offset(table, corners, flow) + qg_shift(table, corners, QG_T_OFFSET_SENSITIVITY,
                                                              QG_T_OFFSET_CURVATURE, table->flow_count, flow,
                                                              changes, &left_out);
    int said = low <= moved && moved <= high;
    const int64_t *hold = qg_integers(table, QG_T_OFFSET_HOLD) + corners->first * table->flow_count + flow;
    for (int c = 0; c < corners->count; c++) said &= hold[corners->state[c] * table->flow_count] == 0;
    if (said) *error = left_out;
    if (moved < low) moved = low;
    return moved > high ? high : moved;
}

/* The gain after such changes; NaN where there is none. */
static inline double qg_shifted_gain(const qg_table *table, const double *changes, double *error) {
    *error = NAN;
    if (!table->tensor[QG_T_GAIN_SENSITIVITY].data) return NAN;
    double moved = 0.0, left_out = 0.0;
    for (int i = 0; i < table->parameter_count; i++) {
        double bend = qg_numbers(table, QG_T_GAIN_CURVATURE)[i];
        moved += qg_times(changes[i], qg_numbers(table, QG_T_GAIN_SENSITIVITY)[i]);
        left_out += qg_times(fabs(changes[i]), sqrt(qg_times(0.5, fabs(bend))));
    }
    *error = qg_times(left_out, left_out);
    return qg_gain(table) + moved;
}

/* ---- prices, or a refusal (FORMAT.md §9) ----------------------------------------------------- */

typedef enum qg_rounding { QG_OUTWARD, QG_INWARD } qg_rounding;

typedef struct qg_guarded_quoter {
    const qg_table *table;
    qg_rules
        rules; /* outside: of time, factors and parameters; inventories beyond get the reducing side alone */
    qg_rounding rounding;
    int post_only; /* prices never meet the other side of the book */
    double tick[QG_MAX_AXES];
} qg_guarded_quoter;

/* What is known when prices are asked for; one number for each asset. */
typedef struct qg_moment {
    double now; /* Unix seconds; of no account where the table has no start */
    qg_state state;
    const double *reference;
    const double *best_bid, *best_ask; /* of the live book: -∞, +∞ or NULL where there is none */
} qg_moment;

typedef struct qg_price {
    int64_t ticks;
    double price; /* ticks · tick; NaN: not quoted */
} qg_price;

#define QG_LARGEST_TICK 1e290 /* price units; of larger ones some prices are no doubles */

/* Load a quoter: symbols and ticks of all assets, in the order of the table. */
static inline qg_error qg_guard(qg_guarded_quoter *quoter, const qg_table *table, int assets,
                                const char *const *symbols, const double *ticks, qg_rules rules,
                                qg_rounding rounding, int post_only) {
    quoter->table = table;
    quoter->rules = rules;
    quoter->rounding = rounding;
    quoter->post_only = post_only;
    for (int i = 0; i < QG_MAX_AXES; i++) quoter->tick[i] = NAN; /* a quoter that is refused finds no price */
    if (assets != table->asset_count || !symbols) return QG_WRONG_SYMBOL;
    for (int i = 0; i < assets; i++)
        if (!symbols[i] || strcmp(symbols[i], qg_symbol(table, i)) != 0) return QG_WRONG_SYMBOL;
    if (!ticks) return QG_WRONG_TICK;
    for (int i = 0; i < assets; i++) {
        if (!(ticks[i] > 0.0 && ticks[i] <= QG_LARGEST_TICK)) return QG_WRONG_TICK;
        quoter->tick[i] = ticks[i];
    }
    return QG_OK;
}

#define QG_MOST_TICKS 1125899906842624.0 /* 2^50 */

/* The tick itself if a price of u ticks is on one, else the next one up or down. */
static inline double qg_whole(double u, int up) {
    double below = floor(u);
    if (u - below <= 1e-6) return below;
    if ((below + 1.0) - u <= 1e-6) return below + 1.0;
    return up ? below + 1.0 : below;
}

/* Is the table alive, and the market one that it is meant for? */
static inline qg_error qg_check_moment(const qg_table *table, const qg_moment *moment) {
    const double *start = qg_numbers(table, QG_T_START), *life = qg_numbers(table, QG_T_LIFE);
    const double *box = qg_numbers(table, QG_T_PRICE_BOX);
    if (start) {
        if (!isfinite(moment->now)) return QG_NOT_A_NUMBER;
        if (moment->now < *start) return QG_TOO_EARLY;
        if (life && moment->now - *start > *life) return QG_EXPIRED;
    }
    if (!moment->reference || !moment->state.inventory) return QG_WRONG_COORDINATES;
    for (int i = 0; i < table->asset_count; i++) {
        double price = moment->reference[i];
        double bid = moment->best_bid ? moment->best_bid[i] : -HUGE_VAL;
        double ask = moment->best_ask ? moment->best_ask[i] : HUGE_VAL;
        if (!isfinite(price) || isnan(bid) || isnan(ask)) return QG_NOT_A_NUMBER;
        if (box && (price < box[2 * i] || price > box[2 * i + 1])) return QG_OUTSIDE_PRICE_BOX;
        if (!(bid < ask)) return QG_CROSSED_MARKET;
    }
    return QG_OK;
}

/* Inventories inside the box, and for each 1 if it was above, -1 if below, 0 if inside. */
static inline qg_error qg_within_limits(const qg_table *table, const double *inventory, double *lots,
                                        int *beyond) {
    for (int i = 0; i < table->asset_count; i++) {
        const qg_axis *axis = &table->axis[table->axis_count - table->asset_count + i];
        if (!isfinite(inventory[i])) return QG_NOT_A_NUMBER;
        beyond[i] = axis->low - inventory[i] > 1e-9 ? -1 : inventory[i] - axis->high > 1e-9 ? 1 : 0;
        lots[i] = beyond[i] < 0 ? axis->low : beyond[i] > 0 ? axis->high : inventory[i];
    }
    return QG_OK;
}

/* Put the prices of an asset, in ticks so far, on whole ticks; outward where inward would make them meet. */
static inline qg_error qg_round_asset(const qg_guarded_quoter *quoter, int asset, qg_price *prices) {
    const qg_table *table = quoter->table;
    for (int outward = quoter->rounding == QG_OUTWARD;; outward = 1) {
        double bid = -HUGE_VAL, ask = HUGE_VAL;
        for (int f = 0; f < table->flow_count; f++) {
            if (qg_flow_asset(table, f) != asset || isnan(prices[f].price)) continue;
            int is_ask = qg_flow_side(table, f) < 0;
            double whole = qg_whole(prices[f].price, is_ask == outward);
            prices[f].ticks = (int64_t)whole;
            if (is_ask && whole < ask) ask = whole;
            if (!is_ask && whole > bid) bid = whole;
        }
        if (bid < ask) return QG_OK;
        if (outward) return QG_CROSSED_QUOTES;
    }
}

/* No price goes through the best price of the other side, nor, post-only, meets it. */
static inline int64_t qg_in_book(int64_t ticks, int side, double other, double tick, int post_only) {
    double u = other / tick;
    if (!(fabs(u) <= QG_MOST_TICKS)) return ticks;
    double limit = qg_whole(u, side < 0);
    if (post_only && qg_whole(u, side > 0) == limit) limit -= side;
    if (side > 0) return ticks < (int64_t)limit ? ticks : (int64_t)limit;
    return ticks > (int64_t)limit ? ticks : (int64_t)limit;
}

static inline qg_error qg_find_prices(const qg_guarded_quoter *quoter, const qg_moment *moment,
                                      qg_price *prices) {
    const qg_table *table = quoter->table;
    double lots[QG_MAX_AXES];
    int beyond[QG_MAX_AXES];
    qg_state state = moment->state;
    qg_corners corners;
    qg_error error;
    if ((error = qg_check_moment(table, moment)) ||
        (error = qg_within_limits(table, state.inventory, lots, beyond)))
        return error;
    state.inventory = lots;
    if ((error = qg_look_up(table, quoter->rules, &state, &corners))) return error;
    for (int f = 0; f < table->flow_count; f++) {
        int asset = qg_flow_asset(table, f), side = qg_flow_side(table, f);
        double offset = qg_offset(table, &corners, f), price = moment->reference[asset];
        if (isnan(offset) || side * beyond[asset] > 0) continue;
        prices[f].price = (side > 0 ? price - offset : price + offset) / quoter->tick[asset];
        if (!(fabs(prices[f].price) <= QG_MOST_TICKS)) return QG_NOT_A_NUMBER;
    }
    for (int i = 0; i < table->asset_count; i++)
        if ((error = qg_round_asset(quoter, i, prices))) return error;
    for (int f = 0; f < table->flow_count; f++) {
        int asset = qg_flow_asset(table, f), side = qg_flow_side(table, f);
        const double *other = side > 0 ? moment->best_ask : moment->best_bid;
        if (isnan(prices[f].price)) continue;
        if (other)
            prices[f].ticks =
                qg_in_book(prices[f].ticks, side, other[asset], quoter->tick[asset], quoter->post_only);
        prices[f].price = (double)prices[f].ticks * quoter->tick[asset];
    }
    return QG_OK;
}

/* The price of every flow, or a refusal, which leaves none. */
static inline qg_error qg_prices(const qg_guarded_quoter *quoter, const qg_moment *moment, qg_price *prices) {
    const qg_price none = {0, NAN};
    for (int f = 0; f < quoter->table->flow_count; f++) prices[f] = none;
    qg_error error = qg_find_prices(quoter, moment, prices);
    for (int f = 0; error && f < quoter->table->flow_count; f++) prices[f] = none;
    return error;
}

/* ---- SHA-256 (FIPS 180-4) -------------------------------------------------------------------- */

typedef struct qg_sha256 {
    uint32_t h[8];
    uint64_t length;
    unsigned char block[64];
} qg_sha256;

static inline uint32_t qg_rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static const uint32_t qg_sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* One block of 64 bytes. */
static inline void qg_sha256_block(uint32_t h[8], const unsigned char *block) {
    uint32_t w[64];
    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
               (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = qg_rotate(w[t - 15], 7) ^ qg_rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = qg_rotate(w[t - 2], 17) ^ qg_rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], i = h[7];
    for (int t = 0; t < 64; t++) {
        uint32_t s1 = qg_rotate(e, 6) ^ qg_rotate(e, 11) ^ qg_rotate(e, 25);
        uint32_t t1 = i + s1 + ((e & f) ^ (~e & g)) + qg_sha256_k[t] + w[t];
        uint32_t s0 = qg_rotate(a, 2) ^ qg_rotate(a, 13) ^ qg_rotate(a, 22);
        uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        i = g, g = f, f = e, e = d + t1;
        d = c, c = b, b = a, a = t1 + t2;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d;
    h[4] += e, h[5] += f, h[6] += g, h[7] += i;
}

#ifdef QG_SHA_INSTRUCTIONS
static inline int qg_has_sha_instructions(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) != 0;
}

/* Four rounds with the words in `w0`, of which then come those sixteen further on. */
#define QG_SHA_ROUNDS(w0, w1, w2, w3, t)                                                                     \
    do {                                                                                                     \
        const __m128i k = _mm_loadu_si128((const __m128i *)(const void *)(qg_sha256_k + (t)));               \
        const __m128i wk = _mm_add_epi32(w0, k);                                                             \
        high = _mm_sha256rnds2_epu32(high, low, wk); /* of two rounds: what was low is high, and so on */    \
        low = _mm_sha256rnds2_epu32(low, high, _mm_shuffle_epi32(wk, 14));                                   \
        w0 = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));                        \
        w0 = _mm_sha256msg2_epu32(w0, w3);                                                                   \
    } while (0)

/* Many blocks, by the instructions that x86 processors have for it: several times as fast. */
__attribute__((target("sha,sse4.1,ssse3"))) static inline void
qg_sha256_fast(uint32_t h[8], const unsigned char *block, size_t count) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203); /* big endian */
    __m128i low = _mm_set_epi32((int)h[0], (int)h[1], (int)h[4], (int)h[5]);      /* a, b, e, f */
    __m128i high = _mm_set_epi32((int)h[2], (int)h[3], (int)h[6], (int)h[7]);     /* c, d, g, h */
    uint32_t ends[8];
    for (; count; count--, block += 64) {
        const __m128i low_before = low, high_before = high, *words = (const __m128i *)(const void *)block;
        __m128i w0 = _mm_shuffle_epi8(_mm_loadu_si128(words), order);
        __m128i w1 = _mm_shuffle_epi8(_mm_loadu_si128(words + 1), order);
        __m128i w2 = _mm_shuffle_epi8(_mm_loadu_si128(words + 2), order);
        __m128i w3 = _mm_shuffle_epi8(_mm_loadu_si128(words + 3), order);
        for (int t = 0; t < 64; t += 16) {
            QG_SHA_ROUNDS(w0, w1, w2, w3, t);
            QG_SHA_ROUNDS(w1, w2, w3, w0, t + 4);
            QG_SHA_ROUNDS(w2, w3, w0, w1, t + 8);
            QG_SHA_ROUNDS(w3, w0, w1, w2, t + 12);
        }
        low = _mm_add_epi32(low, low_before);
        high = _mm_add_epi32(high, high_before);
    }
    _mm_storeu_si128((__m128i *)(void *)ends, low);
    _mm_storeu_si128((__m128i *)(void *)(ends + 4), high);
    h[0] = ends[3], h[1] = ends[2], h[4] = ends[1], h[5] = ends[0];
    h[2] = ends[7], h[3] = ends[6], h[6] = ends[5], h[7] = ends[4];
}
#undef QG_SHA_ROUNDS
#endif

static inline void qg_sha256_blocks(uint32_t h[8], const unsigned char *block, size_t count) {
#ifdef QG_SHA_INSTRUCTIONS
    if (count > 1 && qg_has_sha_instructions()) {
        qg_sha256_fast(h, block, count);
        return;
    }
#endif
    for (; count; count--, block += 64) qg_sha256_block(h, block);
}

static inline void qg_sha256_add(qg_sha256 *sha, const void *data, size_t size) {
    const unsigned char *at = (const unsigned char *)data;
    while (size) {
        size_t held = (size_t)(sha->length % 64), taken = 64 - held < size ? 64 - held : size;
        if (taken == 64) {
            taken = size - size % 64;
            qg_sha256_blocks(sha->h, at, taken / 64);
        } else {
            memcpy(sha->block + held, at, taken);
            if (held + taken == 64) qg_sha256_block(sha->h, sha->block);
        }
        sha->length += taken;
        at += taken;
        size -= taken;
    }
}

/* Does the file hash to the digits that stand in it, with these set to 0? */
static inline int qg_hash_fits(const unsigned char *bytes, size_t size) {
    static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    unsigned char zeros[64], bits[8], end[72] = {0x80};
    qg_sha256 sha;
    memset(&sha, 0, sizeof sha);
    memcpy(sha.h, first, sizeof first);
    memset(zeros, '0', sizeof zeros);
    qg_sha256_add(&sha, bytes, 57);
    qg_sha256_add(&sha, zeros, 64);
    qg_sha256_add(&sha, bytes + 121, size - 121);
    for (int i = 0; i < 8; i++) bits[i] = (unsigned char)(8 * sha.length >> (56 - 8 * i));
    qg_sha256_add(&sha, end, (size_t)(64 - (sha.length + 8) % 64));
    qg_sha256_add(&sha, bits, 8);
    for (int i = 0; i < 64; i++)
        if (bytes[57 + i] != "0123456789abcdef"[sha.h[i / 8] >> (28 - 4 * (i % 8)) & 15]) return 0;
    return 1;
}

/* ---- reading the header (FORMAT.md §2) ------------------------------------------------------- */

typedef struct qg_cursor {
    const char *at, *end;
} qg_cursor;

/* Is this text next? If so, go behind it. */
static inline int qg_next(qg_cursor *cursor, const char *text) {
    size_t length = strlen(text);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, text, length) != 0) return 0;
    cursor->at += length;
    return 1;
}

/* Plain digits without leading zeros, at most 16 of them. */
static inline int qg_digits(qg_cursor *cursor, int64_t *number) {
    const char *first = cursor->at;
    *number = 0;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        if (cursor->at - first == 16) return 0;
        *number = 10 * *number + (*cursor->at++ - '0');
    }
    return cursor->at - first > 0 && (*first != '0' || cursor->at - first == 1);
}

/* A word of at most `most` characters of one kind: a-z or A-Z, digits, underscores. */
static inline int qg_token(qg_cursor *cursor, char letter, int most, const char **text, size_t *length) {
    *text = cursor->at;
    while (cursor->at < cursor->end) {
        char c = *cursor->at;
        if (!((c >= letter && c < letter + 26) || (c >= '0' && c <= '9') || c == '_')) break;
        cursor->at++;
    }
    *length = (size_t)(cursor->at - *text);
    return *length >= 1 && *length <= (size_t)most;
}

/* The text of the metadata: printable ASCII in which " and \ have a \ before them. */
static inline int qg_metadata_text(qg_table *table, qg_cursor *cursor) {
    table->metadata = cursor->at;
    for (; cursor->at < cursor->end && *cursor->at != '"'; cursor->at++) {
        if (*cursor->at < 32 || *cursor->at > 126) return 0;
        if (*cursor->at != '\\') continue;
        cursor->at++;
        if (cursor->at == cursor->end || (*cursor->at != '"' && *cursor->at != '\\')) return 0;
    }
    table->metadata_size = (size_t)(cursor->at - table->metadata);
    return qg_next(cursor, "\"}");
}

/* One tensor of the header; `end` is where the last one ended and comes back as where this one does. */
static inline qg_error qg_entry(qg_table *table, qg_cursor *cursor, const unsigned char *data, int64_t room,
                                int64_t *end, int *last) {
#define QG_AS_TEXT(NAME, name) name,
    static const char *const names[] = {QG_TENSORS(QG_AS_TEXT) ""};
#undef QG_AS_TEXT
    const char *name, *dtype;
    size_t name_length, dtype_length;
    int64_t shape[QG_MAX_RANK], size, begin, behind, items = 1, numbers = 1;
    int rank = 0, too_many = 0, id = 0;
    if (!qg_token(cursor, 'a', 64, &name, &name_length) || !qg_next(cursor, "\":{\"dtype\":\"") ||
        !qg_token(cursor, 'A', 8, &dtype, &dtype_length) || !qg_next(cursor, "\",\"shape\":["))
        return QG_HEADER_FORM;
    if (!qg_next(cursor, "]")) {
        do {
            if (!qg_digits(cursor, &size)) return QG_HEADER_FORM;
            int64_t counted = size ? size : 1;
            if (rank == QG_MAX_RANK || counted > ((int64_t)1 << 48) / items) {
                too_many = 1;
                continue;
            }
            items *= counted;
            numbers *= size;
            shape[rank++] = size;
        } while (qg_next(cursor, ","));
        if (!qg_next(cursor, "]")) return QG_HEADER_FORM;
    }
    if (!qg_next(cursor, ",\"data_offsets\":[") || !qg_digits(cursor, &begin) || !qg_next(cursor, ",") ||
        !qg_digits(cursor, &behind) || !qg_next(cursor, "]}"))
        return QG_HEADER_FORM;
    if (dtype_length != 3 || (memcmp(dtype, "F64", 3) != 0 && memcmp(dtype, "I64", 3) != 0))
        return QG_TENSOR_DTYPE;
    if (too_many) return QG_TENSOR_SHAPE;
    if (behind - begin != 8 * numbers) return QG_TENSOR_SIZE;
    if (begin != *end) return QG_TENSOR_OFFSETS;
    if (behind > room) return QG_DATA_TOO_SHORT;
    while (id < QG_TENSOR_COUNT &&
           (strlen(names[id]) != name_length || memcmp(names[id], name, name_length) != 0))
        id++;
    if (id == QG_TENSOR_COUNT) return QG_TENSOR_UNKNOWN;
    if (id <= *last) return QG_TENSOR_ORDER;
    qg_tensor *tensor = &table->tensor[id];
    tensor->data = data + begin;
    tensor->type = *dtype;
    tensor->rank = rank;
    memcpy(tensor->shape, shape, (size_t)rank * sizeof shape[0]);
    *end = behind;
    *last = id;
    return QG_OK;
}

static inline qg_error qg_read_header(qg_table *table) {
    static const char start[] = "{\"__metadata__\":{\"quotegrid\":\"";
    size_t size = table->size;
    uint64_t length = 0;
    if (size < 8) return QG_FILE_TOO_SHORT;
    for (int i = 7; i >= 0; i--) length = length << 8 | table->bytes[i];
    if (length > 100000000) return QG_HEADER_TOO_LARGE;
    if (8 + length > size) return QG_HEADER_TOO_LONG;
    if ((8 + length) % 64) return QG_DATA_ALIGNMENT;
    qg_cursor cursor = {(const char *)table->bytes + 8, (const char *)table->bytes + 8 + length};
    const unsigned char *data = table->bytes + 8 + length;
    int64_t room = (int64_t)(size - 8 - length), end = 0;
    if (!qg_next(&cursor, start)) return QG_METADATA_ENTRY;
    if (!qg_next(&cursor, "1\"")) return QG_FORMAT_VERSION;
    if (!qg_next(&cursor, ",\"content_hash\":\"")) return QG_HEADER_FORM;
    for (int i = 0; i < 64; i++, cursor.at++)
        if (cursor.at == cursor.end ||
            !((*cursor.at >= '0' && *cursor.at <= '9') || (*cursor.at >= 'a' && *cursor.at <= 'f')))
            return QG_HEADER_FORM;
    if (!qg_next(&cursor, "\",\"metadata\":\"") || !qg_metadata_text(table, &cursor)) return QG_HEADER_FORM;
    int last = -1;
    while (qg_next(&cursor, ",\"")) {
        qg_error error = qg_entry(table, &cursor, data, room, &end, &last);
        if (error) return error;
    }
    if (!qg_next(&cursor, "}")) return QG_HEADER_FORM;
    while (qg_next(&cursor, " ")) continue;
    if (cursor.at != cursor.end) return QG_HEADER_FORM;
    return end == room ? QG_OK : QG_DATA_TOO_LONG;
}

/* ---- what fits together (FORMAT.md §3) ------------------------------------------------------- */

/* A tensor that must be there, of this type and number of axes. */
static inline qg_error qg_need(const qg_table *table, int id, char type, int rank) {
    const qg_tensor *tensor = &table->tensor[id];
    if (!tensor->data) return QG_TENSOR_MISSING;
    return tensor->type == type && tensor->rank == rank ? QG_OK : QG_TENSOR_TYPE;
}

static inline qg_error qg_may(const qg_table *table, int id, char type, int rank) {
    return table->tensor[id].data ? qg_need(table, id, type, rank) : QG_OK;
}

/* Is this UTF-8 (shortest form, no surrogates) without control characters, ended by zeros alone? */
static inline int qg_is_word(const unsigned char *text, int64_t width) {
    int64_t i = 0;
    while (i < width && text[i]) {
        unsigned char c = text[i];
        int more = c < 0x80                ? 0
                   : c >= 0xc2 && c < 0xe0 ? 1
                   : c >= 0xe0 && c < 0xf0 ? 2
                   : c >= 0xf0 && c < 0xf5 ? 3
                                           : -1;
        if (more < 0 || c < 32 || i + more >= width) return 0;
        for (int k = 1; k <= more; k++)
            if ((text[i + k] & 0xc0) != 0x80) return 0;
        if ((c == 0xe0 && text[i + 1] < 0xa0) || (c == 0xed && text[i + 1] >= 0xa0)) return 0;
        if ((c == 0xf0 && text[i + 1] < 0x90) || (c == 0xf4 && text[i + 1] >= 0x90)) return 0;
        i += 1 + more;
    }
    if (i == 0 || i == width) return 0;
    for (; i < width; i++)
        if (text[i]) return 0;
    return 1;
}

/* Words: their form, that they are names without . and /, that they differ. */
static inline qg_error qg_check_words(const qg_table *table, qg_tensor_id id, int names, int different) {
    qg_error error = qg_need(table, id, 'I', 2);
    if (error) return error;
    const qg_tensor *t = &table->tensor[id];
    if (t->shape[1] < 1 || t->shape[1] > 32) return QG_WORD_FORM;
    for (int64_t row = 0; row < t->shape[0] && row <= QG_MAX_NAMES; row++) {
        const char *word = qg_word(table, id, (int)row);
        if (!qg_is_word((const unsigned char *)word, 8 * t->shape[1])) return QG_WORD_FORM;
        if (names && strpbrk(word, "./")) return QG_NAME_FORM;
        for (int64_t other = 0; different && other < row; other++)
            if (strcmp(word, qg_word(table, id, (int)other)) == 0) return QG_NAME_REPEATED;
    }
    return QG_OK;
}

/* How many numbered axes of one kind there are, each with its form. */
static inline qg_error qg_count_axes(const qg_table *table, qg_tensor_id first, int *count) {
    int holes = 0;
    *count = 0;
    for (int i = 0; i < QG_MAX_AXES; i++) {
        if (!table->tensor[first + i].data) {
            holes = 1;
            continue;
        }
        if (holes) return QG_TENSOR_MISSING;
        qg_error error = qg_need(table, first + i, 'F', 1);
        if (error) return error;
        ++*count;
    }
    return QG_OK;
}

/* Put an axis behind those already there. */
static inline qg_error qg_add_axis(qg_table *table, int id, int is_inventory) {
    const qg_tensor *tensor = &table->tensor[id];
    qg_axis *axis = &table->axis[table->axis_count++];
    axis->nodes = (const double *)tensor->data;
    axis->count = tensor->shape[0];
    if (axis->count < 1) return QG_AXIS_ORDER;
    for (int64_t i = 0; i < axis->count; i++)
        if (!(fabs(axis->nodes[i]) <= 1e300) || (i && !(axis->nodes[i - 1] < axis->nodes[i])))
            return QG_AXIS_ORDER;
    axis->low = axis->nodes[0];
    axis->high = axis->nodes[axis->count - 1];
    axis->first = axis->low;
    axis->steps = (double)(axis->count - 1);
    axis->nodes_per_unit = axis->count > 1 ? axis->steps / (axis->high - axis->low) : 0.0;
    axis->snap = is_inventory ? 1e-9 : qg_times(1e-9, axis->high - axis->low);
    return QG_OK;
}

static inline qg_error qg_check_axes(qg_table *table) {
    qg_error error;
    if ((error = qg_may(table, QG_T_TIME, 'F', 1))) return error;
    table->time_count = table->tensor[QG_T_TIME].data != NULL;
    if ((error = qg_count_axes(table, QG_T_FACTOR_0, &table->factor_count))) return error;
    if ((error = qg_count_axes(table, QG_T_PARAMETER_AXIS_0, &table->parameter_axis_count))) return error;
    if ((error = qg_count_axes(table, QG_T_INVENTORY_0, &table->asset_count))) return error;
    const qg_tensor *named[2] = {&table->tensor[QG_T_FACTOR_NAME], &table->tensor[QG_T_PARAMETER_AXIS_NAME]};
    const int counts[2] = {table->factor_count, table->parameter_axis_count};
    for (int kind = 0; kind < 2; kind++) {
        if (!named[kind]->data && !counts[kind]) continue;
        if ((error = qg_check_words(table, kind ? QG_T_PARAMETER_AXIS_NAME : QG_T_FACTOR_NAME, !kind, 1)))
            return error;
        if (named[kind]->shape[0] != counts[kind]) return QG_AXIS_COUNT;
    }
    if (table->time_count + table->factor_count + table->parameter_axis_count + table->asset_count >
        QG_MAX_AXES)
        return QG_AXIS_COUNT;
    if (table->asset_count < 1) return QG_ASSET_COUNT;
    if (table->time_count && (error = qg_add_axis(table, QG_T_TIME, 0))) return error;
    for (int i = 0; i < table->factor_count; i++)
        if ((error = qg_add_axis(table, QG_T_FACTOR_0 + i, 0))) return error;
    for (int i = 0; i < table->parameter_axis_count; i++)
        if ((error = qg_add_axis(table, QG_T_PARAMETER_AXIS_0 + i, 0))) return error;
    for (int i = 0; i < table->asset_count; i++)
        if ((error = qg_add_axis(table, QG_T_INVENTORY_0 + i, 1))) return error;
    if (table->tensor[QG_T_REGIME].data) {
        if ((error = qg_check_words(table, QG_T_REGIME, 1, 1))) return error;
        table->regime_count = table->tensor[QG_T_REGIME].shape[0];
        if (table->regime_count < 1 || table->regime_count > QG_MAX_NAMES) return QG_REGIME_COUNT;
    }
    return QG_OK;
}

static inline qg_error qg_check_assets(qg_table *table) {
    qg_error error;
    if ((error = qg_need(table, QG_T_LOT_SIZES, 'F', 1))) return error;
    if ((error = qg_check_words(table, QG_T_UNIT, 0, 0))) return error;
    if (table->tensor[QG_T_UNIT].shape[0] != 2) return QG_TABLE_SHAPE;
    if ((error = qg_check_words(table, QG_T_SYMBOL, 1, 1))) return error;
    int64_t assets = table->asset_count;
    if (table->tensor[QG_T_SYMBOL].shape[0] != assets || table->tensor[QG_T_LOT_SIZES].shape[0] != assets)
        return QG_ASSET_COUNT;
    for (int64_t i = 0; i < assets; i++) {
        double size = qg_numbers(table, QG_T_LOT_SIZES)[i];
        if (!(size > 0.0 && size <= DBL_MAX)) return QG_LOT_SIZE;
    }
    return QG_OK;
}

/* Where and when the table holds. */
static inline qg_error qg_check_validity(qg_table *table) {
    qg_error error;
    const double *box = qg_numbers(table, QG_T_BOX), *price = qg_numbers(table, QG_T_REFERENCE);
    const double *prices = qg_numbers(table, QG_T_PRICE_BOX);
    const double *start = qg_numbers(table, QG_T_START), *life = qg_numbers(table, QG_T_LIFE);
    if ((error = qg_may(table, QG_T_BOX, 'F', 2)) || (error = qg_may(table, QG_T_REFERENCE, 'F', 1)) ||
        (error = qg_may(table, QG_T_PRICE_BOX, 'F', 2)) || (error = qg_may(table, QG_T_START, 'F', 0)) ||
        (error = qg_may(table, QG_T_LIFE, 'F', 0)))
        return error;
    if (box &&
        (table->tensor[QG_T_BOX].shape[0] != table->axis_count || table->tensor[QG_T_BOX].shape[1] != 2))
        return QG_TABLE_SHAPE;
    for (int i = 0; box && i < table->axis_count; i++) {
        qg_axis *axis = &table->axis[i];
        double low = box[2 * i], high = box[2 * i + 1];
        if (!(axis->low <= low && low <= high && high <= axis->high)) return QG_BOX_FORM;
        axis->low = low;
        axis->high = high;
        if (i >= table->axis_count - table->asset_count &&
            (axis->nodes[qg_node_below(axis, low)] != low || axis->nodes[qg_node_below(axis, high)] != high))
            return QG_BOX_FORM;
    }
    if (price && table->tensor[QG_T_REFERENCE].shape[0] != table->asset_count) return QG_TABLE_SHAPE;
    if (prices && (table->tensor[QG_T_PRICE_BOX].shape[0] != table->asset_count ||
                   table->tensor[QG_T_PRICE_BOX].shape[1] != 2))
        return QG_TABLE_SHAPE;
    for (int i = 0; i < table->asset_count; i++) {
        if (price && !isfinite(price[i])) return QG_REFERENCE_PRICE;
        if (!prices) continue;
        double low = prices[2 * i], high = prices[2 * i + 1], middle = price ? price[i] : low;
        if (!(-DBL_MAX <= low && low <= middle && middle <= high && high <= DBL_MAX))
            return QG_REFERENCE_PRICE;
    }
    if ((life && !start) || (start && !isfinite(*start)) || (life && !(*life > 0.0 && *life <= DBL_MAX)))
        return QG_LIFE_TIME;
    return QG_OK;
}

static inline qg_error qg_check_flows(qg_table *table) {
    qg_error error = qg_check_words(table, QG_T_FLOW_NAME, 1, 0);
    if (error) return error;
    int64_t count = table->tensor[QG_T_FLOW_NAME].shape[0];
    for (int id = QG_T_FLOW_SIDES; id <= QG_T_FLOW_ASSETS; id++) {
        if ((error = qg_need(table, id, 'I', 1))) return error;
        if (table->tensor[id].shape[0] != count) return QG_FLOW_COUNT;
    }
    if (count > QG_MAX_NAMES) return QG_FLOW_COUNT;
    const int64_t *side = qg_integers(table, QG_T_FLOW_SIDES), *size = qg_integers(table, QG_T_FLOW_SIZES);
    const int64_t *asset = qg_integers(table, QG_T_FLOW_ASSETS);
    for (int64_t i = 0; i < count; i++) {
        if (side[i] != 1 && side[i] != -1) return QG_FLOW_SIDE;
        if (size[i] < 1 || size[i] > (int64_t)1 << 53) return QG_FLOW_SIZE;
        if (asset[i] < 0 || asset[i] >= table->asset_count) return QG_FLOW_ASSET;
        for (int64_t j = 0; j < i; j++)
            if (side[i] == side[j] && asset[i] == asset[j] &&
                strcmp(qg_flow_name(table, (int)i), qg_flow_name(table, (int)j)) == 0)
                return QG_FLOW_REPEATED;
    }
    table->flow_count = (int)count;
    return QG_OK;
}

/* What lookups need not find out again: the coordinates of a state, and where no fill leaves the limits. */
static inline void qg_prepare(qg_table *table) {
    int64_t most = 0;
    for (int f = 0; f < table->flow_count; f++)
        if (qg_flow_size(table, f) > most) most = qg_flow_size(table, f);
    for (int i = table->axis_count - table->asset_count; i < table->axis_count; i++) {
        qg_axis *axis = &table->axis[i];
        double first = axis->nodes[0], last = axis->nodes[axis->count - 1], lots = (double)most;
        /* sums are rounded, but never past each other: what holds here holds for all between and all smaller fills */
        axis->free_low = first + lots;
        axis->free_high = last - lots;
        if (first - (axis->free_low - lots) > 1e-9 || (axis->free_high + lots) - last > 1e-9)
            axis->free_low = HUGE_VAL;
    }
    table->asked = (table->time_count ? QG_GIVES_TIME : 0) | (table->regime_count ? QG_GIVES_REGIME : 0) |
                   (table->factor_count ? QG_GIVES_FACTOR : 0) |
                   (table->parameter_axis_count ? QG_GIVES_PARAMETER : 0) | QG_GIVES_INVENTORY;
}

/* Has a tensor the shape [before?, states, after?]; -1 for a size that is not there. */
static inline qg_error qg_check_shape(const qg_table *table, int id, char type, const int64_t *lattice,
                                      int rank, int64_t before, int64_t after) {
    const qg_tensor *tensor = &table->tensor[id];
    if (!tensor->data) return QG_TENSOR_MISSING;
    if (tensor->type != type) return QG_TENSOR_TYPE;
    int first = before >= 0;
    if (tensor->rank != first + rank + (after >= 0)) return QG_TABLE_SHAPE;
    if (first && tensor->shape[0] != before) return QG_TABLE_SHAPE;
    if (after >= 0 && tensor->shape[first + rank] != after) return QG_TABLE_SHAPE;
    for (int i = 0; i < rank; i++)
        if (tensor->shape[first + i] != lattice[i]) return QG_TABLE_SHAPE;
    return QG_OK;
}

/* The shapes of all arrays over the states, and the strides that follow from them. */
static inline qg_error qg_check_arrays(qg_table *table) {
    qg_error error;
    int64_t lattice[QG_MAX_AXES + 1];
    int rank = 0;
    for (int i = 0; i < table->axis_count; i++) {
        if (i == table->time_count && table->regime_count) lattice[rank++] = table->regime_count;
        lattice[rank++] = table->axis[i].count;
    }
    int64_t flows = table->flow_count, assets = table->asset_count, count = 0;
    if ((error = qg_check_shape(table, QG_T_VALUE, 'F', lattice, rank, -1, -1))) return error;
    if ((error = qg_check_shape(table, QG_T_OFFSET, 'F', lattice, rank, -1, flows))) return error;
    for (int id = QG_T_HEDGE_RATE; id <= QG_T_MARKET_ORDER; id++)
        if (table->tensor[id].data && (error = qg_check_shape(table, id, 'F', lattice, rank, -1, assets)))
            return error;
    if ((error = qg_may(table, QG_T_GAIN, 'F', 0))) return error;
    int64_t stride = 1; /* the product is that of value's shape, which the file holds */
    for (int i = table->axis_count - 1; i >= 0; i--) {
        table->axis[i].stride = stride;
        stride *= table->axis[i].count;
        if (i == table->time_count && table->regime_count) {
            table->regime_stride = stride;
            stride *= table->regime_count;
        }
    }
    table->states = stride;
    const int gain = table->tensor[QG_T_GAIN].data != NULL;
    if (!table->tensor[QG_T_PARAMETER].data) {
        for (int id = QG_T_PARAMETER_NAME; id < QG_TENSOR_COUNT; id++)
            if (table->tensor[id].data) return QG_TENSOR_MISSING;
        return QG_OK;
    }
    if ((error = qg_need(table, QG_T_PARAMETER, 'F', 1))) return error;
    if ((error = qg_check_words(table, QG_T_PARAMETER_NAME, 0, 1))) return error;
    count = table->tensor[QG_T_PARAMETER].shape[0];
    if (count > QG_MAX_NAMES || table->tensor[QG_T_PARAMETER_NAME].shape[0] != count)
        return QG_PARAMETER_COUNT;
    table->parameter_count = (int)count;
    for (int id = QG_T_VALUE_SENSITIVITY; id <= QG_T_GAIN_CURVATURE; id++) {
        int of = (id - QG_T_VALUE_SENSITIVITY) % 3; /* value, offset, gain; then their curvatures */
        if (of == 2 && !gain && table->tensor[id].data) return QG_TENSOR_MISSING;
        if (of == 2 && !gain) continue;
        if ((error =
                 qg_check_shape(table, id, 'F', lattice, of == 2 ? 0 : rank, count, of == 1 ? flows : -1)))
            return error;
    }
    if ((error = qg_check_shape(table, QG_T_OFFSET_HOLD, 'I', lattice, rank, -1, flows))) return error;
    if ((error = qg_check_shape(table, QG_T_OFFSET_BOUND, 'F', lattice, 0, flows, 2))) return error;
    if ((error = qg_check_shape(table, QG_T_OFFSET_BOUND_PARAMETER, 'I', lattice, 0, flows, 2))) return error;
    for (int64_t i = 0; i < flows; i++) {
        const double *bound = qg_numbers(table, QG_T_OFFSET_BOUND) + 2 * i;
        const int64_t *which = qg_integers(table, QG_T_OFFSET_BOUND_PARAMETER) + 2 * i;
        if (!(bound[0] <= bound[1] && bound[0] <= DBL_MAX && bound[1] >= -DBL_MAX)) return QG_BOUND_FORM;
        if (which[0] < -1 || which[0] >= count || which[1] < -1 || which[1] >= count) return QG_BOUND_FORM;
    }
    return QG_OK;
}

static inline int64_t qg_items(const qg_tensor *tensor) {
    int64_t items = 1;
    for (int i = 0; i < tensor->rank; i++) items *= tensor->shape[i];
    return items;
}

/* What looks at every number of the table. */
static inline qg_error qg_check_numbers(const qg_table *table) {
    const double *offset = qg_numbers(table, QG_T_OFFSET);
    int64_t offsets = qg_items(&table->tensor[QG_T_OFFSET]);
    for (int id = QG_T_VALUE; id <= QG_T_GAIN_CURVATURE; id++) {
        const qg_tensor *tensor = &table->tensor[id];
        if (!tensor->data || tensor->type != 'F') continue;
        const double *numbers = (const double *)tensor->data;
        int64_t items = qg_items(tensor);
        int may_be_off = id == QG_T_OFFSET || id == QG_T_HEDGE_RATE || id == QG_T_MARKET_ORDER;
        int of_offsets = id == QG_T_OFFSET_SENSITIVITY || id == QG_T_OFFSET_CURVATURE;
        for (int64_t i = 0; i < items; i++) {
            if (isinf(numbers[i])) return QG_INFINITE_NUMBER;
            if (may_be_off) continue;
            int off = of_offsets ? isnan(offset[i % offsets]) != 0 : 0;
            if ((isnan(numbers[i]) != 0) != off) return QG_VALUE_MISSING;
        }
    }
    if (!table->tensor[QG_T_PARAMETER].data) return QG_OK;
    for (int64_t i = 0; i < offsets; i++) {
        int64_t hold = qg_integers(table, QG_T_OFFSET_HOLD)[i];
        if (hold < 0 || hold > 2) return QG_HOLD_FORM;
    }
    return QG_OK;
}

static inline qg_error qg_check_hash(const qg_table *table) {
    return qg_hash_fits(table->bytes, table->size) ? QG_OK : QG_CONTENT_HASH;
}

static inline qg_error qg_read(qg_table *table, const void *bytes, size_t size, qg_check check) {
    qg_error error;
    memset(table, 0, sizeof *table);
    table->bytes = (const unsigned char *)bytes;
    table->size = size;
    if ((uintptr_t)bytes % 8) return QG_BYTES_NOT_ALIGNED;
    if ((error = qg_read_header(table)) || (error = qg_check_axes(table)) ||
        (error = qg_check_assets(table)) || (error = qg_check_validity(table)) ||
        (error = qg_check_flows(table)) || (error = qg_check_arrays(table)) ||
        (check != QG_CHECK_HEADER && ((error = qg_check_numbers(table)) || (error = qg_check_hash(table))))) {
        memset(table, 0, sizeof *table); /* a table that is refused answers nothing */
        return error;
    }
    qg_prepare(table);
    return QG_OK;
}

#ifdef __cplusplus
}
#endif

/* ---- mapping a file (POSIX) ------------------------------------------------------------------ */

#ifdef QUOTEGRID_POSIX
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Map a runtime file. It must not be changed in place; publishing a new one renames it over this one. */
static inline qg_error qg_map(const char *path, const void **bytes, size_t *size) {
    struct stat about;
    int file = open(path, O_RDONLY | O_NONBLOCK); /* opening a pipe does not wait for a writer */
    if (file < 0) return QG_FILE_UNREADABLE;
    int known = fstat(file, &about) == 0 && S_ISREG(about.st_mode);
    if (!known || about.st_size < 8) {
        close(file);
        return known ? QG_FILE_TOO_SHORT : QG_FILE_UNREADABLE;
    }
    *size = (size_t)about.st_size;
    void *map = mmap(NULL, *size, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (map == MAP_FAILED) return QG_FILE_UNREADABLE;
    *bytes = map;
    return QG_OK;
}

static inline void qg_unmap(const void *bytes, size_t size) { munmap((void *)(uintptr_t)bytes, size); }
#endif

#endif
