#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"

// Binds structs to JSON objects by one description per struct, used in both directions:
//
//   template <typename A> void Describe(A& a, User& x) { a("uid", x.uid); a("umask", x.umask); }
//
// JsonReader fills a struct and keeps the first error, with the path of the property;
// JsonWriter makes an object that leaves out what is absent or empty.
namespace holt::oci {

using Json = nlohmann::json;

// Parses text under limits; the error is about `what` ("config.json").
base::Result<Json> ParseJsonText(std::string_view text, std::string_view what, size_t max_bytes,
                                 int max_depth);

// The value as text a person can read: strings are as they are, bytes that are not UTF-8 replaced.
std::string DumpJson(const Json& json, int indent);

class JsonReader {
 public:
  explicit JsonReader(std::string path = "") : path_(std::move(path)) {}

  // The member `name` of the current object into `out`; absent and null leave it as it is.
  template <typename T>
  void operator()(const char* name, T& out) {
    auto it = object_->find(name);
    if (failed() || it == object_->end() || it->is_null()) return;
    size_t length = path_.size();
    if (!path_.empty()) path_ += '.';
    path_ += name;
    Read(*it, out);
    path_.resize(length);
  }

  template <typename T>
  void ReadRoot(const Json& json, T& out) {
    Read(json, out);
  }

  bool failed() const { return error_.has_value(); }
  base::Status status() const {
    if (error_) return base::MakeError(base::Code::kInvalidArgument, "{}", *error_);
    return {};
  }

 private:
  void Fail(std::string_view text) {
    if (!error_) error_ = fmt::format("{}: {}", path_.empty() ? "top level" : path_, text);
  }
  void FailType(const Json& json, std::string_view want) {
    Fail(fmt::format("must be {}, not {}", want, json.type_name()));
  }

  void Read(const Json& json, std::string& out) {
    if (!json.is_string()) return FailType(json, "a string");
    out = json.get_ref<const std::string&>();
    if (out.find('\0') != std::string::npos) Fail("has a NUL character");
  }
  void Read(const Json& json, bool& out) {
    if (!json.is_boolean()) return FailType(json, "true or false");
    out = json.get<bool>();
  }
  template <typename T>
  std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>> Read(const Json& json,
                                                                           T& out) {
    if (!json.is_number_integer()) return FailType(json, "a whole number");
    bool fits;
    if (json.is_number_unsigned()) {
      auto value = json.get<uint64_t>();
      fits = value <= static_cast<uint64_t>(std::numeric_limits<T>::max());
      if (fits) out = static_cast<T>(value);
    } else {
      auto value = json.get<int64_t>();
      fits = value < 0 ? std::is_signed_v<T> &&
                             value >= static_cast<int64_t>(std::numeric_limits<T>::min())
                       : static_cast<uint64_t>(value) <=
                             static_cast<uint64_t>(std::numeric_limits<T>::max());
      if (fits) out = static_cast<T>(value);
    }
    if (!fits)
      Fail(fmt::format("{} is out of range ({} to {})", json.dump(), std::numeric_limits<T>::min(),
                       std::numeric_limits<T>::max()));
  }
  template <typename T>
  void Read(const Json& json, std::optional<T>& out) {
    Read(json, out.emplace());
  }
  template <typename T>
  void Read(const Json& json, std::vector<T>& out) {
    if (!json.is_array()) return FailType(json, "a list");
    out.clear();
    out.reserve(json.size());
    size_t length = path_.size();
    for (size_t i = 0; i < json.size() && !failed(); ++i) {
      path_ += fmt::format("[{}]", i);
      Read(json[i], out.emplace_back());
      path_.resize(length);
    }
  }
  template <typename T>
  void Read(const Json& json, std::map<std::string, T>& out) {
    if (!json.is_object()) return FailType(json, "an object");
    out.clear();
    size_t length = path_.size();
    for (auto it = json.begin(); it != json.end() && !failed(); ++it) {
      path_ += fmt::format("[\"{}\"]", it.key().substr(0, 100));
      if (it.key().find('\0') != std::string::npos) Fail("the name has a NUL character");
      Read(it.value(), out[it.key()]);
      path_.resize(length);
    }
  }
  template <typename T>
  std::enable_if_t<std::is_class_v<T>> Read(const Json& json, T& out) {
    if (!json.is_object()) return FailType(json, "an object");
    const Json* outer = object_;
    object_ = &json;
    Describe(*this, out);
    object_ = outer;
  }

  const Json* object_ = nullptr;
  std::string path_;
  std::optional<std::string> error_;
};

class JsonWriter {
 public:
  template <typename T>
  void operator()(const char* name, const T& value) {
    if (!IsAbsent(value)) object_[name] = Write(value);
  }

  template <typename T>
  static Json Write(const T& value) {
    if constexpr (std::is_class_v<T>) {
      JsonWriter writer;
      // Describe takes a mutable reference because the reader fills it; the writer only looks.
      Describe(writer, const_cast<T&>(value));
      return std::move(writer.object_);
    } else {
      return Json(value);
    }
  }
  static Json Write(const std::string& value) { return Json(value); }
  template <typename T>
  static Json Write(const std::optional<T>& value) {
    return Write(*value);
  }
  template <typename T>
  static Json Write(const std::vector<T>& value) {
    Json list = Json::array();
    for (const T& item : value) list.push_back(Write(item));
    return list;
  }
  template <typename T>
  static Json Write(const std::map<std::string, T>& value) {
    Json object = Json::object();
    for (const auto& [key, item] : value) object[key] = Write(item);
    return object;
  }

 private:
  static bool IsAbsent(bool value) { return !value; }
  template <typename T>
  static bool IsAbsent(const std::optional<T>& value) {
    return !value;
  }
  static bool IsAbsent(const std::string& value) { return value.empty(); }
  template <typename T>
  static bool IsAbsent(const std::vector<T>& value) {
    return value.empty();
  }
  template <typename T>
  static bool IsAbsent(const std::map<std::string, T>& value) {
    return value.empty();
  }
  template <typename T>
  static bool IsAbsent(const T&) {
    return false;
  }

  Json object_ = Json::object();
};

}  // namespace holt::oci
