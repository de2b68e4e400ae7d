#pragma once

#include <dirent.h>

/// The name of a directory entry, where readdir(3) put it. Swift would copy `d_name` as a tuple of 256 bytes, which
/// reads past the end of a record.
static inline const char *linux_entry_name(const struct dirent *entry) { return entry->d_name; }

/// renameat2(2) with RENAME_NOREPLACE: 0, or -1 with errno (EEXIST; EINVAL where the file system cannot do it).
int linux_rename_no_replace(const char *from, const char *to);

/// flock(2); Swift sees only the structure of that name. 0, or -1 with errno.
int linux_flock(int descriptor, int operation);
