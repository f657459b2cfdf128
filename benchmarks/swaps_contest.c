/* How long single lookups take while a folder is published to: every one is
   timed by itself.

       swaps_contest FOLDER follow|handed|nothing SECONDS PROCESSOR

   follow    this thread follows before each lookup, as
   readers/c/quotegrid_follow.h does it: one readlink, and mapping and checking
   where there is a new generation handed    another thread, on the processor of
   that number, follows and hands the table over as one pointer nothing   the
   clock alone

   Prints one JSON object: for the lookup alone (two offsets) and for the whole
   decision, with what it takes to have the newest table, nanoseconds at four
   shares and the longest; how many there were, and how many swaps. Those during
   which the system gave the processor to another process are apart: `all` has
   them too. */

#define _GNU_SOURCE
#define QUOTEGRID_POSIX
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "quotegrid_follow.h"

/* counted in steps of 1 ns below SHORT, kept one by one above; from SUSPECT on
 * it is asked who had the processor */
enum { SHORT = 1 << 16, LONG = 1 << 20, SUSPECT = 3000 };

typedef struct {
  uint32_t counts[SHORT];
  uint64_t longer[LONG], preempted[LONG];
  size_t longer_count, preempted_count, count;
} times;

static times lookups, decisions;
static qg_follower held[2];
static _Atomic(qg_follower *) live; /* handed over */
static _Atomic(qg_follower *)
    used; /* taken by the thread that quotes: the other one is free */
static atomic_int stop, swaps;
static int processor;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note(times *to, uint64_t taken) {
  to->count++;
  if (taken < SHORT)
    to->counts[taken]++;
  else if (to->longer_count < LONG)
    to->longer[to->longer_count++] = taken;
}

static void keep(times *to, uint64_t taken, int preempted) {
  if (!preempted)
    note(to, taken);
  else if (to->preempted_count < LONG)
    to->preempted[to->preempted_count++] = taken;
}

/* How often this thread has lost the processor without asking for it. */
static long losses(void) {
  struct rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

static int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* The time that a share of all stays at or below. */
static uint64_t at_share(const times *of, double share) {
  size_t wanted = (size_t)(share * (double)(of->count - 1)) + 1, seen = 0;
  for (uint64_t taken = 0; taken < SHORT; taken++)
    if ((seen += of->counts[taken]) >= wanted)
      return taken;
  return of->longer[wanted - seen - 1];
}

static void tell_shares(const char *name, const char *of_what, times *of) {
  static const double shares[] = {0.5, 0.99, 0.999, 0.9999, 1.0};
  qsort(of->longer, of->longer_count, sizeof *of->longer, by_size);
  printf(", \"%s%s\": [", name, of_what);
  for (int i = 0; i < 5; i++)
    printf("%s%llu", i ? ", " : "",
           (unsigned long long)at_share(of, shares[i]));
  printf("]");
}

static void tell(const char *name, times *of) {
  tell_shares(name, "", of);
  for (size_t i = 0; i < of->preempted_count; i++)
    note(of, of->preempted[i]);
  tell_shares(name, ", all", of);
}

static void *follow_for_ever(void *nothing) {
  cpu_set_t mine;
  const struct timespec pause = {0, 200000};
  char name[QG_NAME_ROOM];
  CPU_ZERO(&mine);
  CPU_SET(processor, &mine);
  pthread_setaffinity_np(pthread_self(), sizeof mine, &mine);
  for (; !stop; nanosleep(&pause, NULL)) {
    qg_follower *current = live, *spare = current == held ? held + 1 : held;
    if (!qg_live_name(current->folder, name) ||
        strcmp(name, current->name) == 0)
      continue;
    if (used != current || !qg_follow(spare))
      continue; /* the spare one may still be in use */
    live = spare;
    swaps++;
  }
  return nothing;
}

static double drawn(uint64_t *seed) {
  *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
  return (double)(*seed >> 11) / 9007199254740992.0;
}

int main(int count, char **words) {
  pthread_t other;
  uint64_t seed = 88172645463325252u;
  volatile double sink = 0.0;
  if (count != 5)
    return 2;
  const int handed = strcmp(words[2], "handed") == 0,
            nothing = strcmp(words[2], "nothing") == 0;
  held[0].folder = held[1].folder = words[1];
  processor = atoi(words[4]);
  if (!qg_follow(held))
    return puts(held->refusal), 1;
  live = held;
  used = held;
  if (handed && pthread_create(&other, NULL, follow_for_ever, NULL))
    return 3;
  const uint64_t end = now() + (uint64_t)(1e9 * atof(words[3]));
  const qg_axis *time_axis = &held->table.axis[0],
                *lots_axis = &held->table.axis[1]; /* the same in all tables */
  const double horizon = time_axis->high, limit = lots_axis->high;
  qg_follower *follower = held;
  long before = losses();
  for (uint64_t begin = now(), ready, done; begin < end; begin = now()) {
    const qg_rules rules = {QG_LINEAR, QG_REFUSE};
    double time = horizon * drawn(&seed),
           lots = limit * (2.0 * drawn(&seed) - 1.0);
    qg_state state = {0};
    qg_corners corners;
    state.time = &time;
    state.inventory = &lots;
    begin = now();
    if (handed) {
      follower = live;
      used = follower;
    } else if (!nothing && qg_follow(follower)) {
      swaps++;
    }
    ready = now();
    if (!nothing) {
      if (follower->refusal)
        return puts(follower->refusal), 1;
      if (qg_look_up(&follower->table, rules, &state, &corners))
        return 4;
      sink = qg_offset(&follower->table, &corners, 0) +
             qg_offset(&follower->table, &corners, 1);
    }
    done = now();
    int preempted = 0;
    if (done - begin >= SUSPECT) {
      long after = losses();
      preempted = after != before;
      before = after;
    }
    keep(&decisions, done - begin, preempted);
    keep(&lookups, done - ready, preempted);
  }
  stop = 1;
  if (handed)
    pthread_join(other, NULL);
  (void)sink;
  printf("{\"swaps\": %d, \"preempted\": %zu", (int)swaps,
         decisions.preempted_count);
  tell("lookup", &lookups);
  tell("decision", &decisions);
  printf(", \"count\": %zu", lookups.count);
  puts("}");
  return 0;
}
