#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cgroup/settings.h"

// What a scope of systemd's is told: each property as "Name=value", the value in GVariant's text
// format (shim/cgroup/variant.h), with the names and types of org.freedesktop.systemd1(5).
namespace holt::shim {

// The annotations org.systemd.property.NAME, as runc and crun have them: the value is that of the
// property NAME, and a name that ends in Sec is that of its USec with a number of seconds. Errors
// name the annotation.
base::Result<std::vector<std::string>> AnnotatedProperties(
    const std::map<std::string, std::string>& annotations);

// What systemd has a property for, so that nothing that it does later (a reload, a change of
// another property) undoes the write. A value that cannot be read is left out: the kernel is asked
// about each write too, and its answer counts.
std::vector<std::string> LimitProperties(std::span<const cgroup::CgroupWrite> writes);

}  // namespace holt::shim
