#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace holt::image::registry {

// One challenge of WWW-Authenticate (RFC 9110, 11.6.1).
struct Challenge {
  std::string scheme;                         // lower case: "bearer", "basic"
  std::map<std::string, std::string> values;  // names in lower case

  std::string Value(const std::string& name) const {
    auto it = values.find(name);
    return it == values.end() ? "" : it->second;
  }
};

// All challenges of a header, or of several joined by commas. What cannot be read ends the list.
std::vector<Challenge> ParseChallenges(std::string_view header);

}  // namespace holt::image::registry
