#pragma once

// The holt command as a person or an engine runs it: its own root and store under TMPDIR,
// everything with a deadline, and a look at what is left afterwards.

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace holt {

struct Finished {
  int status = -1;  // exit status, 128 + signal; -1: it did not end in time and was killed
  std::string out;
  std::string err;
};

struct RunOptions {
  std::string input;                     // all of stdin
  std::vector<std::string> environment;  // NAME=value, added to ours
  std::string directory;                 // to run in
  std::chrono::seconds deadline{120};
};

// A program that runs; killed with its group when this is destroyed.
class Program {
 public:
  static std::unique_ptr<Program> Start(const std::vector<std::string>& argv,
                                        const RunOptions& options);
  // On a new pseudo-terminal of 24 rows and 80 columns.
  static std::unique_ptr<Program> StartOnTerminal(const std::vector<std::string>& argv,
                                                  const RunOptions& options = {});
  ~Program();

  pid_t pid() const { return pid_; }
  void Type(const std::string& text);
  void Resize(unsigned short rows, unsigned short columns);
  // Reads the terminal or stdout until `text` was seen; false at the end or the deadline. What was
  // read is in out().
  bool WaitFor(const std::string& text, std::chrono::seconds deadline = std::chrono::seconds(60));
  const std::string& out() const { return finished_.out; }
  void Signal(int number);
  // Waits for its end and for the end of its output.
  Finished Finish(std::chrono::seconds deadline = std::chrono::seconds(120));

 private:
  bool ReadSome(int timeout_ms);
  pid_t pid_ = -1;
  bool terminal_ = false;
  bool exited_ = false;
  base::UniqueFd in_, out_, err_;
  std::string input_;
  Finished finished_;
  bool over_ = false;
};

class HoltTest : public ::testing::Test {
 protected:
  // Imports the demo image as "demo" into a store that the tests of this program share.
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;
  // Removes all containers; fails the test for every process, mount and file that is left then.
  void TearDown() override;

  static std::string Accel();
  static std::string BuildDirectory();
  // holt with this test's --root and --store.
  std::vector<std::string> Command(const std::vector<std::string>& args) const;
  Finished Holt(const std::vector<std::string>& args, const RunOptions& options = {}) const;
  // holt run --accel ACCEL ARGS.
  std::vector<std::string> RunCommand(const std::vector<std::string>& args) const;
  Finished Run(const std::vector<std::string>& args, const RunOptions& options = {}) const;
  // Starts a container in the background and returns its id.
  std::string RunDetached(std::vector<std::string> args) const;
  // The error line, without "holt: error: "; fails the test unless it is the only one.
  static std::string ErrorOf(const Finished& finished);

  std::string Scratch(const std::string& name) const { return scratch_ + "/" + name; }
  std::vector<std::string> Leftovers() const;

  std::string root_;
  std::string scratch_;
  static std::string* store_;
};

}  // namespace holt
