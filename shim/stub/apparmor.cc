#include "shim/stub/apparmor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

namespace holt::stub {

base::UniqueFd OpenProfile(char* error, size_t error_size) {
  // Since Linux 5.8; the file one directory up belongs to whichever security module comes first.
  base::UniqueFd file(open("/proc/self/attr/apparmor/current", O_WRONLY | O_CLOEXEC));
  if (!file)
    snprintf(error, error_size, "process.apparmorProfile: this host has no AppArmor: %s",
             strerror(errno));
  return file;
}

bool EnterProfile(int file, const char* name, char* error, size_t error_size) {
  // aa_change_profile(2): one write.
  char command[512];
  const int length = snprintf(command, sizeof command, "changeprofile %s", name);
  const bool fits = length > 0 && static_cast<size_t>(length) < sizeof command;
  if (fits && write(file, command, static_cast<size_t>(length)) == length) return true;
  snprintf(error, error_size, "process.apparmorProfile: %s: %s", name,
           strerror(fits ? errno : ENAMETOOLONG));
  return false;
}

}  // namespace holt::stub
