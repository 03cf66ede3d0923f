#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "image/pull.h"

namespace holt::e2e {

// A store of its own, no credentials of whoever runs the tests, and delays short enough for tests.
class PullFixture : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = testing::TempDir() + "pull.XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
    setenv("HOME", directory_.c_str(), 1);
    for (const char* name :
         {"REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "DOCKER_CONFIG"})
      unsetenv(name);
    auto store = image::Store::Open(directory_ + "/store");
    ASSERT_TRUE(store.ok()) << store.error().message();
    store_ = std::move(*store);
    options_.retry.first_delay = std::chrono::milliseconds(20);
    options_.retry.longest_delay = std::chrono::milliseconds(50);
    options_.retry.attempts = 4;
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(directory_).ok()); }

  base::Result<image::StoredImage> Pull(const std::string& name) {
    auto reference = image::Reference::Parse(name);
    if (!reference) return std::move(reference).error();
    return image::PullImage(*store_, *reference, options_);
  }
  // Pulls, expects an error and returns its message.
  std::string Refused(const std::string& name) {
    auto image = Pull(name);
    EXPECT_FALSE(image.ok());
    auto images = store_->ListImages();
    EXPECT_TRUE(images.ok() && images->empty()) << "a failed pull left an image";
    return image.ok() ? "" : image.error().message();
  }
  std::string RootOf(const image::StoredImage& image) {
    return store_->LayerRoot(*image::Digest::Parse(image.layers.back()));
  }

  std::string directory_;
  std::unique_ptr<image::Store> store_;
  image::PullOptions options_;
};

}  // namespace holt::e2e
