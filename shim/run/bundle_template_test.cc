#include "shim/run/bundle_template.h"

#include <gtest/gtest.h>

#include "oci/unsupported.h"

namespace holt::shim {
namespace {

TEST(BundleTemplateTest, IsWhatCreateAccepts) {
  auto config = oci::ParseConfig(oci::SerializeConfig(BundleTemplate(), 4));
  ASSERT_TRUE(config.ok()) << config.error().message();
  auto status = oci::CheckSupported(*config);
  EXPECT_TRUE(status.ok()) << status.error().message();
  EXPECT_TRUE(config->process->terminal);
  EXPECT_TRUE(config->root->readonly);
}

}  // namespace
}  // namespace holt::shim
