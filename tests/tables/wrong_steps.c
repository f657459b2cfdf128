/* What a new user may get wrong, for the C reader: says the refusal, or how many flows are quoted.

       wrong_steps TABLE SYMBOL TICK LOTS REFERENCE BID ASK NOW       "-": forgotten
       wrong_steps careless TABLE OTHER-SYMBOL                        goes on after every error */

#define _POSIX_C_SOURCE 200809L
#define QUOTEGRID_POSIX
#include <stdio.h>
#include <stdlib.h>

#include "quotegrid.h"

static const double *number(const char *word, double *place) {
    *place = strtod(word, NULL);
    return strcmp(word, "-") == 0 ? NULL : place;
}

int main(int count, char **words) {
    const void *bytes = NULL;
    size_t size = 0;
    qg_table table;
    qg_guarded_quoter quoter;
    qg_rules rules = {QG_EXACT, QG_REFUSE};
    qg_price prices[64];
    double tick, lots, reference, bid, ask;
    int careless = count == 4 && strcmp(words[1], "careless") == 0;
    if (!careless && count != 9) return 2;
    memset(&quoter, 0, sizeof quoter);
    qg_error error = qg_map(words[1 + careless], &bytes, &size);
    if (!error || careless) {
        qg_error read = qg_read(&table, bytes, size, QG_CHECK_ALL);
        error = error ? error : read;
    }
    const char *symbol = strcmp(words[2 + careless], "-") == 0 ? NULL : words[2 + careless];
    const double *ticks = careless ? number("0.01", &tick) : NULL;
    if (!careless) ticks = number(words[3], &tick);
    if (!error || careless) {
        qg_error guard = qg_guard(&quoter, &table, 1, &symbol, ticks, rules, QG_OUTWARD, 1);
        error = error ? error : guard;
    }
    qg_moment moment;
    memset(&moment, 0, sizeof moment);
    moment.state.inventory = number(careless ? "0" : words[4], &lots);
    moment.reference = number(careless ? "100" : words[5], &reference);
    moment.best_bid = number(careless ? "-" : words[6], &bid);
    moment.best_ask = number(careless ? "-" : words[7], &ask);
    moment.now = careless ? 1777896001.0 : strtod(words[8], NULL);
    if (!error || careless) {
        qg_error asked = qg_prices(&quoter, &moment, prices);
        error = error ? error : asked;
        if (careless) error = asked;
    }
    int quoted = 0;
    for (int flow = 0; (!error || careless) && flow < table.flow_count; flow++) quoted += !isnan(prices[flow].price);
    printf("%s %d\n", qg_error_name(error), quoted);
    return 0;
}
