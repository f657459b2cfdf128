/* Tries quotegrid.h on the conformance files of FORMAT.md §8:

       conformance FILE...

   A NAME.vectors or NAME.prices must be answered bit for bit, a NAME.safetensors refused with NAME (or accepted,
   where NAME is of the metadata, which this reader does not take apart). Ends with 1 if anything differs. */

#include <stdio.h>
#include <stdlib.h>

#include "quotegrid.h"

static unsigned char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = NULL;
    if (file && fseek(file, 0, SEEK_END) == 0) {
        long length = ftell(file);
        bytes = length < 0 ? NULL : (unsigned char *)malloc((size_t)length + 1);
        rewind(file);
        if (bytes) *size = fread(bytes, 1, (size_t)length, file);
    }
    if (file) fclose(file);
    return bytes;
}

static int64_t integer(const unsigned char **at) {
    int64_t word;
    memcpy(&word, *at, 8);
    *at += 8;
    return word;
}

static double number(const unsigned char **at) {
    double word;
    memcpy(&word, *at, 8);
    *at += 8;
    return word;
}

/* Is the next word of the answer this number, to the last bit? All NaNs are one. */
static int is(const unsigned char **at, double mine) {
    double theirs = number(at);
    return (isnan(mine) && isnan(theirs)) || memcmp(&mine, &theirs, 8) == 0;
}

/* The coordinates of a row as a state; returns what stands behind them. */
static const unsigned char *state_at(const qg_table *table, const unsigned char *at, double *coordinate,
                                     int64_t *regime, qg_state *state) {
    for (int i = 0; i < table->axis_count; i++) {
        if (i == table->time_count && table->regime_count) *regime = integer(&at);
        coordinate[i] = number(&at);
    }
    memset(state, 0, sizeof *state);
    if (table->time_count) state->time = coordinate;
    coordinate += table->time_count;
    if (table->regime_count) state->regime = regime;
    if (table->factor_count) state->factor = coordinate;
    coordinate += table->factor_count;
    if (table->parameter_axis_count) state->parameter = coordinate;
    state->inventory = coordinate + table->parameter_axis_count;
    return at;
}

/* One row: the question, and whether the answer is the one that stands behind it. */
static int row_fits(const qg_table *table, const unsigned char *at, double *changes) {
    double coordinate[QG_MAX_AXES], error;
    int64_t regime = 0;
    qg_rules rules;
    rules.between = (qg_between)integer(&at);
    rules.outside = (qg_outside)integer(&at);
    qg_state state;
    at = state_at(table, at, coordinate, &regime, &state);
    for (int i = 0; i < table->parameter_count; i++) changes[i] = number(&at);
    qg_corners corners;
    qg_error refusal = qg_look_up(table, rules, &state, &corners);
    if (integer(&at) != (int64_t)refusal) return 0;
    if (refusal) return 1;
    int good = integer(&at) == (int64_t)corners.clamped;
    good &= is(&at, qg_value(table, &corners));
    for (int f = 0; f < table->flow_count; f++) good &= is(&at, qg_offset(table, &corners, f));
    for (int a = 0; a < table->asset_count && qg_numbers(table, QG_T_HEDGE_RATE); a++)
        good &= is(&at, qg_hedge_rate(table, &corners, a));
    for (int a = 0; a < table->asset_count && qg_numbers(table, QG_T_MARKET_ORDER); a++)
        good &= is(&at, qg_market_order(table, &corners, a));
    if (!qg_numbers(table, QG_T_PARAMETER)) return good;
    good &= is(&at, qg_shifted_value(table, &corners, changes, &error));
    good &= is(&at, error);
    for (int f = 0; f < table->flow_count; f++)
        good &= is(&at, qg_shifted_offset(table, &corners, f, changes, &error));
    for (int f = 0; f < table->flow_count; f++) {
        qg_shifted_offset(table, &corners, f, changes, &error);
        good &= is(&at, error);
    }
    if (!qg_numbers(table, QG_T_GAIN)) return good;
    good &= is(&at, qg_shifted_gain(table, changes, &error));
    return good & is(&at, error);
}

/* One moment, and whether the prices are those that stand behind it. */
static int prices_fit(const qg_table *table, const unsigned char *at, double *changes) {
    double coordinate[QG_MAX_AXES], tick[QG_MAX_AXES], reference[QG_MAX_AXES], bid[QG_MAX_AXES],
        ask[QG_MAX_AXES];
    static qg_price prices[QG_MAX_NAMES];
    const char *symbols[QG_MAX_AXES];
    int64_t regime = 0;
    qg_rules rules;
    (void)changes;
    rules.between = (qg_between)integer(&at);
    rules.outside = (qg_outside)integer(&at);
    qg_rounding rounding = (qg_rounding)integer(&at);
    int post_only = (int)integer(&at);
    qg_moment moment;
    memset(&moment, 0, sizeof moment);
    at = state_at(table, at, coordinate, &regime, &moment.state);
    moment.now = number(&at);
    for (int i = 0; i < table->asset_count; i++) {
        tick[i] = number(&at);
        reference[i] = number(&at);
        bid[i] = number(&at);
        ask[i] = number(&at);
        symbols[i] = qg_symbol(table, i);
    }
    moment.reference = reference;
    moment.best_bid = bid;
    moment.best_ask = ask;
    qg_guarded_quoter quoter;
    if (qg_guard(&quoter, table, table->asset_count, symbols, tick, rules, rounding, post_only)) return 0;
    qg_error refusal = qg_prices(&quoter, &moment, prices);
    if (integer(&at) != (int64_t)refusal) return 0;
    int good = 1;
    for (int f = 0; f < table->flow_count; f++) {
        if (refusal) {
            good &= isnan(prices[f].price) != 0;
            continue;
        }
        good &= integer(&at) == !isnan(prices[f].price);
        good &= integer(&at) == prices[f].ticks;
        good &= is(&at, prices[f].price);
    }
    return good;
}

static int vectors_fit(const char *path, const unsigned char *bytes, size_t size) {
    const unsigned char *at = bytes + 8;
    static double changes[QG_MAX_NAMES];
    qg_table table;
    if (size < 64) return 0;
    int prices = memcmp(bytes, "QGPRICES", 8) == 0;
    if (!prices && memcmp(bytes, "QGVECTOR", 8) != 0) return 0;
    int64_t words = integer(&at), rows = integer(&at), width = integer(&at), wrong = 0;
    if (words < 0 || rows < 0 || width < 0 || (size_t)(8 + words + rows * width) * 8 != size) return 0;
    qg_error error = qg_read(&table, bytes + 64, (size_t)words * 8, QG_CHECK_ALL);
    if (error) printf("%s: %s\n", path, qg_error_name(error));
    for (int64_t i = 0; !error && i < rows; i++)
        if (!(prices ? prices_fit : row_fits)(&table, bytes + 64 + 8 * (words + i * width), changes) &&
            wrong++ == 0)
            printf("%s: row %lld differs\n", path, (long long)i);
    printf("%s: %lld of %lld rows fit\n", path, (long long)(error ? 0 : rows - wrong), (long long)rows);
    return !error && wrong == 0;
}

/* Is the name of this file, without folder and suffix, that of this error? */
static int is_named(const char *path, qg_error error) {
    const char *slash = strrchr(path, '/'), *stem = slash ? slash + 1 : path;
    size_t length = strcspn(stem, ".");
    if (error == QG_OK)
        return strncmp(stem, "metadata-json", length) == 0 ||
               strncmp(stem, "metadata-canonical", length) == 0 ||
               strncmp(stem, "metadata-field", length) == 0;
    return strlen(qg_error_name(error)) == length && memcmp(stem, qg_error_name(error), length) == 0;
}

int main(int count, char **paths) {
    int good = count > 1;
    if (!good) puts("no files to try: they are in the folder conformance, beside the folder readers");
    for (int i = 1; i < count; i++) {
        size_t size = 0, length = strlen(paths[i]);
        unsigned char *bytes = read_file(paths[i], &size);
        if (!bytes) {
            printf("%s: cannot be read\n", paths[i]);
            good = 0;
        } else if (length > 8 && (strcmp(paths[i] + length - 8, ".vectors") == 0 ||
                                  strcmp(paths[i] + length - 7, ".prices") == 0)) {
            good &= vectors_fit(paths[i], bytes, size);
        } else {
            qg_table table;
            qg_error error = qg_read(&table, bytes, size, QG_CHECK_ALL);
            int named = is_named(paths[i], error);
            if (!named) printf("%s: %s\n", paths[i], qg_error_name(error));
            good &= named;
        }
        free(bytes);
    }
    return good ? 0 : 1;
}
