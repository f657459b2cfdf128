/* Map a table, check it and let go of it again, so many times; 0: all went
 * well. */

#define _POSIX_C_SOURCE 200809L
#define QUOTEGRID_POSIX
#include "quotegrid.h"

int load(const char *path, int header_alone, int times) {
  for (int i = 0; i < times; i++) {
    const void *bytes;
    size_t size;
    qg_table table;
    qg_error error = qg_map(path, &bytes, &size);
    if (error)
      return (int)error;
    error = qg_read(&table, bytes, size,
                    header_alone ? QG_CHECK_HEADER : QG_CHECK_ALL);
    qg_unmap(bytes, size);
    if (error)
      return (int)error;
  }
  return 0;
}
