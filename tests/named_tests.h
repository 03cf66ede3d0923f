#pragma once

#include <set>
#include <string>

namespace holt {

// Suite.Name of every GoogleTest case in the tree: what tables in docs/ may name.
std::set<std::string> AllTests();

}  // namespace holt
