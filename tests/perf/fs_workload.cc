// What fs.py runs in the guest: works on a directory of the share and prints one line per figure,
// "figure NAME VALUE UNIT". Caches of the guest are dropped between the phases; the host's stay
// warm, so that what is measured is the way between the two.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace {

constexpr size_t kBlock = 1 << 20;

double Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

void DropCaches() {
  sync();
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
  if (fd < 0 || write(fd, "3", 1) != 1) Fail("drop_caches");
  close(fd);
}

void Report(const char* name, double amount, double seconds, const char* unit) {
  std::printf("figure %s %.1f %s\n", name, amount / seconds, unit);
}

int OpenOrFail(const char* path, int flags) {
  int fd = open(path, flags, 0644);
  if (fd < 0) Fail(path);
  return fd;
}

void Data(size_t mebibytes, int random_reads) {
  std::vector<char> block(kBlock, 'x');
  double begin = Now();
  int fd = OpenOrFail("data", O_CREAT | O_TRUNC | O_RDWR);
  for (size_t i = 0; i < mebibytes; ++i)
    if (write(fd, block.data(), kBlock) != static_cast<ssize_t>(kBlock)) Fail("write");
  if (fdatasync(fd) != 0) Fail("fdatasync");
  Report("sequential-write", static_cast<double>(mebibytes), Now() - begin, "MiB/s");
  close(fd);

  DropCaches();
  begin = Now();
  fd = OpenOrFail("data", O_RDONLY);
  for (size_t i = 0; i < mebibytes; ++i)
    if (read(fd, block.data(), kBlock) != static_cast<ssize_t>(kBlock)) Fail("read");
  Report("sequential-read", static_cast<double>(mebibytes), Now() - begin, "MiB/s");
  close(fd);

  DropCaches();
  fd = OpenOrFail("data", O_RDONLY);
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  uint64_t state = 88172645463325252ull;  // the same places in every run
  begin = Now();
  for (int i = 0; i < random_reads; ++i) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    const auto at = static_cast<off_t>(state % (mebibytes * 256)) * 4096;
    if (pread(fd, block.data(), 4096, at) != 4096) Fail("pread");
  }
  Report("random-read-4k", random_reads, Now() - begin, "reads/s");
  close(fd);
  unlink("data");
}

void Metadata(int files) {
  if (mkdir("many", 0755) != 0 || chdir("many") != 0) Fail("many");
  std::vector<std::string> names;
  for (int i = 0; i < files; ++i) names.push_back("file-" + std::to_string(i));
  double begin = Now();
  for (const std::string& name : names)
    close(OpenOrFail(name.c_str(), O_CREAT | O_EXCL | O_WRONLY));
  Report("create", files, Now() - begin, "files/s");

  DropCaches();
  begin = Now();
  struct stat st {};
  for (const std::string& name : names)
    if (lstat(name.c_str(), &st) != 0) Fail("stat");
  Report("stat", files, Now() - begin, "files/s");

  DropCaches();
  begin = Now();
  DIR* directory = opendir(".");
  if (directory == nullptr) Fail("opendir");
  while (dirent* entry = readdir(directory))
    if (fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) Fail("stat");
  closedir(directory);
  Report("list-and-stat", files, Now() - begin, "files/s");

  begin = Now();
  for (const std::string& name : names)
    if (unlink(name.c_str()) != 0) Fail("unlink");
  Report("unlink", files, Now() - begin, "files/s");
  if (chdir("..") != 0 || rmdir("many") != 0) Fail("rmdir");
}

}  // namespace

// fs_workload DIRECTORY MEBIBYTES RANDOM_READS FILES
int main(int argc, char** argv) {
  if (argc != 5) return 2;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (mkdir(argv[1], 0755) != 0 || chdir(argv[1]) != 0) Fail(argv[1]);
  Data(std::strtoul(argv[2], nullptr, 10), std::atoi(argv[3]));
  Metadata(std::atoi(argv[4]));
  if (chdir("/") != 0 || rmdir(argv[1]) != 0) Fail(argv[1]);
  return 0;
}
