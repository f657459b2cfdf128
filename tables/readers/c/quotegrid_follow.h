/* Following a folder of published tables in C, as PUBLISHING.md states it: POSIX, no locks, no allocation.

       qg_follower follower = {0};
       follower.folder = "live/eth";
       if (!qg_follow(&follower)) return puts(follower.refusal), 1;
       for (;;) {
           qg_follow(&follower);             one readlink, unless there is a new generation
           ... look up in follower.table ...
       }

   Where there is a new generation, `qg_follow` maps and checks all of it, which takes milliseconds, and lets go of the
   old one. What is bad is not taken: `refusal` then has its name and the old table stays. A thread that quotes while
   another follows needs a follower of its own. */

#ifndef QUOTEGRID_FOLLOW_H
#define QUOTEGRID_FOLLOW_H

#ifndef QUOTEGRID_POSIX
#error "define QUOTEGRID_POSIX (and _POSIX_C_SOURCE as 200809L) before quotegrid_follow.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "quotegrid.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { QG_SIGNED_BYTES = 80, QG_KEY_BYTES = 32, QG_SIGNATURE_BYTES = 64, QG_NAME_ROOM = 64, QG_PATH_ROOM = 4096 };

/* Does an Ed25519 signature (64 bytes) by a public key (32 bytes) fit a message? 1: yes; 0: no; -1: the key is not one
   of those that are trusted. To be written with a library of your choice. */
typedef int (*qg_verify)(void *context, const unsigned char *key, const unsigned char *signature,
                         const unsigned char *message, size_t size);

typedef struct qg_follower {
    const char *folder;
    qg_verify verify; /* NULL: no signature is asked for */
    void *context;    /* given to `verify` */
    qg_table table;   /* of the generation held; nothing before the first 1 of qg_follow */
    const void *bytes;
    size_t size;
    char name[QG_NAME_ROOM]; /* file name of the generation held */
    char seen[QG_NAME_ROOM]; /* of the one looked at last: it is not looked at twice */
    const char *refusal;     /* why the newest generation was not taken; NULL */
} qg_follower;

/* What is signed for a table. */
static inline void qg_signed_bytes(const qg_table *table, unsigned char message[QG_SIGNED_BYTES]) {
    memcpy(message, "quotegrid table ", 16);
    memcpy(message + 16, qg_content_hash(table), 64);
}

static inline int qg_is_generation(const char *name) {
    if (strlen(name) != 33 || memcmp(name, "generation-", 11) != 0) return 0;
    for (int i = 11; i < 21; i++)
        if (name[i] < '0' || name[i] > '9') return 0;
    return strcmp(name + 21, ".safetensors") == 0;
}

/* The generation that the pointer names; 0 if it cannot be read. */
static inline int qg_live_name(const char *folder, char name[QG_NAME_ROOM]) {
    char path[QG_PATH_ROOM];
    int length = snprintf(path, sizeof path, "%s/current.safetensors", folder);
    if (length < 0 || (size_t)length >= sizeof path) return 0;
    ssize_t found = readlink(path, name, QG_NAME_ROOM - 1);
    if (found < 0) return 0;
    name[found] = 0;
    return 1;
}

static inline int qg_same_words(const qg_table *a, const qg_table *b, qg_tensor_id id) {
    for (int row = 0;; row++) {
        const char *one = qg_word(a, id, row), *other = qg_word(b, id, row);
        if (!one || !other) return one == other;
        if (strcmp(one, other) != 0) return 0;
    }
}

/* May one table take the place of another: market, units, flows, axes? */
static inline int qg_same_interface(const qg_table *a, const qg_table *b) {
    static const qg_tensor_id words[] = {QG_T_UNIT, QG_T_SYMBOL, QG_T_REGIME, QG_T_FACTOR_NAME, QG_T_PARAMETER_AXIS_NAME,
                                         QG_T_FLOW_NAME};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (!qg_same_words(a, b, words[i])) return 0;
    if (a->time_count != b->time_count) return 0;
    for (int asset = 0; asset < a->asset_count; asset++)
        if (qg_numbers(a, QG_T_LOT_SIZES)[asset] != qg_numbers(b, QG_T_LOT_SIZES)[asset]) return 0;
    for (int flow = 0; flow < a->flow_count; flow++)
        if (qg_flow_side(a, flow) != qg_flow_side(b, flow) || qg_flow_size(a, flow) != qg_flow_size(b, flow) ||
            qg_flow_asset(a, flow) != qg_flow_asset(b, flow))
            return 0;
    return 1;
}

/* The name of what is wrong with the signature of a table, NULL if nothing is. `path`: of the table's file. */
static inline const char *qg_check_signature(const qg_follower *follower, const qg_table *table, const char *path) {
    unsigned char content[QG_KEY_BYTES + QG_SIGNATURE_BYTES + 1], message[QG_SIGNED_BYTES];
    char beside[QG_PATH_ROOM];
    int stem = (int)(strlen(path) - strlen(".safetensors"));
    int length = snprintf(beside, sizeof beside, "%.*s.signature", stem, path);
    if (length < 0 || (size_t)length >= sizeof beside) return "unreadable";
    int file = open(beside, O_RDONLY | O_NONBLOCK);
    if (file < 0) return errno == ENOENT ? "signature-missing" : "unreadable";
    struct stat about;
    int known = fstat(file, &about) == 0 && S_ISREG(about.st_mode);
    ssize_t count = known ? read(file, content, sizeof content) : -1;
    close(file);
    if (count < 0) return "unreadable";
    if (count != QG_KEY_BYTES + QG_SIGNATURE_BYTES) return "signature-form";
    qg_signed_bytes(table, message);
    int answer = follower->verify(follower->context, content, content + QG_KEY_BYTES, message, sizeof message);
    return answer == 1 ? NULL : answer == -1 ? "signature-key" : "signature-wrong";
}

/* Take a generation; the name of what is wrong with it, NULL if it was taken. */
static inline const char *qg_take(qg_follower *follower, const char *name) {
    char path[QG_PATH_ROOM];
    const void *bytes;
    size_t size;
    qg_table table;
    if (!qg_is_generation(name)) return "pointer-form";
    int length = snprintf(path, sizeof path, "%s/%s", follower->folder, name);
    if (length < 0 || (size_t)length >= sizeof path) return "unreadable";
    qg_error error = qg_map(path, &bytes, &size);
    if (error) return error == QG_FILE_UNREADABLE ? "unreadable" : qg_error_name(error);
    error = qg_read(&table, bytes, size, QG_CHECK_ALL);
    const char *wrong = error ? qg_error_name(error) : NULL;
    if (!wrong && follower->verify) wrong = qg_check_signature(follower, &table, path);
    if (!wrong && follower->bytes && !qg_same_interface(&follower->table, &table)) wrong = "interface-changed";
    if (wrong) {
        qg_unmap(bytes, size);
        return wrong;
    }
    if (follower->bytes) qg_unmap(follower->bytes, follower->size);
    follower->table = table;
    follower->bytes = bytes;
    follower->size = size;
    strcpy(follower->name, name);
    return NULL;
}

/* Look for a new generation and take it: 1 if one was taken. */
static inline int qg_follow(qg_follower *follower) {
    char name[QG_NAME_ROOM], now[QG_NAME_ROOM];
    for (;;) {
        if (!qg_live_name(follower->folder, name)) {
            follower->refusal = "unreadable";
            return 0;
        }
        if (follower->bytes && strcmp(name, follower->name) == 0) { /* as ever, or the pointer is back */
            strcpy(follower->seen, name);
            follower->refusal = NULL;
        }
        if (strcmp(name, follower->seen) == 0) return 0;
        const char *wrong = qg_take(follower, name);
        /* deleted while it was opened, or before its signature was: the pointer has moved on */
        if (wrong && qg_live_name(follower->folder, now) && strcmp(now, name) != 0) continue;
        follower->refusal = wrong;
        if (!wrong || strcmp(wrong, "unreadable") != 0) strcpy(follower->seen, name);
        return !wrong;
    }
}

/* Let go of the generation held. */
static inline void qg_unfollow(qg_follower *follower) {
    if (follower->bytes) qg_unmap(follower->bytes, follower->size);
    follower->bytes = NULL;
    follower->name[0] = follower->seen[0] = 0;
}

#ifdef __cplusplus
}
#endif

#endif
