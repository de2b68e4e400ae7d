#pragma once

#include <dirent.h>
#include <sys/types.h>

/// The name of a directory entry, where readdir(3) put it. Swift would copy `d_name` as a tuple of 256 bytes, which
/// reads past the end of a record.
static inline const char *linux_entry_name(const struct dirent *entry) { return entry->d_name; }

/// renameat2(2) with RENAME_NOREPLACE: 0, or -1 with errno (EEXIST; EINVAL where the file system cannot do it).
int linux_rename_no_replace(const char *from, const char *to);

/// Lets the system keep no image of this process: no core file, none for a collector, no reading of its memory by other
/// processes of the same user. Until the next execve. 0, or -1 with errno.
int linux_disable_core_dumps(void);

/// Makes the allocator give blocks of `size` bytes and more back to the system when they are freed; before any are made.
void linux_return_blocks_from(int size);

/// flock(2); Swift sees only the structure of that name. 0, or -1 with errno.
int linux_flock(int descriptor, int operation);

/// A descriptor that poll(2) finds readable when the process has ended; -1 with errno, as where the kernel has none.
int linux_pidfd_open(pid_t process);

/// accept4(2) and pipe2(2): what they give never blocks, and is closed in programs that are started.
int linux_accept(int listener);
int linux_pipe(int ends[2]);

/// Starts a program in a session of its own, with standard input on /dev/null, standard output and error on these
/// descriptors (-1: on /dev/null too), no other descriptor, and no signal blocked. 0, or an errno.
int linux_spawn_session(pid_t *process, const char *path, char *const arguments[], char *const environment[],
                        int output, int error);
