/* Prints the quotes of a table at an inventory: example TABLE.safetensors INVENTORY [TIME] */

#define _POSIX_C_SOURCE 200809L
#define QUOTEGRID_POSIX
#include <stdio.h>
#include <stdlib.h>

#include "quotegrid.h"

/* A number as the user wrote it, whole; NaN, which every lookup refuses, for anything else. */
static double number_of(const char *word) {
    char *end;
    double number = strtod(word, &end);
    return end == word || *end ? NAN : number;
}

int main(int count, char **words) {
    const void *bytes;
    size_t size;
    qg_table table;
    qg_rules rules = {QG_TOWARDS_FLAT, QG_REFUSE};
    qg_corners corners;
    qg_state state = {0};
    if (count < 3) {
        fprintf(stderr, "usage: example TABLE.safetensors INVENTORY [TIME]\n");
        return 2;
    }
    double lots = number_of(words[2]), time = count > 3 ? number_of(words[3]) : 0.0;
    state.inventory = &lots;
    if (count > 3) state.time = &time;

    qg_error error = qg_map(words[1], &bytes, &size);
    if (!error) error = qg_read(&table, bytes, size, QG_CHECK_ALL);
    if (!error) error = qg_look_up(&table, rules, &state, &corners);
    if (error) {
        fprintf(stderr, "refused: %s\n", qg_error_name(error));
        return 1;
    }
    for (int flow = 0; flow < table.flow_count; flow++) {
        double offset = qg_offset(&table, &corners, flow);
        const char *side = qg_flow_side(&table, flow) > 0 ? "bid" : "ask";
        if (isnan(offset))
            printf("%s/%s not quoted\n", qg_flow_name(&table, flow), side);
        else
            printf("%s/%s %.17g %s\n", qg_flow_name(&table, flow), side, offset, qg_price_unit(&table));
    }
    qg_unmap(bytes, size);
    return 0;
}
