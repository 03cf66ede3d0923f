#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holt::oci {

struct CpuRange {
  uint32_t first = 0;
  uint32_t last = 0;  // inclusive
};

// cpuset(7)'s list format, "0-3,7". `path` ("process.execCPUAffinity.initial") begins an error.
base::Result<std::vector<CpuRange>> ParseCpuList(std::string_view text, const std::string& path);

}  // namespace holt::oci
