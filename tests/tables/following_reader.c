/* The C reader in the soak test of publishing, and behind ctypes for the test of signatures. */

#define _POSIX_C_SOURCE 200809L
#define QUOTEGRID_POSIX
#include <poll.h>
#include <stdlib.h>

#include "quotegrid_follow.h"

/* Follows in one step; says which generation is held and why not a newer one. `*made` is NULL before the first step. */
#ifdef __cplusplus
extern "C"
#endif
void follow(void **made, const char *folder, qg_verify verify, char said[64]);
void follow(void **made, const char *folder, qg_verify verify, char said[64]) {
    if (!*made) *made = calloc(1, sizeof(qg_follower));
    qg_follower *follower = (qg_follower *)*made;
    follower->folder = folder;
    follower->verify = verify;
    qg_follow(follower);
    long long number = follower->bytes ? strtoll(follower->name + 11, NULL, 10) : 0;
    snprintf(said, 64, "%lld %s", number, follower->refusal ? follower->refusal : "taken");
}

/* Looks up at full speed until the standard input ends: every number of generation n must be n mod 8. */
int main(int count, char **words) {
    qg_follower follower;
    qg_rules rules = {QG_EXACT, QG_REFUSE};
    long long lookups = 0, swaps = 0, wrong = 0;
    if (count != 2) return 2;
    memset(&follower, 0, sizeof follower);
    follower.folder = words[1];
    struct pollfd input = {0, POLLIN, 0};
    while (lookups % 64 || poll(&input, 1, 0) == 0) {
        if (qg_follow(&follower)) swaps++;
        if (follower.refusal) {
            fprintf(stderr, "%s\n", follower.refusal);
            return 1;
        }
        double lots = (double)(lookups * 7 % 39) - 19, number = (double)(strtoll(follower.name + 11, NULL, 10) % 8);
        qg_state state;
        qg_corners corners;
        memset(&state, 0, sizeof state);
        state.inventory = &lots;
        if (qg_look_up(&follower.table, rules, &state, &corners)) return 3;
        wrong += qg_value(&follower.table, &corners) != number || qg_gain(&follower.table) != number ||
                 qg_offset(&follower.table, &corners, 0) != number || qg_offset(&follower.table, &corners, 1) != number;
        lookups++;
    }
    printf("{\"lookups\": %lld, \"swaps\": %lld, \"wrong\": %lld}\n", lookups, swaps, wrong);
    qg_unfollow(&follower);
    return 0;
}
