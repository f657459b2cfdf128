/* Hostile files for the C reader.

       hostile_inputs cut FILE...                      every truncation and every flipped bit must be refused
       hostile_inputs name FILE                        the name of the error, or ok
       hostile_inputs fuzz RUNS SEED FOLDER FILE...    coverage-guided mutations of FILE…

   Built with -fsanitize=address,undefined and, for `fuzz`, -fsanitize-coverage=trace-pc: an input that takes a
   new branch is kept and mutated further; the last kept ones are left in FOLDER (`-` leaves none). Each input
   lies in memory of exactly its size, so that a byte read behind it is seen. What the reader accepts is looked
   up at states of all kinds. A run that takes longer than ten seconds is a hang and aborts the program. */

#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "quotegrid.h"

enum { MAP = 1 << 14, MOST = 1 << 14, KEPT = 1 << 14 };

static unsigned char seen[MAP], hit[MAP];
static uintptr_t before;

/* What belongs to the mutator is not measured. */
#if defined(__GNUC__) && !defined(__clang__)
#define UNMEASURED __attribute__((no_sanitize_coverage, no_sanitize_address, no_sanitize_undefined))
#else
#define UNMEASURED
#endif

UNMEASURED void __sanitizer_cov_trace_pc(void);
UNMEASURED void __sanitizer_cov_trace_pc(void) {
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    here = (here ^ here >> 16) * 2654435761u;
    unsigned char *count = &hit[(here ^ before) % MAP];
    if (*count < 255) ++*count;
    before = here >> 1;
}

static uint64_t dice = 1;

UNMEASURED static uint64_t roll(uint64_t sides) { /* xorshift64 */
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return sides ? dice % sides : dice;
}

typedef struct input {
    unsigned char *bytes;
    size_t size;
} input;

static double sink;
static long accepted;

static void look_everywhere(const qg_table *table) {
    static double changes[QG_MAX_NAMES];
    double coordinate[QG_MAX_AXES], error;
    char text[64];
    qg_metadata(table, text, sizeof text);
    for (int i = 0; i < table->parameter_count; i++) changes[i] = (double)roll(7) - 3.0;
    for (int turn = 0; turn < 8; turn++) {
        int64_t regime = (int64_t)roll((uint64_t)table->regime_count + 1) - (turn == 0);
        for (int i = 0; i < table->axis_count; i++) {
            const qg_axis *axis = &table->axis[i];
            double node = axis->nodes[roll((uint64_t)axis->count)],
                   other = axis->nodes[roll((uint64_t)axis->count)];
            coordinate[i] = roll(3) ? node : 0.5 * (node + other);
            if (turn == 1) coordinate[i] = roll(2) ? NAN : 1e308;
        }
        qg_rules rules = {(qg_between)(turn % 4), (qg_outside)(turn / 4 % 2)};
        qg_state state = {0};
        const double *next = coordinate;
        if (table->time_count) state.time = next;
        next += table->time_count;
        if (table->regime_count) state.regime = &regime;
        if (table->factor_count) state.factor = next;
        next += table->factor_count;
        if (table->parameter_axis_count) state.parameter = next;
        state.inventory = next + table->parameter_axis_count;
        static qg_price prices[QG_MAX_NAMES];
        static const double ticks[QG_MAX_AXES] = {0.01, 1.0, 1e-6, 0.25, 3.0, 1e300, 1e-300, 0.1};
        double reference[QG_MAX_AXES], bid[QG_MAX_AXES], ask[QG_MAX_AXES];
        const char *symbols[QG_MAX_AXES];
        for (int a = 0; a < table->asset_count; a++) {
            reference[a] = roll(8) ? 100.0 + (double)roll(100) / 7.0 : NAN;
            bid[a] = reference[a] - (double)roll(3);
            ask[a] = reference[a] + (double)roll(3);
            symbols[a] = qg_symbol(table, a);
        }
        qg_guarded_quoter quoter;
        qg_moment moment = {1.7e9 + (double)roll(100000), state, reference, roll(2) ? bid : NULL,
                            roll(2) ? ask : NULL};
        if (!qg_guard(&quoter, table, table->asset_count, symbols, ticks, rules, (qg_rounding)(turn % 2),
                      turn / 2 % 2) &&
            !qg_prices(&quoter, &moment, prices))
            sink += table->flow_count ? prices[0].price : 0.0;
        qg_corners corners;
        if (qg_look_up(table, rules, &state, &corners)) continue;
        sink += qg_value(table, &corners) + qg_shifted_value(table, &corners, changes, &error);
        for (int f = 0; f < table->flow_count; f++)
            sink += qg_offset(table, &corners, f) + qg_shifted_offset(table, &corners, f, changes, &error);
        for (int a = 0; a < table->asset_count; a++)
            sink += qg_hedge_rate(table, &corners, a) + qg_market_order(table, &corners, a);
        sink += qg_shifted_gain(table, changes, &error);
    }
    for (int i = 0; i < table->asset_count; i++) sink += (double)strlen(qg_symbol(table, i));
    for (int i = 0; i < table->flow_count; i++) sink += (double)strlen(qg_flow_name(table, i));
    sink += qg_place(table, QG_T_REGIME, "calm") + qg_place(table, QG_T_PARAMETER_NAME, "price.volatility");
    sink += (double)strlen(qg_price_unit(table)) + (double)strlen(qg_time_unit(table));
}

static qg_error read_copy(const unsigned char *bytes, size_t size, int look) {
    unsigned char *copy = (unsigned char *)malloc(size ? size : 1);
    qg_table table;
    if (!copy) abort();
    if (size) memcpy(copy, bytes, size);
    qg_error error = qg_read(&table, copy, size, look && roll(16) ? QG_CHECK_HEADER : QG_CHECK_ALL);
    int numbers_alone = error == QG_HOLD_FORM || error == QG_INFINITE_NUMBER || error == QG_VALUE_MISSING;
    if (look && (error == QG_OK || numbers_alone || error == QG_CONTENT_HASH)) {
        accepted++;
        if (error && qg_read(&table, copy, size, QG_CHECK_HEADER)) abort();
        qg_check_numbers(&table);
        look_everywhere(&table);
    }
    free(copy);
    return error;
}

static input load(const char *path) {
    input found = {NULL, 0};
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    found.bytes = (unsigned char *)malloc(1 << 20);
    found.size = found.bytes ? fread(found.bytes, 1, 1 << 20, file) : 0;
    fclose(file);
    return found;
}

static int cut(const char *path) {
    input good = load(path);
    long wrong = 0;
    if (read_copy(good.bytes, good.size, 0) != QG_OK) wrong++;
    for (size_t size = 0; size < good.size; size++) wrong += read_copy(good.bytes, size, 0) == QG_OK;
    for (size_t bit = 0; bit < 8 * good.size; bit++) {
        good.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        wrong += read_copy(good.bytes, good.size, 0) == QG_OK;
        good.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    printf("%s: %zu cuts and %zu flipped bits, %ld not refused\n", path, good.size, 8 * good.size, wrong);
    free(good.bytes);
    return wrong != 0;
}

static input kept[KEPT];
static size_t kept_count;

UNMEASURED static void keep(const unsigned char *bytes, size_t size) {
    input *place = &kept[kept_count < KEPT ? kept_count++ : roll(KEPT)];
    free(place->bytes);
    place->bytes = (unsigned char *)malloc(size ? size : 1);
    place->size = size;
    if (!place->bytes) abort();
    if (size) memcpy(place->bytes, bytes, size);
}

static const char *const words[] = {"time",
                                    "factor_0",
                                    "factor_1",
                                    "parameter_axis_0",
                                    "inventory_0",
                                    "inventory_1",
                                    "box",
                                    "price_box",
                                    "start",
                                    "life",
                                    "regime",
                                    "gain",
                                    "parameter",
                                    "parameter_name",
                                    "offset_hold",
                                    "hedge_rate",
                                    "market_order",
                                    "F64",
                                    "I64",
                                    "F32",
                                    "[]",
                                    "[0]",
                                    "[1]",
                                    "[2,1]",
                                    "281474976710656",
                                    "9999999999999999",
                                    "18446744073709551615",
                                    "0",
                                    "\\\"",
                                    "\\",
                                    "\"}",
                                    "]}",
                                    ",\"",
                                    "\"shape\":[",
                                    "\"dtype\":\"",
                                    "{",
                                    "}",
                                    " ",
                                    "-1",
                                    "1e9"};
static const uint64_t numbers[] = {0,
                                   1,
                                   2,
                                   0xffffffffffffffffu,
                                   0x7fffffffffffffffu,
                                   0x8000000000000000u,
                                   0x7ff0000000000000u,
                                   0xfff0000000000000u,
                                   0x7ff8000000000000u,
                                   0x7ff0000000000001u,
                                   0x3ff0000000000000u,
                                   0xbff0000000000000u,
                                   0x7fefffffffffffffu,
                                   0x0010000000000000u,
                                   0x0020000000000000u,
                                   0x20000000000001u,
                                   1000,
                                   1001,
                                   100000000};

/* Replace `old` bytes at a place by others. */
UNMEASURED static size_t splice(unsigned char *bytes, size_t size, size_t at, size_t old, const void *text,
                                size_t length) {
    if (at + old > size || size - old + length > MOST) return size;
    memmove(bytes + at + length, bytes + at + old, size - at - old);
    memcpy(bytes + at, text, length);
    return size - old + length;
}

UNMEASURED static size_t mutate(unsigned char *bytes, size_t size) {
    static unsigned char chunk[MOST];
    uint64_t header = 0;
    if (size >= 8) memcpy(&header, bytes, 8);
    if (header > size) header = size;
    for (uint64_t turns = 1 + roll(4); turns; turns--) {
        /* half of the changes go to the header, where most of the reader's branches are */
        size_t at = size == 0 ? 0 : roll(2) && header > 8 ? 8 + roll(header - 8 + 1) : roll(size);
        if (at >= size) at = size ? size - 1 : 0;
        size_t length = 1 + roll(24), from = size ? roll(size) : 0;
        if (length > size - at) length = size - at;
        const char *word = words[roll(sizeof words / sizeof *words)];
        uint64_t number = numbers[roll(sizeof numbers / sizeof *numbers)];
        switch (roll(9)) {
        case 0:
            if (size) bytes[at] ^= (unsigned char)(1 << roll(8));
            break;
        case 1:
            if (size) bytes[at] = (unsigned char)roll(256);
            break;
        case 2: size = splice(bytes, size, at, 0, word, strlen(word)); break;
        case 3:
            size = splice(bytes, size, at, length < strlen(word) ? length : strlen(word), word, strlen(word));
            break;
        case 4: size = splice(bytes, size, at, length, "", 0); break;
        case 5:
            if (from + length > size) break;
            memcpy(chunk, bytes + from, length);
            size = splice(bytes, size, at, roll(2) ? length : 0, chunk, length);
            break;
        case 6:
            if (size >= 16) memcpy(bytes + 8 * roll(size / 8), &number, 8);
            break;
        case 7:
            if (size && bytes[at] >= '0' && bytes[at] <= '9') bytes[at] = (unsigned char)('0' + roll(10));
            break;
        default: size = roll(8) ? size : roll(size + 1);
        }
    }
    if (size >= 8 && roll(4)) { /* a length of the header that ends where its last brace stands */
        size_t end = size;
        uint64_t wide = header > 8 ? header + 64 : 64;
        for (size_t i = 8; i < size && i < wide; i++)
            if (bytes[i] == '}') end = i + 1;
        while (end < size && bytes[end] == ' ') end++;
        while (end % 64 && size < MOST) {
            memmove(bytes + end + 1, bytes + end, size - end);
            bytes[end++] = ' ';
            size++;
        }
        header = end - 8;
        memcpy(bytes, &header, 8);
    }
    return size;
}

/* Did the last input take a branch, or take it more often, than any before? */
UNMEASURED static int grew(void) {
    int found = 0;
    for (int i = 0; i < MAP; i += 8) {
        uint64_t eight;
        memcpy(&eight, hit + i, 8);
        for (int k = i; eight && k < i + 8; k++) {
            unsigned char n = hit[k];
            unsigned char size = n > 127 ? 128 : n > 31 ? 64 : n > 7 ? 32 : n > 3 ? 16 : n > 2 ? 4 : n;
            if (size & ~seen[k]) found = 1;
            seen[k] |= size;
        }
    }
    return found;
}

static int try_input(const unsigned char *bytes, size_t size) {
    memset(hit, 0, sizeof hit);
    before = 0;
    alarm(10);
    read_copy(bytes, size, 1);
    return grew();
}

int main(int count, char **arguments) {
    if (count > 2 && strcmp(arguments[1], "cut") == 0) {
        int wrong = 0;
        for (int i = 2; i < count; i++) wrong |= cut(arguments[i]);
        return wrong;
    }
    if (count == 3 && strcmp(arguments[1], "name") == 0) {
        input file = load(arguments[2]);
        puts(qg_error_name(read_copy(file.bytes, file.size, 0)));
        free(file.bytes);
        return 0;
    }
    if (count < 6 || strcmp(arguments[1], "fuzz") != 0) return 2;
    static unsigned char bytes[MOST];
    long runs = atol(arguments[2]), edges = 0;
    dice = 88172645463325252u ^ (uint64_t)atol(arguments[3]);
    for (int i = 5; i < count; i++) {
        input seed = load(arguments[i]);
        if (seed.size <= MOST / 2) {
            try_input(seed.bytes, seed.size);
            keep(seed.bytes, seed.size);
        }
        free(seed.bytes);
    }
    size_t seeds = kept_count;
    for (long run = 0; run < runs; run++) {
        const input *parent = &kept[roll(kept_count)];
        memcpy(bytes, parent->bytes, parent->size);
        size_t size = mutate(bytes, parent->size);
        if (try_input(bytes, size)) keep(bytes, size);
    }
    for (int i = 0; i < MAP; i++) edges += seen[i] != 0;
    printf("%ld inputs, %ld with a header that was accepted, %zu kept, %ld branches\n", runs, accepted,
           kept_count - seeds, edges);
    for (size_t i = seeds; i < kept_count && strcmp(arguments[4], "-") != 0; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%zu.safetensors", arguments[4], i);
        FILE *file = fopen(path, "wb");
        if (file) {
            fwrite(kept[i].bytes, 1, kept[i].size, file);
            fclose(file);
        }
    }
    return 0;
}
