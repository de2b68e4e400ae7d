#define _GNU_SOURCE
#include "system.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

int linux_rename_no_replace(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

int linux_flock(int descriptor, int operation) { return flock(descriptor, operation); }
