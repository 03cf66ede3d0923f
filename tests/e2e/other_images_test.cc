// Images that other projects' tools made (tests/images/by_others.sh), run and worked in.

#include <gmock/gmock.h>

#include "base/file.h"
#include "tests/e2e/holt.h"

namespace holt {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

class OtherImagesTest : public HoltTest {
 protected:
  void SetUp() override {
    HoltTest::SetUp();
    const char* images = getenv("HOLT_TEST_IMAGES");
    ASSERT_NE(images, nullptr) << "HOLT_TEST_IMAGES names what tests/images/build.sh made";
    images_ = images;
  }
  void Import(const std::vector<std::string>& args) {
    std::vector<std::string> command = {"import"};
    command.insert(command.end(), args.begin(), args.end());
    Finished done = Holt(command, {.deadline = 600s});
    ASSERT_EQ(done.status, 0) << done.err;
  }
  std::string images_;
};

TEST_F(OtherImagesTest, PodmanSave) {
  Import({images_ + "/podman.tar"});
  Finished run = Run({"--rm", "localhost/made-by/podman:1"});
  EXPECT_EQ(run.out, "from podman\n") << run.err;
  EXPECT_EQ(Run({"--rm", "localhost/made-by/podman:1", "sh", "-c", "echo $MADE_BY"}).out,
            "podman\n");
}

TEST_F(OtherImagesTest, UmociRepack) {
  Import({images_ + "/umoci.tar", "umoci"});
  Finished run = Run({"--rm", "umoci"});
  EXPECT_EQ(run.out, "umoci\n") << run.err;
  EXPECT_EQ(Run({"--rm", "umoci", "ls", "/etc/issue"}).status, 2) << "a whiteout hides it";
}

// One import for all of it: the image is large.
TEST_F(OtherImagesTest, BuildahsLayersAndWorkInThem) {
  Import({images_ + "/buildah.tar", "layers"});
  Finished run = Run({"--rm", "layers", "sh", "-c", "id -u; id -g; pwd; echo $GREETING"});
  EXPECT_EQ(run.out, "1000\n1000\n/srv\nhello\n") << run.err;
  run = Run({"--rm", "--entrypoint", "sh", "layers", "-c",
             "ls /srv; ls /srv/opaque; cat /srv/replaced /srv/becomes-file /srv/kept/hard-link; ls "
             "/etc/debian_version"});
  EXPECT_EQ(run.out,
            "becomes-file\ngreet.deb\nkept\nopaque\nreplaced\n"
            "new\nabove\nfile\nbelow\n")
      << run.err;
  EXPECT_EQ(run.status, 2) << run.err;

  // A package manager.
  run = Run({"--rm", "-u", "0", "--entrypoint", "sh", "layers", "-c",
             "apt-get install -y ./greet.deb >log 2>&1 || { cat log; exit 1; }; greet; getent "
             "passwd greeter | cut -d: -f1; "
             "dpkg -s greet | grep Status"},
            {.deadline = 600s});
  EXPECT_EQ(run.out, "greetings\ngreeter\nStatus: install ok installed\n") << run.err;

  // A compiler, an interpreter, a database, with several files open and locked.
  const std::string work = R"(set -e
cd /root
cat >p.c <<'C'
#include <stdio.h>
int main(void) { puts("compiled"); return 0; }
C
gcc -O2 -o p p.c && ./p
python3 - <<'P'
import hashlib, json, os
names = [f"/root/f{i}" for i in range(200)]
for i, name in enumerate(names):
    with open(name, "w") as f: json.dump({"n": i}, f)
print(sum(json.load(open(n))["n"] for n in names))
for n in names: os.remove(n)
P
sqlite3 db 'create table t(a integer primary key, b text); begin;' '.quit'
sqlite3 db "with recursive n(i) as (select 1 union all select i+1 from n where i<2000) insert into t select i, hex(i) from n;"
sqlite3 db 'select count(*), sum(a) from t; pragma integrity_check;'
)";
  run = Run({"--rm", "-i", "-u", "0", "--entrypoint", "sh", "layers"},
            {.input = work, .deadline = 600s});
  EXPECT_EQ(run.out, "compiled\n19900\n2000|2001000\nok\n") << run.err;

  // A gibibyte, copied and checksummed: 16 MiB of noise, 64 times.
  const std::string copy = R"(set -e
cd /root
head -c 16777216 /dev/urandom >noise
for i in $(seq 64); do cat noise; done >a
cp a b
stat -c %s a b
md5sum a b | cut -d " " -f 1 | uniq | wc -l
cmp a b && echo same
)";
  run = Run({"--rm", "-i", "-u", "0", "--entrypoint", "sh", "layers"},
            {.input = copy, .deadline = 900s});
  EXPECT_EQ(run.out, "1073741824\n1073741824\n1\nsame\n") << run.err;
}

}  // namespace
}  // namespace holt
