#include "shim/monitor/start_gate.h"

#include <gtest/gtest.h>

#include <vector>

namespace holt::shim {
namespace {

class StartGateTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = base::EventLoop::Create();
    ASSERT_TRUE(loop.ok());
    loop_ = std::move(*loop);
    gate_ = std::make_unique<StartGate>(*loop_, 2);
  }
  void Enter(int who) {
    gate_->Enter([this, who](StartGate::Place place) {
      order_.push_back(who);
      places_.push_back(std::move(place));
    });
  }
  // Runs what was posted.
  void Turn() { loop_->RunOnce(std::chrono::nanoseconds(0)); }

  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<StartGate> gate_;
  std::vector<int> order_;
  std::vector<StartGate::Place> places_;
};

TEST_F(StartGateTest, LetsInAsManyAsThereArePlacesAndTheOthersInOrder) {
  for (int who = 0; who < 5; ++who) Enter(who);
  EXPECT_EQ(order_, (std::vector{0, 1}));
  EXPECT_EQ(gate_->waiting(), 3u);
  places_[0].reset();
  EXPECT_EQ(order_.size(), 2u);  // not from within
  Turn();
  EXPECT_EQ(order_, (std::vector{0, 1, 2}));
  places_[1].reset();
  places_[2].reset();
  Turn();
  EXPECT_EQ(order_, (std::vector{0, 1, 2, 3, 4}));
}

TEST_F(StartGateTest, ACopyHoldsThePlace) {
  Enter(0);
  Enter(1);
  StartGate::Place copy = places_[0];
  places_[0].reset();
  Enter(2);
  Turn();
  EXPECT_EQ(order_.size(), 2u);
  copy.reset();
  Turn();
  EXPECT_EQ(order_.size(), 3u);
}

TEST_F(StartGateTest, OneThatGivesUpAtOnceLetsTheNextIn) {
  int entered = 0;
  for (int i = 0; i < 100; ++i) gate_->Enter([&](const StartGate::Place&) { ++entered; });
  for (int i = 0; i < 100 && entered < 100; ++i) Turn();
  EXPECT_EQ(entered, 100);
}

TEST_F(StartGateTest, MayGoBeforeItsPlacesAndThoseWhoWait) {
  for (int who = 0; who < 3; ++who) Enter(who);
  gate_.reset();
  places_.clear();
  Turn();
  EXPECT_EQ(order_, (std::vector{0, 1}));
}

}  // namespace
}  // namespace holt::shim
