// Hostile and merely odd layers, written byte by byte, unpacked in the form of both drivers. After
// each, nothing beside the layer's own directory may have changed.

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <fstream>

#include "tests/e2e/image_fixture.h"
#include "tests/e2e/tar_maker.h"

namespace holt {
namespace {

using image::Driver;
using image::layer::UnpackLayer;
using image::layer::UnpackOptions;
using image::layer::UnpackResult;
using testing::AnyOf;
using testing::HasSubstr;

class UnpackTest : public ImageFixture, public testing::WithParamInterface<Driver> {
 protected:
  void SetUp() override {
    ImageFixture::SetUp();
    for (const char* directory : {"outside/directory", "outside/empty", "layers"})
      ASSERT_TRUE(base::MakeDirs(Path(directory)).ok());
    ASSERT_TRUE(base::WriteFile(Path("outside/file"), "untouched", 0600).ok());
    ASSERT_TRUE(base::WriteFile(Path("outside/directory/file"), "untouched", 0600).ok());
    // The layer lies in the middle of it, so that ".." leads there too.
    ASSERT_TRUE(base::MakeDirs(root_ = Path("outside/layer/fs")).ok());
    before_ = Outside();
    options_.driver = GetParam();
  }
  void TearDown() override {
    EXPECT_EQ(Outside(), before_) << "the archive reached outside";
    ImageFixture::TearDown();
  }

  std::map<std::string, std::string> Outside() {
    auto seen = Snapshot(Path("outside"));
    std::erase_if(seen, [&](const auto& item) { return item.first.starts_with(root_); });
    return seen;
  }

  base::Result<UnpackResult> Unpack(const std::string& bytes) {
    StringSource source(bytes);
    return UnpackLayer(source, root_, options_);
  }
  UnpackResult Accepted(const std::string& bytes) {
    auto result = Unpack(bytes);
    EXPECT_TRUE(result.ok()) << result.error().message();
    return result ? *result : UnpackResult();
  }
  UnpackResult Accepted(const TarMaker& tar) { return Accepted(tar.Finish()); }
  // The message of the refusal.
  std::string Refused(const std::string& bytes) {
    auto result = Unpack(bytes);
    EXPECT_FALSE(result.ok()) << "the archive was accepted";
    return result ? "" : result.error().message();
  }
  std::string Refused(const TarMaker& tar) { return Refused(tar.Finish()); }

  std::string In(const std::string& name) const { return root_ + "/" + name; }

  // Is there a mark that hides `name` of lower layers, in the driver's own way?
  bool IsWhiteout(const std::string& parent, const std::string& name) {
    std::string prefix = root_ + "/" + parent;
    if (GetParam() == Driver::kNative) return Exists(prefix + ".wh." + name);
    if (!Exists(prefix + name)) return false;
    struct stat st = Stat(prefix + name);
    return S_ISCHR(st.st_mode) && st.st_rdev == 0;
  }
  bool IsOpaque(const std::string& directory) {
    if (GetParam() == Driver::kNative) return Exists(In(directory + "/.wh..wh..opq"));
    char value = 0;
    return getxattr(In(directory).c_str(), "trusted.overlay.opaque", &value, 1) == 1 &&
           value == 'y';
  }

  std::string root_;
  std::map<std::string, std::string> before_;
  UnpackOptions options_;
};

INSTANTIATE_TEST_SUITE_P(Drivers, UnpackTest, testing::Values(Driver::kOverlay, Driver::kNative),
                         [](const auto& each) {
                           return each.param == Driver::kOverlay ? "Overlay" : "Native";
                         });

// --- names that lead out ---

TEST_P(UnpackTest, AbsolutePath) {
  EXPECT_THAT(Refused(TarMaker().File(Path("outside/file"), "owned")),
              HasSubstr("is an absolute path"));
}

TEST_P(UnpackTest, DotDot) {
  for (const char* name : {"../file", "../../file", "a/../../../file", "..", "a/..",
                           "a/b/../../../../file", "./../../file", "a//../../../file"})
    EXPECT_THAT(Refused(TarMaker().Directory("a").Directory("a/b").File(name, "owned")),
                HasSubstr("leaves the layer by \"..\""))
        << name;
}

TEST_P(UnpackTest, DotsThatAreNames) {
  Accepted(TarMaker().File("...", "a").File("..a", "b").File("a..", "c").File("./b/./c", "d"));
  EXPECT_EQ(Content(In("...")) + Content(In("..a")) + Content(In("a..")) + Content(In("b/c")),
            "abcd");
}

// --- symbolic links that lead out ---

TEST_P(UnpackTest, FileThroughSymlinkedDirectory) {
  for (std::string target :
       {Path("outside/directory"), std::string("../../directory"), std::string("a/../../..")})
    EXPECT_THAT(Refused(TarMaker().Symlink("link", target).File("link/file", "owned")),
                HasSubstr("goes through a symbolic link"));
}

TEST_P(UnpackTest, EveryKindThroughSymlinkedDirectory) {
  auto start = [&] { return TarMaker().Symlink("link", Path("outside/directory")); };
  EXPECT_THAT(Refused(start().Directory("link/new")), HasSubstr("goes through a symbolic link"));
  EXPECT_THAT(Refused(start().Symlink("link/new", "x")), HasSubstr("goes through a symbolic link"));
  EXPECT_THAT(Refused(start().Fifo("link/new")), HasSubstr("goes through a symbolic link"));
  EXPECT_THAT(Refused(start().Character("link/new", 1, 3)),
              HasSubstr("goes through a symbolic link"));
  EXPECT_THAT(Refused(start().File("here").HardLink("link/new", "here")),
              HasSubstr("goes through a symbolic link"));
  EXPECT_THAT(Refused(start().File("link/deep/er", "x")),
              HasSubstr("goes through a symbolic link"));
}

TEST_P(UnpackTest, WhiteoutThroughSymlink) {
  auto start = [&] { return TarMaker().Symlink("link", Path("outside/directory")); };
  EXPECT_THAT(Refused(start().File("link/.wh.file")), HasSubstr("goes through a symbolic link"));
  EXPECT_THAT(Refused(start().File("link/.wh..wh..opq")),
              HasSubstr("goes through a symbolic link"));
}

TEST_P(UnpackTest, FileOverSymlinkReplacesIt) {
  Accepted(TarMaker().Symlink("link", Path("outside/file")).File("link", "inside"));
  EXPECT_TRUE(S_ISREG(Stat(In("link")).st_mode));
  EXPECT_EQ(Content(In("link")), "inside");
}

TEST_P(UnpackTest, DirectoryOverSymlinkReplacesIt) {
  // Otherwise the owner and mode would go to the directory outside.
  Accepted(TarMaker()
               .Symlink("link", Path("outside/directory"))
               .Directory("link", {.mode = 0777, .uid = 7}));
  EXPECT_TRUE(S_ISDIR(Stat(In("link")).st_mode));
}

TEST_P(UnpackTest, DirectoryThenSymlinkThenFileInIt) {
  // A directory that was open a moment ago has become a way out.
  EXPECT_THAT(Refused(TarMaker()
                          .Directory("d")
                          .File("d/first", "x")
                          .Symlink("d", Path("outside/directory"))
                          .File("d/file", "owned")),
              HasSubstr("goes through a symbolic link"));
}

TEST_P(UnpackTest, SymlinkOverRootIsRefused) {
  EXPECT_THAT(Refused(TarMaker().Symlink("./", Path("outside/directory")).File("file", "owned")),
              HasSubstr("the root is a symbolic link"));
  EXPECT_THAT(Refused(TarMaker().File(".", "x")), HasSubstr("the root is not a directory"));
}

TEST_P(UnpackTest, SymlinksThemselvesAreKeptAsTheyAre) {
  Accepted(TarMaker()
               .Symlink("a", "/etc/passwd")
               .Symlink("b", "../../../x", {.uid = 5})
               .Symlink("c", "c"));
  char target[64] = {};
  ASSERT_GT(readlink(In("b").c_str(), target, sizeof target - 1), 0);
  EXPECT_STREQ(target, "../../../x");
  EXPECT_EQ(Stat(In("b")).st_uid, 5U);
}

// --- hard links that lead out ---

TEST_P(UnpackTest, HardLinkOutside) {
  EXPECT_THAT(Refused(TarMaker().HardLink("in", Path("outside/file"))),
              HasSubstr("is an absolute path"));
  EXPECT_THAT(Refused(TarMaker().HardLink("in", "../../file")),
              HasSubstr("leaves the layer by \"..\""));
  EXPECT_THAT(Refused(TarMaker().Symlink("out", Path("outside")).HardLink("in", "out/file")),
              HasSubstr("goes through a symbolic link"));
}

TEST_P(UnpackTest, HardLinkToSymlinkThenWrite) {
  // The link is to the symbolic link itself, and the write replaces it.
  Accepted(
      TarMaker().Symlink("out", Path("outside/file")).HardLink("in", "out").File("in", "inside"));
  EXPECT_EQ(Content(In("in")), "inside");
  EXPECT_TRUE(S_ISLNK(Stat(In("out")).st_mode));
}

TEST_P(UnpackTest, HardLinkOddities) {
  EXPECT_THAT(Refused(TarMaker().Directory("d").HardLink("in", "d")),
              HasSubstr("hard link to a directory"));
  EXPECT_THAT(Refused(TarMaker().File("a").HardLink("a", "a")), HasSubstr("hard link to itself"));
  EXPECT_THAT(Refused(TarMaker().HardLink(".", "a")), HasSubstr("hard link to or from the root"));
  EXPECT_THAT(Refused(TarMaker().HardLink("a", ".")), HasSubstr("hard link to or from the root"));
  Refused(TarMaker().Directory("d").File("d/f", "x").HardLink("d", "d/f"));
}

TEST_P(UnpackTest, HardLinksShareTheFile) {
  Accepted(TarMaker().File("d/a", "shared").HardLink("e/b", "d/a"));
  EXPECT_EQ(Stat(In("d/a")).st_ino, Stat(In("e/b")).st_ino);
  EXPECT_EQ(Stat(In("d/a")).st_nlink, 2U);
}

TEST_P(UnpackTest, FileOverHardLinkLeavesTheOther) {
  Accepted(TarMaker().File("a", "first").HardLink("b", "a").File("b", "second"));
  EXPECT_EQ(Content(In("a")), "first");
  EXPECT_EQ(Content(In("b")), "second");
}

// --- whiteouts ---

TEST_P(UnpackTest, WhiteoutOfNoName) {
  for (const char* name : {".wh..", ".wh...", ".wh.", "a/.wh..", "a/.wh..."})
    EXPECT_THAT(Refused(TarMaker().Directory("a").File(name)), HasSubstr("is a whiteout of"))
        << name;
}

TEST_P(UnpackTest, WhiteoutsBecomeTheDriversMarks) {
  Accepted(TarMaker()
               .File(".wh.gone")
               .Directory("d")
               .File("d/.wh.gone")
               .Directory("o")
               .File("o/.wh..wh..opq"));
  EXPECT_TRUE(IsWhiteout("", "gone"));
  EXPECT_TRUE(IsWhiteout("d/", "gone"));
  EXPECT_TRUE(IsOpaque("o"));
  EXPECT_FALSE(IsOpaque("d"));
}

TEST_P(UnpackTest, WhiteoutsSpareTheirOwnLayer) {
  Accepted(TarMaker()
               .File("a", "x")
               .File(".wh.a")
               .Directory("o")
               .File("o/new", "y")
               .File("o/.wh..wh..opq"));
  EXPECT_EQ(Content(In("a")), "x");
  EXPECT_EQ(Content(In("o/new")), "y");
  EXPECT_TRUE(IsOpaque("o"));
}

TEST_P(UnpackTest, WhiteoutThenTheNameAgain) {
  Accepted(TarMaker()
               .File(".wh.a")
               .File("a", "new")
               .File(".wh.d")
               .File("d/f", "new")
               .File(".wh.e")
               .Directory("e"));
  EXPECT_EQ(Content(In("a")), "new");
  EXPECT_EQ(Content(In("d/f")), "new");
  // What the lower layers have in them stays hidden.
  EXPECT_TRUE(IsOpaque("d"));
  EXPECT_TRUE(IsOpaque("e"));
}

TEST_P(UnpackTest, FilesUnderNamesOfMarks) {
  // With the native driver a directory of such a name would be taken for a mark later on.
  for (const char* name : {".wh.a/file", "d/.wh..wh..opq/file", ".wh.../file", ".wh.a/b/c"}) {
    auto result = Unpack(TarMaker().Directory("d").File(name, "x").Finish());
    EXPECT_FALSE(IsWhiteout("", "a")) << name;
    EXPECT_FALSE(Exists(In("d/.wh..wh..opq"))) << name;
    EXPECT_FALSE(Exists(In(".wh..."))) << name;
    EXPECT_TRUE(result.ok() || result.error().message().find("whiteout") != std::string::npos)
        << name;
  }
}

TEST_P(UnpackTest, HardLinkToMark) {
  EXPECT_THAT(Refused(TarMaker().File(".wh.a").HardLink("b", ".wh.a")), HasSubstr("whiteout"));
}

TEST_P(UnpackTest, AufsMetadataIsIgnored) {
  Accepted(TarMaker()
               .File(".wh..wh.aufs")
               .Directory(".wh..wh.plnk")
               .File(".wh..wh.plnk/12.34", "x")
               .File("f", "y"));
  EXPECT_EQ(Content(In("f")), "y");
  EXPECT_FALSE(Exists(In(".wh..wh.plnk")));
}

TEST_P(UnpackTest, CharacterDeviceThatOverlayTakesForWhiteout) {
  EXPECT_THAT(Refused(TarMaker().Character("etc", 0, 0)), HasSubstr("character device 0:0"));
}

// --- names ---

TEST_P(UnpackTest, OddNames) {
  std::string longest(255, 'n');
  std::string deep = longest + "/" + longest + "/" + longest + "/file";
  Accepted(TarMaker()
               .File("new\nline", "a")
               .File("esc\x1b[2J", "b")
               .File(deep, "c")
               .File("\xff\xfe", "d")
               .File("caf\xc3\xa9", "e"));
  EXPECT_EQ(Content(In("new\nline")) + Content(In("esc\x1b[2J")) + Content(In(deep)), "abc");
  EXPECT_EQ(Content(In("caf\xc3\xa9")), "e");
  EXPECT_EQ(Content(In("\xff\xfe")), "d");
}

TEST_P(UnpackTest, TooLongNames) {
  EXPECT_THAT(Refused(TarMaker().File(std::string(256, 'n'))), HasSubstr("a name of 256 bytes"));
  std::string path;
  while (path.size() < 5000) path += "d/";
  EXPECT_THAT(Refused(TarMaker().File(path + "f")), HasSubstr("a path of 5"));
  EXPECT_THAT(Refused(TarMaker().Symlink("l", path)), HasSubstr("no target Linux could keep"));
}

TEST_P(UnpackTest, NulInAName) {
  // Cut at the NUL or refused, but never past a check: "ok\0/../../file" must not become "../file".
  (void)Unpack(
      TarMaker().File("x", "", {.pax = {{"path", std::string("ok\0/../../file", 14)}}}).Finish());
  (void)Unpack(TarMaker().File("x", "", {.pax = {{"path", std::string("\0../file", 8)}}}).Finish());
  (void)Unpack(TarMaker().HardLink("y", std::string_view("ok\0/../../file", 14)).Finish());
}

TEST_P(UnpackTest, MessagesShowNoControlCharacters) {
  std::string message = Refused(TarMaker().File("../\x1b[2J\n" + std::string(3000, 'x')));
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_LT(message.size(), 500U);
}

// --- bombs ---

TEST_P(UnpackTest, TooManyEntries) {
  options_.limits.max_entries = 3;
  TarMaker three = TarMaker().File("a").File("b").File("c");
  Accepted(three);
  EXPECT_THAT(Refused(three.File("d")), HasSubstr("more than 3 entries"));
}

TEST_P(UnpackTest, TooManyBytes) {
  options_.limits.max_bytes = 1 << 20;
  EXPECT_THAT(Refused(TarMaker().File("a", std::string(2 << 20, 'x'))),
              HasSubstr("claims a size of 2097152 bytes"));
  std::string half(600 << 10, 'x');
  EXPECT_THAT(Refused(TarMaker().File("a", half).File("b", half)),
              HasSubstr("more than 1048576 bytes uncompressed"));
}

TEST_P(UnpackTest, SparseFileOfEightExbibytes) {
  TarMaker tar;
  // GNU sparse format 1.0: the map is in the content; here it says no data at all.
  tar.File("GNUSparseFile.0/huge", "0\n" + std::string(510, '\0'),
           {.pax = {{"GNU.sparse.major", "1"},
                    {"GNU.sparse.minor", "0"},
                    {"GNU.sparse.name", "huge"},
                    {"GNU.sparse.realsize", "9223372036854775807"}}});
  EXPECT_THAT(Refused(tar), HasSubstr("huge"));
}

TEST_P(UnpackTest, SizeInTheHeaderBeyondTheArchive) {
  EXPECT_THAT(Refused(TarMaker().File("a", "x", {.claimed_size = 1ULL << 40})), HasSubstr("a"));
  EXPECT_THAT(Refused(TarMaker().File("a", "x", {.claimed_size = 100'000})),
              HasSubstr("damaged tar"));
  Refused(TarMaker().File("a", "x", {.claimed_size = ~0ULL >> 1}));
}

TEST_P(UnpackTest, TooManyExtendedAttributes) {
  options_.limits.max_xattr_bytes = 1000;
  EXPECT_THAT(
      Refused(TarMaker().File("a", "", {.pax = {{"SCHILY.xattr.user.x", std::string(1001, 'v')}}})),
      HasSubstr("more than 1000 bytes of extended attributes"));
}

// --- damage ---

TEST_P(UnpackTest, CutOffTar) {
  std::string whole = TarMaker().File("a", std::string(100'000, 'x')).Finish();
  for (size_t cut : {whole.size() - 1024 - 512, size_t{51'200}, size_t{700}, size_t{300}})
    EXPECT_THAT(Refused(whole.substr(0, cut)), HasSubstr("tar")) << cut;
}

TEST_P(UnpackTest, NotATar) {
  EXPECT_THAT(Refused(std::string(5000, 'x')), HasSubstr("tar"));
  EXPECT_THAT(Refused(TarMaker().File("a", "b").unfinished() + std::string(5000, 'x')),
              HasSubstr("tar"));
}

TEST_P(UnpackTest, RubbishBehindTheEnd) {
  // As tar(1) does: what follows the end mark belongs to the digest and to nothing else.
  Accepted(TarMaker().File("a", "b").Finish() + TarMaker().File("../file", "owned").Finish());
  EXPECT_EQ(Content(In("a")), "b");
}

TEST_P(UnpackTest, UnknownTypeOfEntry) {
  TarMaker tar;
  tar.Entry('Z', "a", "", "content", {});
  Accepted(tar);  // POSIX: an unknown type is a regular file
  EXPECT_EQ(Content(In("a")), "content");
}

// --- what comes twice: the last one counts ---

TEST_P(UnpackTest, Duplicates) {
  Accepted(TarMaker().File("f", "first, longer").File("f", "second"));
  EXPECT_EQ(Content(In("f")), "second");
  Accepted(TarMaker()
               .Directory("x")
               .File("x/deep/f", "1")
               .File("x", "file")
               .Symlink("x", "link")
               .Directory("x"));
  EXPECT_TRUE(S_ISDIR(Stat(In("x")).st_mode));
  EXPECT_FALSE(Exists(In("x/deep")));
  Accepted(
      TarMaker().Directory("k").File("k/f", "kept").Directory("k", {.mode = 0700, .mtime = 5}));
  EXPECT_EQ(Content(In("k/f")), "kept");
  EXPECT_EQ(Stat(In("k")).st_mode & 07777, 0700U);
  EXPECT_EQ(Stat(In("k")).st_mtim.tv_sec, 5);
}

TEST_P(UnpackTest, FileUnderFile) {
  EXPECT_THAT(Refused(TarMaker().File("a", "x").File("a/b", "y")), HasSubstr("not a directory"));
}

// --- attributes ---

TEST_P(UnpackTest, AttributesThatSteerOverlayfs) {
  for (const char* name :
       {"trusted.overlay.redirect", "trusted.overlay.opaque", "user.overlay.opaque"})
    EXPECT_THAT(Refused(TarMaker().Directory(
                    "d", {.mode = 0755, .pax = {{std::string("SCHILY.xattr.") + name, "/etc"}}})),
                HasSubstr("hostile archive: extended attribute"))
        << name;
}

TEST_P(UnpackTest, AttributesKeptAndDropped) {
  // cap_net_raw=ep, as setcap writes it (struct vfs_cap_data, revision 2).
  std::string capability(
      "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  Accepted(TarMaker().File("ping", "x",
                           {.mode = 0755,
                            .uid = 3,
                            .pax = {{"SCHILY.xattr.security.capability", capability},
                                    {"SCHILY.xattr.trusted.other", "t"},
                                    {"SCHILY.xattr.security.selinux", "label"}}}));
  std::string value(64, '\0');
  ssize_t n = getxattr(In("ping").c_str(), "security.capability", value.data(), value.size());
  ASSERT_EQ(n, 20);
  EXPECT_EQ(value.substr(0, 20), capability);
  EXPECT_EQ(getxattr(In("ping").c_str(), "trusted.other", nullptr, 0), -1);
  EXPECT_EQ(Stat(In("ping")).st_uid, 3U);
}

TEST_P(UnpackTest, ModesOwnersAndTimes) {
  Accepted(
      TarMaker()
          .File("su", "x", {.mode = 06755, .uid = 4'000'000'000, .gid = 12'345'678, .mtime = 123})
          .Directory("tmp", {.mode = 01777, .mtime = 456})
          .File("tmp/f", "y", {.pax = {{"mtime", "789.123456789"}}}));
  struct stat st = Stat(In("su"));
  EXPECT_EQ(st.st_mode & 07777, 06755U);
  EXPECT_EQ(st.st_uid, 4'000'000'000U);
  EXPECT_EQ(st.st_gid, 12'345'678U);
  EXPECT_EQ(st.st_mtim.tv_sec, 123);
  EXPECT_EQ(Stat(In("tmp")).st_mode & 07777, 01777U);
  EXPECT_EQ(Stat(In("tmp")).st_mtim.tv_sec, 456);
  EXPECT_EQ(Stat(In("tmp/f")).st_mtim.tv_nsec, 123456789);
  EXPECT_THAT(Refused(TarMaker().File("o", "", {.uid = 4'294'967'295})), HasSubstr("out of range"));
}

TEST_P(UnpackTest, UmaskDoesNotMatter) {
  mode_t old = umask(0777);
  Accepted(TarMaker().File("implicit/f", "x", {.mode = 0644}).Directory("d"));
  umask(old);
  EXPECT_EQ(Stat(In("implicit")).st_mode & 07777, 0755U);
  EXPECT_EQ(Stat(In("implicit/f")).st_mode & 07777, 0644U);
  EXPECT_EQ(Stat(In("d")).st_mode & 07777, 0755U);
}

TEST_P(UnpackTest, NodesAreKeptAndNotOpened) {
  Accepted(TarMaker().Character("null", 1, 3).Block("disk", 8, 1).Fifo("pipe"));
  EXPECT_TRUE(S_ISCHR(Stat(In("null")).st_mode));
  EXPECT_EQ(Stat(In("null")).st_rdev, makedev(1, 3));
  EXPECT_TRUE(S_ISBLK(Stat(In("disk")).st_mode));
  EXPECT_EQ(Stat(In("disk")).st_rdev, makedev(8, 1));
  EXPECT_TRUE(S_ISFIFO(Stat(In("pipe")).st_mode));
  // A file of that name replaces the node; writing into it would be writing to the device.
  Accepted(TarMaker().Character("null", 1, 3).File("null", "data"));
  EXPECT_TRUE(S_ISREG(Stat(In("null")).st_mode));
  EXPECT_EQ(Content(In("null")), "data");
}

TEST_P(UnpackTest, SparseFilesStaySparse) {
  // 64 MiB with four bytes at 32 MiB.
  std::string map = "2\n33554432\n4\n67108864\n0\n";
  map.resize(512, '\0');
  Accepted(TarMaker().File("GNUSparseFile.0/s", map + "data",
                           {.pax = {{"GNU.sparse.major", "1"},
                                    {"GNU.sparse.minor", "0"},
                                    {"GNU.sparse.name", "s"},
                                    {"GNU.sparse.realsize", "67108864"}}}));
  struct stat st = Stat(In("s"));
  EXPECT_EQ(st.st_size, 64 << 20);
  EXPECT_LT(st.st_blocks * 512, 1 << 20);
  std::string content = Content(In("s"));
  ASSERT_EQ(content.size(), 64U << 20);
  EXPECT_EQ(content.substr(32 << 20, 5), std::string("data\0", 5));
}

TEST_P(UnpackTest, CountsAndDigests) {
  std::string tar = TarMaker().File("a", "12345").Directory("d").HardLink("b", "a").Finish();
  UnpackResult result = Accepted(tar);
  EXPECT_EQ(result.size, 5U);
  EXPECT_EQ(result.entries, 3U);
  EXPECT_EQ(result.diff_id, image::Sha256(tar));
  EXPECT_EQ(result.blob, image::Sha256(tar));
  options_.expected_diff_id = image::Sha256("something else");
  EXPECT_THAT(Refused(tar), HasSubstr("wrong digest"));
  options_.expected_diff_id = {};
  options_.expected_blob = image::Sha256("something else");
  // Also where the archive would have been refused: damage in transit is no attack.
  EXPECT_THAT(Refused(TarMaker().File("../x").Finish()), HasSubstr("wrong digest"));
}

// --- compression ---

class CompressedTest : public UnpackTest {
 protected:
  std::string Compress(const std::string& command, const std::string& bytes) {
    EXPECT_TRUE(base::WriteFile(Path("plain"), bytes).ok());
    EXPECT_EQ(system((command + " < " + Path("plain") + " > " + Path("packed")).c_str()), 0)
        << command;
    return Content(Path("packed"));
  }
};

INSTANTIATE_TEST_SUITE_P(Drivers, CompressedTest, testing::Values(Driver::kOverlay),
                         [](const auto&) { return "Overlay"; });

TEST_P(CompressedTest, EveryKindWholeAndCut) {
  std::string noise(300'000, '\0');
  uint32_t state = 1;
  for (char& c : noise) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  std::string tar = TarMaker().File("a", noise).Finish();
  for (const char* command : {"gzip -c", "zstd -q -c", "xz -c", "bzip2 -c"}) {
    std::string packed = Compress(command, tar);
    UnpackResult result = Accepted(packed);
    EXPECT_EQ(result.diff_id, image::Sha256(tar)) << command;
    EXPECT_EQ(result.blob, image::Sha256(packed)) << command;
    EXPECT_EQ(Content(In("a")), noise) << command;
    std::string cut = packed.substr(0, packed.size() / 2);
    EXPECT_THAT(Refused(cut), AnyOf(HasSubstr("decompress"), HasSubstr("tar"))) << command;
    std::string rotten = packed;
    rotten[packed.size() / 2] = static_cast<char>(rotten[packed.size() / 2] ^ 0x55);
    options_.expected_diff_id = image::Sha256(tar);
    Refused(rotten);
    options_.expected_diff_id = {};
  }
}

TEST_P(CompressedTest, ABombIsSeenByItsRatio) {
  options_.limits.ratio_after = 1 << 20;
  std::string packed =
      Compress("zstd -q -19 -c", TarMaker().File("a", std::string(32 << 20, '\0')).Finish());
  EXPECT_THAT(Refused(packed), HasSubstr("decompression bomb"));
}

TEST_P(CompressedTest, RubbishBehindTheEnd) {
  std::string tar = TarMaker().File("a", "b").Finish();
  std::string packed = Compress("gzip -c", tar) + "rubbish";
  UnpackResult result = Accepted(packed);
  EXPECT_EQ(result.blob, image::Sha256(packed));
  EXPECT_EQ(result.diff_id, image::Sha256(tar));
}

}  // namespace
}  // namespace holt
