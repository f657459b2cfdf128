/* Hostile files for the Rust reader: `hostile_inputs.c`, with every file, question and moment given to the C reader
   and, through its C ABI, to the Rust reader, which must say the same to the last bit, or the program aborts. Its
   arguments are those of `hostile_inputs.c`; build the Rust side with trace-pc coverage alone, and the search is
   led by the branches of the Rust reader. A panic of the Rust reader aborts as well. */

#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>

#include "quotegrid.h"

int32_t quotegrid_read(const unsigned char *bytes, size_t size, int32_t header_only, void **table);
void quotegrid_free(void *table);
int32_t quotegrid_look_up(const void *table, const int32_t *rules, const double *coordinates, int64_t regime,
                          const double *changes, double *answer);
int32_t quotegrid_prices(const void *table, const int32_t *rules, const double *coordinates, int64_t regime,
                         double now, const double *markets, int64_t *ticks, double *prices);

static void *rust; /* the table that was read last */

static void agree(int good, const char *what, int mine, int theirs) {
    if (good) return;
    fprintf(stderr, "%s: C says %s, Rust %s\n", what, qg_error_name((qg_error)mine), qg_error_name((qg_error)theirs));
    abort();
}

static int same(double a, double b) { return (isnan(a) && isnan(b)) || memcmp(&a, &b, 8) == 0; }

static qg_error read_both(qg_table *table, const unsigned char *bytes, size_t size, qg_check check) {
    qg_error error = qg_read(table, bytes, size, check);
    quotegrid_free(rust);
    int32_t theirs = quotegrid_read(bytes, size, check == QG_CHECK_HEADER, &rust);
    agree((int32_t)error == theirs, "file", error, theirs);
    /* what hostile_inputs.c looks up although it was refused */
    if (error == QG_HOLD_FORM || error == QG_INFINITE_NUMBER || error == QG_VALUE_MISSING || error == QG_CONTENT_HASH)
        agree(quotegrid_read(bytes, size, 1, &rust) == QG_OK, "header", QG_OK, error);
    return error;
}

/* The coordinates of a state, one after the other. */
static void flatten(const qg_table *table, const qg_state *state, double *coordinate) {
    for (int i = 0; i < table->time_count; i++) *coordinate++ = *state->time;
    for (int i = 0; i < table->factor_count; i++) *coordinate++ = state->factor[i];
    for (int i = 0; i < table->parameter_axis_count; i++) *coordinate++ = state->parameter[i];
    for (int i = 0; i < table->asset_count; i++) *coordinate++ = state->inventory[i];
}

static qg_error look_up_both(const qg_table *table, qg_rules rules, const qg_state *state, qg_corners *corners) {
    static double changes[QG_MAX_NAMES], answer[5 + 3 * QG_MAX_NAMES + 2 * QG_MAX_AXES];
    double coordinate[QG_MAX_AXES], left_out;
    const double *next = answer;
    int32_t chosen[2] = {(int32_t)rules.between, (int32_t)rules.outside};
    for (int i = 0; i < table->parameter_count; i++) changes[i] = (double)(i % 5) / 3.0 - 0.7;
    flatten(table, state, coordinate);
    qg_error error = qg_look_up(table, rules, state, corners);
    int32_t theirs = quotegrid_look_up(rust, chosen, coordinate, state->regime ? *state->regime : 0, changes, answer);
    agree((int32_t)error == theirs, "state", error, theirs);
    if (error) return error;
    int good = same(qg_value(table, corners), *next++);
    for (int f = 0; f < table->flow_count; f++) good &= same(qg_offset(table, corners, f), *next++);
    for (int a = 0; a < table->asset_count && qg_numbers(table, QG_T_HEDGE_RATE); a++)
        good &= same(qg_hedge_rate(table, corners, a), *next++);
    for (int a = 0; a < table->asset_count && qg_numbers(table, QG_T_MARKET_ORDER); a++)
        good &= same(qg_market_order(table, corners, a), *next++);
    if (qg_numbers(table, QG_T_PARAMETER)) {
        good &= same(qg_shifted_value(table, corners, changes, &left_out), *next++);
        good &= same(left_out, *next++);
        for (int f = 0; f < table->flow_count; f++) {
            good &= same(qg_shifted_offset(table, corners, f, changes, &left_out), next[f]);
            good &= same(left_out, next[table->flow_count + f]);
        }
        next += 2 * table->flow_count;
        if (qg_numbers(table, QG_T_GAIN)) {
            good &= same(qg_shifted_gain(table, changes, &left_out), *next++);
            good &= same(left_out, *next++);
        }
    }
    agree(good, "numbers", QG_OK, QG_OK);
    return error;
}

static qg_error prices_both(const qg_guarded_quoter *quoter, const qg_moment *moment, qg_price *prices) {
    static int64_t ticks[QG_MAX_NAMES];
    static double worth[QG_MAX_NAMES];
    const qg_table *table = quoter->table;
    double coordinate[QG_MAX_AXES], market[4 * QG_MAX_AXES];
    int32_t chosen[4] = {(int32_t)quoter->rules.between, (int32_t)quoter->rules.outside, (int32_t)quoter->rounding,
                         quoter->post_only};
    flatten(table, &moment->state, coordinate);
    for (int a = 0; a < table->asset_count; a++) {
        market[4 * a] = quoter->tick[a];
        market[4 * a + 1] = moment->reference[a];
        market[4 * a + 2] = moment->best_bid ? moment->best_bid[a] : -HUGE_VAL;
        market[4 * a + 3] = moment->best_ask ? moment->best_ask[a] : HUGE_VAL;
    }
    qg_error error = qg_prices(quoter, moment, prices);
    int32_t theirs = quotegrid_prices(rust, chosen, coordinate, moment->state.regime ? *moment->state.regime : 0,
                                      moment->now, market, ticks, worth);
    agree((int32_t)error == theirs, "moment", error, theirs);
    int good = 1;
    for (int f = 0; f < table->flow_count; f++)
        good &= same(prices[f].price, worth[f]) && prices[f].ticks == ticks[f];
    agree(good, "prices", QG_OK, QG_OK);
    return error;
}

#define qg_read read_both
#define qg_look_up look_up_both
#define qg_prices prices_both
#include "hostile_inputs.c"
