/* Records what a power loss could undo.
 *
 * Preloaded into a process; for every change of a file under SHIM_DIR it appends to SHIM_LOG
 * what was there before, and after every successful sync which changes that sync covers.
 * With SHIM_STRICT set, sync_file_range counts for nothing. Creations, renames and removals
 * count as durable at once; writes through mappings are not seen. The log is read by
 * replay.rs. Records, little endian:
 *
 *   'W' inode u64, offset u64, length u32, old length u32, old size u64, old bytes
 *   'S' inode u64, index u64        all records before that index are durable for the inode
 *   'T' inode u64, new size u64     cut or extended, durable at once
 *   'D' inode u64                   removed or emptied: its history is void
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static size_t root_length;
static int strict;
static int log_fd = -1;
static uint64_t records;

__attribute__((constructor)) static void start(void) {
    root = getenv("SHIM_DIR");
    const char *path = getenv("SHIM_LOG");
    if (!root || !path) return;
    root_length = strlen(root);
    strict = getenv("SHIM_STRICT") != NULL;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_ours(int fd) {
    if (log_fd < 0 || fd < 0 || fd == log_fd) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (n <= (ssize_t)root_length) return 0;
    return memcmp(path, root, root_length) == 0 && path[root_length] == '/';
}

static void put(const void *head, size_t head_length, const void *body, size_t body_length) {
    struct iovec parts[2] = {{(void *)head, head_length}, {(void *)body, body_length}};
    if (syscall(SYS_writev, log_fd, parts, body_length ? 2 : 1) < 0) abort();
    records++;
}

static void note(char kind, uint64_t inode, uint64_t value, int with_value) {
    char head[17];
    head[0] = kind;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &value, 8);
    put(head, with_value ? 17 : 9, NULL, 0);
}

/* The bytes that a write is about to cover; called with the lock held. */
static void before_write(int fd, size_t length, off_t offset) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || length == 0) return;
    char *old = malloc(length);
    if (!old) abort();
    uint32_t had = 0;
    int reader = fd, opened = -1;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        reader = opened = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    }
    while (had < length) {
        ssize_t n = syscall(SYS_pread64, reader, old + had, length - had, offset + had);
        if (n <= 0) break;
        had += (uint32_t)n;
    }
    if (opened >= 0) syscall(SYS_close, opened);
    char head[33];
    uint64_t inode = st.st_ino, at = (uint64_t)offset, size = (uint64_t)st.st_size;
    uint32_t len = (uint32_t)length;
    head[0] = 'W';
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &at, 8);
    memcpy(head + 17, &len, 4);
    memcpy(head + 21, &had, 4);
    memcpy(head + 25, &size, 8);
    put(head, sizeof head, old, had);
    free(old);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    if (!is_ours(fd)) return syscall(SYS_pwrite64, fd, bytes, length, offset);
    pthread_mutex_lock(&lock);
    before_write(fd, length, offset);
    ssize_t n = syscall(SYS_pwrite64, fd, bytes, length, offset);
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}

static off_t place(int fd) {
    struct stat st;
    if ((fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &st) == 0) return st.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!is_ours(fd)) return syscall(SYS_write, fd, bytes, length);
    pthread_mutex_lock(&lock);
    before_write(fd, length, place(fd));
    ssize_t n = syscall(SYS_write, fd, bytes, length);
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_ours(fd)) return syscall(SYS_writev, fd, parts, count);
    size_t length = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    pthread_mutex_lock(&lock);
    before_write(fd, length, place(fd));
    ssize_t n = syscall(SYS_writev, fd, parts, count);
    pthread_mutex_unlock(&lock);
    return n;
}

int ftruncate64(int fd, off64_t size) {
    if (!is_ours(fd)) return (int)syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    struct stat st;
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    if (rc == 0 && fstat(fd, &st) == 0) note('T', st.st_ino, (uint64_t)size, 1);
    pthread_mutex_unlock(&lock);
    return rc;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* Covers what was recorded before the call began. */
static int synced(int fd, long number, int counts) {
    if (!is_ours(fd)) return (int)syscall(number, fd);
    pthread_mutex_lock(&lock);
    uint64_t upto = records;
    pthread_mutex_unlock(&lock);
    int rc = (int)syscall(number, fd);
    struct stat st;
    if (rc == 0 && counts && fstat(fd, &st) == 0) {
        pthread_mutex_lock(&lock);
        note('S', st.st_ino, upto, 1);
        pthread_mutex_unlock(&lock);
    }
    return rc;
}

int fsync(int fd) { return synced(fd, SYS_fsync, 1); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync, 1); }

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    pthread_mutex_lock(&lock);
    uint64_t upto = records;
    pthread_mutex_unlock(&lock);
    int rc = (int)syscall(SYS_sync_file_range, fd, offset, length, flags);
    struct stat st;
    if (rc == 0 && !strict && is_ours(fd) && fstat(fd, &st) == 0) {
        pthread_mutex_lock(&lock);
        note('S', st.st_ino, upto, 1);
        pthread_mutex_unlock(&lock);
    }
    return rc;
}

/* Forgets the file at a path that is about to lose its last name or its contents. */
static void forget(int dir, const char *path, int even_linked) {
    struct stat st;
    if (log_fd < 0 || syscall(SYS_newfstatat, dir, path, &st, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (!S_ISREG(st.st_mode) || (st.st_nlink > 1 && !even_linked)) return;
    pthread_mutex_lock(&lock);
    note('D', st.st_ino, 0, 0);
    pthread_mutex_unlock(&lock);
}

int unlink(const char *path) {
    forget(AT_FDCWD, path, 0);
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int unlinkat(int dir, const char *path, int flags) {
    if (!(flags & AT_REMOVEDIR)) forget(dir, path, 0);
    return (int)syscall(SYS_unlinkat, dir, path, flags);
}

int rename(const char *from, const char *to) {
    forget(AT_FDCWD, to, 0);
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int opened(int dir, const char *path, int flags, int mode) {
    if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY) forget(dir, path, 1);
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static int mode_of(int flags, va_list rest) {
    return (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, int) : 0;
}

#define OPEN(name)                                                                       \
    int name(const char *path, int flags, ...) {                                         \
        va_list rest;                                                                    \
        va_start(rest, flags);                                                           \
        int mode = mode_of(flags, rest);                                                 \
        va_end(rest);                                                                    \
        return opened(AT_FDCWD, path, flags, mode);                                      \
    }
#define OPENAT(name)                                                                     \
    int name(int dir, const char *path, int flags, ...) {                                \
        va_list rest;                                                                    \
        va_start(rest, flags);                                                           \
        int mode = mode_of(flags, rest);                                                 \
        va_end(rest);                                                                    \
        return opened(dir, path, flags, mode);                                           \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* Space given without bytes: what it extends is only ever zeros, so nothing is recorded; a
 * file that grew this way keeps its size, as after a journalled allocation. */
int creat(const char *path, mode_t mode) {
    return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, (int)mode);
}
int creat64(const char *path, mode_t mode) { return creat(path, mode); }
