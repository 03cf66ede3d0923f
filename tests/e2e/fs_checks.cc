#include "tests/e2e/fs_checks.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

namespace {

int failures = 0;

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::printf("fs: line %d: %s (%s)\n", __LINE__, #condition, std::strerror(errno)); \
      ++failures;                                                                        \
    }                                                                                    \
  } while (false)

// True if the expression is -1 with this errno.
#define FAILS(expression, error) ((expression) == -1 && errno == (error))

struct stat Stat(const char* path) {
  struct stat st {};
  CHECK(lstat(path, &st) == 0);
  return st;
}

void Files() {
  int fd = open("f", O_CREAT | O_EXCL | O_RDWR, 0640);
  CHECK(fd >= 0);
  CHECK(FAILS(open("f", O_CREAT | O_EXCL | O_RDWR, 0640), EEXIST));
  CHECK(pwrite(fd, "hello", 5, 3) == 5);
  char buffer[16] = {};
  CHECK(pread(fd, buffer, sizeof buffer, 0) == 8 && std::memcmp(buffer, "\0\0\0hello", 8) == 0);
  CHECK(ftruncate(fd, 4) == 0 && Stat("f").st_size == 4);
  CHECK(fallocate(fd, 0, 0, 65536) == 0 && Stat("f").st_size == 65536);
  CHECK(pwrite(fd, "x", 1, 1 << 20) == 1 && fsync(fd) == 0);
  CHECK(lseek(fd, 0, SEEK_HOLE) >= 4);
  CHECK(lseek(fd, 65536, SEEK_DATA) == 1 << 20);
  int copy = open("copy", O_CREAT | O_RDWR, 0600);
  loff_t from = 0, to = 0;
  CHECK(copy_file_range(fd, &from, copy, &to, 4096, 0) == 4096 && Stat("copy").st_size == 4096);
  void* map = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(map != MAP_FAILED);
  if (map != MAP_FAILED) {
    std::memcpy(map, "mapped", 6);
    CHECK(msync(map, 4096, MS_SYNC) == 0);
    CHECK(pread(fd, buffer, 6, 0) == 6 && std::memcmp(buffer, "mapped", 6) == 0);
    munmap(map, 4096);
  }
  CHECK(unlink("f") == 0 &&
        pread(fd, buffer, 6, 0) == 6);  // an unlinked file lives while it is open
  close(fd);
  close(copy);
  int temporary = open(".", O_TMPFILE | O_RDWR, 0600);
  CHECK(temporary >= 0);
  if (temporary >= 0) {
    CHECK(linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(temporary)).c_str(), AT_FDCWD,
                 "linked", AT_SYMLINK_FOLLOW) == 0);
    CHECK(Stat("linked").st_nlink == 1);
    close(temporary);
  }
}

void Names() {
  CHECK(mkdir("d", 0755) == 0 && FAILS(mkdir("d", 0755), EEXIST));
  CHECK(close(open("d/a", O_CREAT | O_WRONLY, 0600)) == 0);
  CHECK(FAILS(rmdir("d"), ENOTEMPTY) && FAILS(unlink("d"), EISDIR));
  CHECK(link("d/a", "d/b") == 0 && Stat("d/a").st_nlink == 2 &&
        Stat("d/a").st_ino == Stat("d/b").st_ino);
  CHECK(symlink("/etc/passwd", "d/s") == 0);
  char target[64] = {};
  CHECK(readlink("d/s", target, sizeof target) == 11 && std::strcmp(target, "/etc/passwd") == 0);
  CHECK(FAILS(renameat2(AT_FDCWD, "d/a", AT_FDCWD, "d/s", RENAME_NOREPLACE), EEXIST));
  CHECK(renameat2(AT_FDCWD, "d/a", AT_FDCWD, "d/s", RENAME_EXCHANGE) == 0 &&
        S_ISLNK(Stat("d/a").st_mode));
  CHECK(rename("d/s", "d/c") == 0 && FAILS(access("d/s", F_OK), ENOENT));
  CHECK(mknod("d/fifo", S_IFIFO | 0600, 0) == 0 && S_ISFIFO(Stat("d/fifo").st_mode));
  CHECK(mknod("d/null", S_IFCHR | 0666, makedev(1, 3)) == 0 &&
        Stat("d/null").st_rdev == makedev(1, 3));
  for (int i = 0; i < 3000; ++i)
    CHECK(close(open(("d/n" + std::to_string(i)).c_str(), O_CREAT | O_WRONLY, 0600)) == 0);
  DIR* dir = opendir("d");
  int entries = 0;
  while (dir != nullptr && readdir(dir) != nullptr) ++entries;
  CHECK(entries == 3000 + 2 + 5);
  if (dir != nullptr) closedir(dir);
  CHECK(FAILS(open(std::string(300, 'x').c_str(), O_RDONLY), ENAMETOOLONG));
}

void Attributes() {
  int fd = open("attr", O_CREAT | O_RDWR, 0600);
  CHECK(fchown(fd, 1000, 1001) == 0 && Stat("attr").st_uid == 1000 && Stat("attr").st_gid == 1001);
  CHECK(fchmod(fd, 06755) == 0 && (Stat("attr").st_mode & 07777) == 06755);
  CHECK(setxattr("attr", "user.k", "value", 5, 0) == 0);
  char value[64] = {};
  CHECK(getxattr("attr", "user.k", value, sizeof value) == 5 && std::strcmp(value, "value") == 0);
  CHECK(listxattr("attr", value, sizeof value) > 0 && removexattr("attr", "user.k") == 0);
  // cap_net_raw+ep, version 2.
  const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20};
  CHECK(setxattr("attr", "security.capability", capability, sizeof capability, 0) == 0);
  CHECK(pwrite(fd, "x", 1, 0) == 1);
  CHECK(FAILS(getxattr("attr", "security.capability", value, sizeof value),
              ENODATA));  // CVE-2021-20263
  timespec times[2] = {{1000000000, 5}, {1100000000, 7}};
  CHECK(futimens(fd, times) == 0 && Stat("attr").st_mtim.tv_sec == 1100000000 &&
        Stat("attr").st_mtim.tv_nsec == 7);
  struct statvfs vfs {};
  CHECK(fstatvfs(fd, &vfs) == 0 && vfs.f_blocks > 0);
  close(fd);
}

// As somebody who is not root.
void Ownership() {
  CHECK(mkdir("sticky", 0) == 0 && chmod("sticky", 01777) == 0);
  CHECK(mkdir("setgid", 0) == 0 && chown("setgid", 0, 4242) == 0 && chmod("setgid", 02777) == 0);
  CHECK(close(open("sticky/roots", O_CREAT | O_WRONLY, 0644)) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    failures = 0;
    CHECK(setresgid(2000, 2000, 2000) == 0 && setresuid(2000, 2000, 2000) == 0);
    CHECK(close(open("sticky/mine", O_CREAT | O_WRONLY, 0600)) == 0);
    CHECK(Stat("sticky/mine").st_uid == 2000 && Stat("sticky/mine").st_gid == 2000);
    CHECK(FAILS(unlink("sticky/roots"), EPERM) && FAILS(open("sticky/roots", O_WRONLY), EACCES));
    CHECK(close(open("setgid/mine", O_CREAT | O_WRONLY, 0600)) == 0 &&
          Stat("setgid/mine").st_gid == 4242);
    CHECK(mkdir("setgid/sub", 0755) == 0 && (Stat("setgid/sub").st_mode & S_ISGID) != 0);
    std::fflush(stdout);
    _exit(failures);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  failures += WEXITSTATUS(status);
  // A write by another takes set-user-ID away.
  CHECK(close(open("suid", O_CREAT | O_WRONLY, 0600)) == 0 && chmod("suid", 06777) == 0);
  pid = fork();
  if (pid == 0) {
    int fd = setresuid(2000, 2000, 2000) == 0 ? open("suid", O_WRONLY) : -1;
    _exit(write(fd, "x", 1) == 1 ? 0 : 1);
  }
  waitpid(pid, &status, 0);
  CHECK(status == 0 && (Stat("suid").st_mode & S_ISUID) == 0);
}

void Locks() {
  int one = open("lock", O_CREAT | O_RDWR, 0600);
  int two = open("lock", O_RDWR);
  CHECK(flock(one, LOCK_EX) == 0 && FAILS(flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK));
  CHECK(flock(one, LOCK_UN) == 0 && flock(two, LOCK_EX | LOCK_NB) == 0);
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_len = 10;
  CHECK(fcntl(one, F_SETLK, &range) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    struct flock other = range;
    _exit(FAILS(fcntl(two, F_SETLK, &other), EAGAIN) ? 0 : 1);
  }
  int status = 1;
  waitpid(pid, &status, 0);
  CHECK(status == 0);
  close(one);
  close(two);
}

void ReadOnly() {
  CHECK(FAILS(open("new", O_CREAT | O_WRONLY, 0600), EROFS));
  CHECK(FAILS(mkdir("new", 0700), EROFS) && FAILS(open("given", O_WRONLY), EROFS));
  CHECK(FAILS(unlink("given"), EROFS) && FAILS(chmod("given", 0777), EROFS));
  char buffer[8] = {};
  int fd = open("given", O_RDONLY);
  CHECK(read(fd, buffer, sizeof buffer) == 5 && std::strcmp(buffer, "given") == 0);
}

}  // namespace

int RunFsChecks(const char* root, bool expect_readonly) {
  umask(0);
  CHECK(chdir(root) == 0);
  // Out of the share by name or by link, there is only this guest's own.
  CHECK(FAILS(access("escape/holt-host-marker", F_OK), ENOENT));
  if (expect_readonly) {
    ReadOnly();
  } else {
    Files();
    Names();
    Attributes();
    Ownership();
    Locks();
  }
  std::printf("fs: %d checks failed\n", failures);
  std::fflush(stdout);
  return failures;
}
