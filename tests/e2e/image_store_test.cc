// The store as crashed, concurrent and unlucky processes leave it, and the roots that come of it.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "image/digest.h"
#include "image/file_lock.h"
#include "image/gc.h"
#include "image/import.h"
#include "image/progress.h"
#include "image/rootfs.h"
#include "tests/e2e/image_fixture.h"
#include "tests/e2e/tar_maker.h"

namespace holt {
namespace {

using image::CollectGarbage;
using image::Driver;
using image::ImportImage;
using image::ImportOptions;
using image::Store;
using image::StoredImage;
using testing::AllOf;
using testing::HasSubstr;

// An OCI layout as a tar; tests damage its parts before they write it.
struct Archive {
  std::map<std::string, std::string> files;
  std::string config_name;
  std::string first_layer_name;
  std::string entry;  // of index.json, open at its end

  std::string Tar() const {
    TarMaker tar;
    for (const auto& [name, content] : files) tar.File(name, content);
    return tar.Finish();
  }
  static std::string BlobName(const std::string& content) {
    return "blobs/sha256/" + image::Sha256(content).hex();
  }
  static Archive Of(const std::vector<std::string>& layers, const std::string& config_text = "") {
    Archive archive;
    std::string diff_ids;
    std::string descriptors;
    auto comma = [](std::string& list) { list += list.empty() ? "" : ","; };
    for (const std::string& layer : layers) {
      comma(diff_ids);
      diff_ids += "\"" + image::Sha256(layer).text() + "\"";
      comma(descriptors);
      descriptors += Descriptor("layer.v1.tar", layer);
      archive.files[BlobName(layer)] = layer;
    }
    if (!layers.empty()) archive.first_layer_name = BlobName(layers[0]);
    std::string config = config_text;
    if (config.empty())
      config = R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[)" +
               diff_ids + "]}}";
    archive.files[archive.config_name = BlobName(config)] = config;
    std::string manifest =
        R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":)" +
        Descriptor("config.v1+json", config) + ",\"layers\":[" + descriptors + "]}";
    archive.files[BlobName(manifest)] = manifest;
    archive.entry = Descriptor("manifest.v1+json", manifest);
    archive.entry.pop_back();
    archive.files["index.json"] = Index(Named(archive, "test:1"));
    archive.files["oci-layout"] = R"({"imageLayoutVersion":"1.0.0"})";
    return archive;
  }
  // Both in one archive.
  static Archive OfTwo(const Archive& one, const Archive& two) {
    Archive both = one;
    both.files.insert(two.files.begin(), two.files.end());
    both.files["index.json"] = Index(Named(one, "one:1") + "," + Named(two, "two:1"));
    return both;
  }
  static std::string Named(const Archive& image, const std::string& name) {
    return image.entry + R"(,"annotations":{"org.opencontainers.image.ref.name":")" + name + "\"}}";
  }
  static std::string Index(const std::string& entries) {
    return R"({"schemaVersion":2,"manifests":[)" + entries + "]}";
  }
  static std::string Descriptor(const std::string& type, const std::string& content) {
    return fmt::format(R"({{"mediaType":"application/vnd.oci.image.{}","digest":"{}","size":{}}})",
                       type, image::Sha256(content).text(), content.size());
  }
};

// Layers with what must be merged right.
std::vector<std::string> MergeLayers() {
  return {TarMaker()
              .Directory("./", {.mode = 0751})
              .Directory("dir", {.mode = 0750, .uid = 5})
              .File("dir/kept", "below")
              .File("dir/gone", "below")
              .File("opaque/old", "below")
              .File("becomes-dir", "below")
              .File("becomes-file/old", "below")
              .File("tree/gone/deep", "below")
              .File("linked", "below", {.mode = 0640, .uid = 9})
              .Finish(),
          TarMaker()
              .File("dir/.wh.gone")
              .File("dir/new", "above")  // no entry for dir: it keeps the lower layer's metadata
              .File("opaque/.wh..wh..opq")
              .File("opaque/new", "above")
              .Directory("becomes-dir")
              .File("becomes-dir/new", "above")
              .File("becomes-file", "above")
              .File("tree/.wh.gone")
              .HardLink("link", "linked")
              .Character("null", 1, 3)
              .Finish(),
          TarMaker().File("dir/.wh.new").File("dir/gone", "again").Finish()};
}

class StoreTest : public ImageFixture {
 protected:
  void SetUp() override {
    ImageFixture::SetUp();
    where_ = Path("store");
    input_ = Path("archive.tar");
  }
  std::unique_ptr<Store> Open() {
    auto store = Store::Open(where_);
    EXPECT_TRUE(store.ok()) << store.error().message();
    return store ? std::move(*store) : nullptr;
  }
  base::Result<std::vector<StoredImage>> Import(Store& store, const std::string& bytes,
                                                const ImportOptions& options = {}) {
    EXPECT_TRUE(base::WriteFile(input_, bytes).ok());
    return ImportImage(store, input_, options);
  }
  StoredImage Imported(Store& store, const std::string& bytes, const ImportOptions& options = {}) {
    auto images = Import(store, bytes, options);
    EXPECT_TRUE(images.ok()) << images.error().message();
    return images && !images->empty() ? images->front() : StoredImage();
  }
  // The message; nothing may be recorded.
  std::string Refused(const std::string& bytes) {
    auto store = Open();
    auto images = Import(*store, bytes);
    EXPECT_FALSE(images.ok()) << "it was accepted";
    EXPECT_TRUE(store->ListImages()->empty());
    EXPECT_TRUE(Names("tmp").empty());
    return images ? "" : images.error().message();
  }
  std::vector<std::string> Names(const std::string& directory) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(where_ + "/" + directory))
      names.push_back(entry.path().filename());
    return names;
  }
  void UseDriver(const std::string& driver) {
    Open();
    ASSERT_TRUE(
        base::WriteFile(where_ + "/store.json", "{\"version\":1,\"driver\":\"" + driver + "\"}")
            .ok());
  }

  std::string where_;
  std::string input_;
};

class RootTest : public StoreTest, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Drivers, RootTest, testing::Values("overlay", "native"),
                         [](const auto& each) { return std::string(each.param); });

TEST_P(RootTest, LayersMerge) {
  UseDriver(GetParam());
  auto store = Open();
  StoredImage image = Imported(*store, Archive::Of(MergeLayers()).Tar());
  EXPECT_EQ(image.name, "docker.io/library/test:1");
  ASSERT_TRUE(base::MakeDirs(Path("state")).ok());
  auto root = PrepareRootfs(*store, {"c1", image, Path("state")});
  ASSERT_TRUE(root.ok()) << root.error().message();
  std::string at = Path("mnt");
  ASSERT_TRUE(base::MakeDirs(at).ok());
  auto mounted = MountRootfs(*root, at);
  ASSERT_TRUE(mounted.ok()) << mounted.error().message();
  EXPECT_EQ(Content(at + "/dir/kept"), "below");
  EXPECT_EQ(Content(at + "/dir/gone"), "again");
  EXPECT_FALSE(Exists(at + "/dir/new"));
  EXPECT_EQ(Stat(at).st_mode & 07777, 0751U);
  EXPECT_EQ(Stat(at + "/dir").st_mode & 07777, 0750U);
  EXPECT_EQ(Stat(at + "/dir").st_uid, 5U);
  EXPECT_FALSE(Exists(at + "/opaque/old"));
  EXPECT_EQ(Content(at + "/opaque/new"), "above");
  EXPECT_EQ(Content(at + "/becomes-dir/new"), "above");
  EXPECT_EQ(Content(at + "/becomes-file"), "above");
  EXPECT_TRUE(Exists(at + "/tree"));
  EXPECT_FALSE(Exists(at + "/tree/gone"));
  EXPECT_EQ(Content(at + "/link"), "below");
  EXPECT_EQ(Stat(at + "/link").st_uid, 9U);
  EXPECT_EQ(Stat(at + "/link").st_mode & 07777, 0640U);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(at))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".wh.")) << entry.path();
  // The image's devices are there for the guest and closed to the host.
  EXPECT_EQ(open((at + "/null").c_str(), O_RDWR | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EACCES);
  // What a container writes stays its own.
  EXPECT_TRUE(base::WriteFile(at + "/dir/kept", "changed").ok());
  EXPECT_TRUE(image::UnmountRootfs(at).ok());
  auto layer = image::Digest::Parse(image.layers[0]);
  EXPECT_EQ(Content(store->LayerRoot(*layer) + "/dir/kept"), "below");
}

// The same from an archive that buildah made, with its own idea of whiteouts.
TEST_P(RootTest, ImageOfBuildah) {
  const char* images = getenv("HOLT_TEST_IMAGES");
  if (!images) GTEST_SKIP() << "HOLT_TEST_IMAGES is not set; tests/images/build.sh prints it";
  UseDriver(GetParam());
  auto store = Open();
  auto imported = ImportImage(*store, std::string(images) + "/buildah.tar", {});
  ASSERT_TRUE(imported.ok()) << imported.error().message();
  ASSERT_TRUE(base::MakeDirs(Path("state")).ok());
  auto root = PrepareRootfs(*store, {"c1", imported->front(), Path("state")});
  ASSERT_TRUE(root.ok()) << root.error().message();
  std::string at = Path("mnt");
  ASSERT_TRUE(base::MakeDirs(at).ok());
  ASSERT_TRUE(MountRootfs(*root, at).ok());
  EXPECT_FALSE(Exists(at + "/srv/gone"));
  EXPECT_EQ(Content(at + "/srv/opaque/new"), "above\n");
  EXPECT_FALSE(Exists(at + "/srv/opaque/old"));
  EXPECT_FALSE(Exists(at + "/srv/opaque/below"));
  EXPECT_EQ(Content(at + "/srv/replaced"), "above\n");
  EXPECT_EQ(Content(at + "/srv/kept/hard-link"), "below\n");
  EXPECT_EQ(Content(at + "/srv/becomes-file"), "file\n");
  EXPECT_FALSE(Exists(at + "/etc/debian_version"));
  EXPECT_TRUE(Exists(at + "/etc/os-release"));
  EXPECT_TRUE(image::UnmountRootfs(at).ok());
}

TEST_F(StoreTest, ArchivesOfOthers) {
  const char* images = getenv("HOLT_TEST_IMAGES");
  if (!images) GTEST_SKIP() << "HOLT_TEST_IMAGES is not set; tests/images/build.sh prints it";
  auto store = Open();
  std::string from = images;
  auto podman = ImportImage(*store, from + "/podman.tar", {});
  ASSERT_TRUE(podman.ok()) << podman.error().message();
  EXPECT_EQ(podman->front().name, "localhost/made-by/podman:1");
  EXPECT_THAT(store->ReadConfig(podman->front())->config.env, testing::Contains("MADE_BY=podman"));
  ASSERT_TRUE(base::MakeDirs(Path("layout")).ok());
  ASSERT_EQ(system(("tar -xf " + from + "/umoci.tar -C " + Path("layout")).c_str()), 0);
  auto umoci = ImportImage(*store, Path("layout"), {.name = "made-by/umoci:1"});
  ASSERT_TRUE(umoci.ok()) << umoci.error().message();
  EXPECT_EQ(umoci->front().layers.size(), 2U);
  EXPECT_EQ(store->FindImage("made-by/umoci:1")->id, umoci->front().id);
}

TEST_F(StoreTest, PlainRootFileSystem) {
  auto store = Open();
  std::string tar = TarMaker().Directory("etc").File("etc/os-release", "ID=test").Finish();
  StoredImage image = Imported(*store, tar, {.name = "plain"});
  EXPECT_EQ(store->ReadConfig(image)->rootfs.diff_ids[0], image::Sha256(tar).text());
  EXPECT_EQ(Content(store->LayerRoot(*image::Digest::Parse(image.layers[0])) + "/etc/os-release"),
            "ID=test");
  EXPECT_THAT(Import(*store, "").error().message(), HasSubstr("empty, or not a tar"));
  EXPECT_THAT(Import(*store, "hello").error().message(), HasSubstr("tar"));
}

// --- archives of several images ---

TEST_F(StoreTest, SelectTakesOneOfAnOciArchive) {
  Archive one = Archive::Of({TarMaker().File("one", "1").Finish()});
  Archive two = Archive::Of({TarMaker().File("two", "2").Finish()});
  const std::string tar = Archive::OfTwo(one, two).Tar();
  auto store = Open();
  for (const char* select : {"two:1", "docker.io/library/two:1"}) {
    auto images = Import(*store, tar, {.select = select});
    ASSERT_TRUE(images.ok()) << images.error().message();
    ASSERT_EQ(images->size(), 1u) << select;
    EXPECT_EQ(images->front().id,
              "sha256:" + two.config_name.substr(two.config_name.rfind('/') + 1));
    EXPECT_EQ(store->ListImages()->size(), 1u);
  }
  EXPECT_TRUE(store->FindImage("two:1").ok());
  StoredImage named = Imported(*store, tar, {.name = "other", .select = "one:1"});
  EXPECT_EQ(store->FindImage("other")->id, named.id);
  EXPECT_FALSE(store->FindImage("one:1").ok());
  EXPECT_THAT(Import(*store, tar, {.select = "nosuch"}).error().message(),
              AllOf(HasSubstr("it has no image \"nosuch\""), HasSubstr("it has: one:1, two:1")));
  EXPECT_THAT(Import(*store, tar, {.name = "x"}).error().message(),
              AllOf(HasSubstr("it has 2 images"), HasSubstr("--select: one:1, two:1")));
  EXPECT_EQ(Import(*store, tar)->size(), 2u) << "without a choice all are taken";
}

TEST_F(StoreTest, SelectTakesOneOfADockerArchive) {
  std::string manifest;
  TarMaker tar;
  auto add = [&](const std::string& content, const std::string& tags) {
    const std::string layer = TarMaker().File(content, content).Finish();
    const std::string config =
        R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[")" +
        image::Sha256(layer).text() + R"("]}})";
    const std::string config_name = image::Sha256(config).hex() + ".json";
    const std::string layer_name = image::Sha256(layer).hex() + ".tar";
    tar.File(config_name, config).File(layer_name, layer);
    manifest += (manifest.empty() ? "" : ",") + (R"({"Config":")" + config_name) +
                R"(","RepoTags":[)" + tags + R"(],"Layers":[")" + layer_name + "\"]}";
    return image::Sha256(config).text();
  };
  const std::string one = add("one", R"("one:1","uno:1")");
  const std::string two = add("two", R"("two:1")");
  const std::string bytes = tar.File("manifest.json", "[" + manifest + "]").Finish();
  auto store = Open();
  auto images = Import(*store, bytes, {.select = "uno:1"});
  ASSERT_TRUE(images.ok()) << images.error().message();
  ASSERT_EQ(images->size(), 1u);
  EXPECT_EQ(store->FindImage("uno:1")->id, one);
  EXPECT_FALSE(store->FindImage("one:1").ok()) << "its other name was not asked for";
  EXPECT_EQ(Imported(*store, bytes, {.select = "docker.io/library/two:1"}).id, two);
  EXPECT_THAT(Import(*store, bytes, {.select = "nosuch"}).error().message(),
              HasSubstr("it has no image \"nosuch\"; it has: one:1, uno:1, two:1"));
  EXPECT_THAT(Import(*store, bytes, {.name = "x"}).error().message(),
              HasSubstr("choose with --select: one:1, uno:1, two:1"));
  EXPECT_EQ(Import(*store, bytes)->size(), 3u) << "every name of every image";
}

// --- archives that lie ---

TEST_F(StoreTest, ALayoutOfPipesAndLinksIsNotRead) {
  const std::string layout = Path("layout");
  auto store = Open();
  auto message = [&] {
    auto images = ImportImage(*store, layout, {});
    return images ? "it was accepted" : images.error().message();
  };
  ASSERT_TRUE(base::MakeDirs(layout).ok());
  // Would wait for a writer for ever.
  ASSERT_EQ(mkfifo((layout + "/index.json").c_str(), 0600), 0);
  EXPECT_THAT(message(), HasSubstr("\"index.json\" is not a file"));
  ASSERT_EQ(unlink((layout + "/index.json").c_str()), 0);
  ASSERT_TRUE(base::WriteFile(Path("secret"), Archive::Of(MergeLayers()).files["index.json"]).ok());
  for (const std::string& target : {Path("secret"), std::string("../secret")}) {
    ASSERT_EQ(symlink(target.c_str(), (layout + "/index.json").c_str()), 0);
    EXPECT_THAT(message(), HasSubstr("index.json: Invalid cross-device link")) << target;
    ASSERT_EQ(unlink((layout + "/index.json").c_str()), 0);
  }
}

TEST_F(StoreTest, WrongDigests) {
  Archive archive = Archive::Of(MergeLayers());
  archive.files[archive.first_layer_name] = MergeLayers()[1];
  EXPECT_THAT(Refused(archive.Tar()), HasSubstr("wrong digest"));
  archive = Archive::Of(MergeLayers());
  archive.files[archive.config_name] += " ";
  EXPECT_THAT(Refused(archive.Tar()), HasSubstr("wrong digest"));
}

TEST_F(StoreTest, MissingBlob) {
  Archive archive = Archive::Of(MergeLayers());
  archive.files.erase(archive.first_layer_name);
  EXPECT_THAT(Refused(archive.Tar()), HasSubstr("the archive has no file \"blobs/sha256/"));
}

TEST_F(StoreTest, HostileLayerInAnImage) {
  EXPECT_THAT(Refused(Archive::Of({TarMaker().File("../x", "owned").Finish()}).Tar()),
              HasSubstr("leaves the layer by \"..\""));
}

TEST_F(StoreTest, BadJson) {
  EXPECT_THAT(Refused(Archive::Of(MergeLayers(), "not json").Tar()), HasSubstr("image config"));
  Archive archive = Archive::Of(MergeLayers());
  archive.files["index.json"] = "{";
  Refused(archive.Tar());
  archive.files["index.json"] =
      R"({"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",)"
      R"("digest":"sha256:../../../../etc/passwd","size":3}]})";
  EXPECT_THAT(Refused(archive.Tar()), HasSubstr("digest"));
}

// --- crashes and company ---

std::vector<std::string> BigLayers() {
  std::vector<std::string> layers;
  for (int i = 0; i < 3; ++i) {
    TarMaker tar;
    for (int j = 0; j < 150; ++j)
      tar.File(fmt::format("layer{}/file{}", i, j),
               std::string(20'000, static_cast<char>('a' + i)));
    layers.push_back(tar.Finish());
  }
  return layers;
}

// In a process of its own, to be killed.
pid_t ImportInChild(const std::string& store, const std::string& input) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  auto opened = Store::Open(store);
  _exit(opened && ImportImage(**opened, input, {}) ? 0 : 1);
}

int WaitFor(pid_t pid) {
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return status;
}

TEST_F(StoreTest, KilledAtAnyMoment) {
  ASSERT_TRUE(base::WriteFile(input_, Archive::Of(BigLayers()).Tar()).ok());
  int killed = 0;
  for (int round = 0; round < 20; ++round) {
    pid_t pid = ImportInChild(where_, input_);
    usleep(static_cast<useconds_t>(3000 + round * 15'000));
    kill(pid, SIGKILL);
    killed += WIFSIGNALED(WaitFor(pid));
    auto store = Open();
    // What is recorded is whole.
    auto images = store->ListImages();
    ASSERT_TRUE(images.ok());
    for (const StoredImage& image : *images)
      for (const std::string& layer : image.layers)
        EXPECT_TRUE(store->HasLayer(*image::Digest::Parse(layer)));
    StoredImage image = Imported(*store, Content(input_));
    for (int i = 0; i < 3; ++i) {
      std::string fs =
          store->LayerRoot(*image::Digest::Parse(image.layers[static_cast<size_t>(i)]));
      for (int j : {0, 75, 149})
        EXPECT_EQ(Content(fmt::format("{}/layer{}/file{}", fs, i, j)),
                  std::string(20'000, static_cast<char>('a' + i)));
    }
    ASSERT_TRUE(store->RemoveImage(image).ok());
    auto collected = CollectGarbage(*store, {});
    ASSERT_TRUE(collected.ok()) << collected.error().message();
    for (const char* directory : {"tmp", "layers", "blobs/sha256", "images", "locks"})
      EXPECT_TRUE(Names(directory).empty()) << directory << " in round " << round;
  }
  EXPECT_GT(killed, 3) << "the imports were too quick to be killed";
}

TEST_F(StoreTest, FourAtOnce) {
  ASSERT_TRUE(base::WriteFile(input_, Archive::Of(BigLayers()).Tar()).ok());
  std::vector<pid_t> pids;
  for (int i = 0; i < 4; ++i) pids.push_back(ImportInChild(where_, input_));
  for (pid_t pid : pids) EXPECT_EQ(WaitFor(pid), 0);
  EXPECT_EQ(Open()->ListImages()->size(), 1U);
  EXPECT_EQ(Names("layers").size(), 3U);
  EXPECT_TRUE(Names("tmp").empty());
}

TEST_F(StoreTest, ASecondProcessSaysThatItWaits) {
  auto store = Open();
  const std::string layer = TarMaker().File("f", "x").Finish();
  ASSERT_TRUE(base::WriteFile(input_, Archive::Of({layer}).Tar()).ok());
  // What the first one holds while it unpacks.
  auto held = image::FileLock::Acquire(store->LayerLockPath(image::Sha256(layer)),
                                       image::LockMode::kExclusive, std::chrono::seconds(0));
  ASSERT_TRUE(held.ok());
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    held->Release();  // the copy that fork() made
    auto progress = image::MakeLineProgress(fdopen(fds[1], "w"));
    auto opened = Store::Open(where_);
    _exit(opened && ImportImage(**opened, input_, {.progress = progress.get()}) ? 0 : 1);
  }
  close(fds[1]);
  base::UniqueFd said(fds[0]);
  std::string text;
  pollfd ready{said.get(), POLLIN, 0};
  while (text.find("waiting for another holt that fetches it") == std::string::npos) {
    char buffer[512];
    if (poll(&ready, 1, 10'000) != 1) break;
    const ssize_t n = read(said.get(), buffer, sizeof buffer);
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_THAT(text, HasSubstr("waiting for another holt that fetches it"));
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0) << "it did not wait";
  held->Release();
  EXPECT_EQ(WaitFor(pid), 0);
  EXPECT_EQ(store->ListImages()->size(), 1u);
}

TEST_F(StoreTest, LayersNobodyFinishedAreNotTrusted) {
  auto store = Open();
  StoredImage image = Imported(*store, Archive::Of(MergeLayers()).Tar());
  auto chain_id = *image::Digest::Parse(image.layers[0]);
  std::string directory = where_ + "/layers/" + chain_id.FileName();
  // As after a power cut: written in another boot, never flushed.
  auto info = store->ReadLayer(chain_id);
  std::string record = Content(directory + "/layer.json");
  record.replace(record.find(info->boot_id), info->boot_id.size(), "another-boot");
  ASSERT_TRUE(base::WriteFile(directory + "/layer.json", record).ok());
  ASSERT_TRUE(base::WriteFile(directory + "/fs/dir/kept", "rot").ok());
  EXPECT_TRUE(store->HasLayer(chain_id));
  ASSERT_EQ(unlink((directory + "/flushed").c_str()), 0);
  EXPECT_FALSE(store->HasLayer(chain_id));
  ASSERT_TRUE(base::MakeDirs(Path("state")).ok());
  auto root = PrepareRootfs(*store, {"c1", image, Path("state")});
  ASSERT_FALSE(root.ok());
  EXPECT_THAT(root.error().message(), HasSubstr("is missing from the store"));
  Imported(*store, Archive::Of(MergeLayers()).Tar());
  EXPECT_EQ(Content(directory + "/fs/dir/kept"), "below");
}

TEST_F(StoreTest, RottenBlob) {
  auto store = Open();
  StoredImage image = Imported(*store, Archive::Of(MergeLayers()).Tar());
  auto id = *image::Digest::Parse(image.id);
  ASSERT_TRUE(base::WriteFile(store->BlobPath(id), Content(store->BlobPath(id)) + " ").ok());
  EXPECT_THAT(store->ReadConfig(image).error().message(), HasSubstr("is damaged"));
}

TEST_F(StoreTest, FullDisk) {
  ASSERT_TRUE(base::MakeDirs(where_).ok());
  ASSERT_EQ(mount("tmpfs", where_.c_str(), "tmpfs", MS_NODEV, "size=6m"), 0);
  {
    auto store = Open();
    auto images = Import(*store, Archive::Of(BigLayers()).Tar());
    EXPECT_FALSE(images.ok());
    if (!images) {
      EXPECT_THAT(images.error().message(),
                  AllOf(HasSubstr("No space left"), HasSubstr("make room"), HasSubstr("holt gc")));
    }
    EXPECT_TRUE(store->ListImages()->empty());
    EXPECT_TRUE(Names("tmp").empty());
    EXPECT_TRUE(CollectGarbage(*store, {}).ok());
    EXPECT_TRUE(Names("layers").empty());
    // And with room enough it works.
    StoredImage image = Imported(*store, Archive::Of(MergeLayers()).Tar());
    EXPECT_EQ(image.layers.size(), 3U);
  }
  EXPECT_EQ(umount(where_.c_str()), 0);
}

TEST_F(StoreTest, ReadOnlyStore) {
  StoredImage image = Imported(*Open(), Archive::Of(MergeLayers()).Tar());
  ASSERT_EQ(mount(where_.c_str(), where_.c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(mount(nullptr, where_.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr), 0);
  EXPECT_EQ(Open()->FindImage("test:1")->id, image.id);
  auto images = Import(*Open(), Archive::Of(MergeLayers()).Tar());
  EXPECT_FALSE(images.ok());
  if (!images) {
    EXPECT_THAT(images.error().message(), HasSubstr("Read-only file system"));
  }
  EXPECT_EQ(umount(where_.c_str()), 0);
}

TEST_F(StoreTest, OtherFormats) {
  Open();
  ASSERT_TRUE(base::WriteFile(where_ + "/store.json", R"({"version":2,"driver":"overlay"})").ok());
  EXPECT_THAT(Store::Open(where_).error().message(),
              HasSubstr("version 2, this holt reads version 1"));
  ASSERT_TRUE(base::WriteFile(where_ + "/store.json", R"({"version":1,"driver":"zfs"})").ok());
  EXPECT_THAT(Store::Open(where_).error().message(), HasSubstr("driver \"zfs\" is unknown"));
}

TEST_F(StoreTest, LeasesKeepWhatTheyUse) {
  auto store = Open();
  StoredImage image = Imported(*store, Archive::Of(MergeLayers()).Tar());
  ASSERT_TRUE(base::MakeDirs(Path("state")).ok());
  ASSERT_TRUE(PrepareRootfs(*store, {"c1", image, Path("state")}).ok());
  EXPECT_EQ(PrepareRootfs(*store, {"c1", image, Path("state")}).error().code(),
            base::Code::kAlreadyExists);
  ASSERT_TRUE(store->RemoveImage(image).ok());
  EXPECT_TRUE(CollectGarbage(*store, {})->empty());
  EXPECT_EQ(Names("layers").size(), 3U);
  // Its container dies without a word.
  ASSERT_EQ(rmdir(Path("state").c_str()), 0);
  ASSERT_TRUE(CollectGarbage(*store, {}).ok());
  for (const char* directory : {"containers", "layers", "blobs/sha256", "tmp"})
    EXPECT_TRUE(Names(directory).empty()) << directory;
}

TEST_F(StoreTest, CollectionWaitsForNobodyAndSaysSo) {
  auto store = Open();
  auto busy = store->LockShared();
  ASSERT_TRUE(busy.ok());
  auto collected = CollectGarbage(*store, {});
  ASSERT_FALSE(collected.ok());
  EXPECT_THAT(collected.error().message(), HasSubstr("in use by another holt process"));
  busy->Release();
  EXPECT_TRUE(CollectGarbage(*store, {}).ok());
}

}  // namespace
}  // namespace holt
