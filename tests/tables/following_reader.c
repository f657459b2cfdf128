/* The C reader in the soak test of publishing, and behind ctypes for the test of signatures. */

#define _POSIX_C_SOURCE 200809L
#define QUOTEGRID_POSIX
#include <signal.h>
#include <stdlib.h>

#include "quotegrid_follow.h"

static volatile sig_atomic_t ended = 0;

static void end(int number) {
    (void)number;
    ended = 1;
}

/* Follows once; says why not, or which generation is held. */
#ifdef __cplusplus
extern "C"
#endif
int follow_once(const char *folder, qg_verify verify, char *said, size_t room);
int follow_once(const char *folder, qg_verify verify, char *said, size_t room) {
    qg_follower follower;
    memset(&follower, 0, sizeof follower);
    follower.folder = folder;
    follower.verify = verify;
    int taken = qg_follow(&follower);
    snprintf(said, room, "%s", taken ? follower.name : follower.refusal);
    qg_unfollow(&follower);
    return taken;
}

/* Looks up at full speed until SIGTERM: every number of generation n must be n mod 8. */
int main(int count, char **words) {
    qg_follower follower;
    qg_rules rules = {QG_EXACT, QG_REFUSE};
    long long lookups = 0, swaps = 0, wrong = 0;
    if (count != 2) return 2;
    memset(&follower, 0, sizeof follower);
    follower.folder = words[1];
    signal(SIGTERM, end);
    while (!ended) {
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
