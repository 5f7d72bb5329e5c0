// How long it takes to take up a long conversation with a model of 32 layers, two heads of 128 each
// with keys and values.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/clock.h"
#include "chat/journal.h"
#include "shapes/made_model.h"
#include "support/bytes.h"
#include "support/temporary_folder.h"

namespace st::chats {
namespace {

// In a long test 8,192 tokens, 260 MiB: a second from a cold file.
TEST(LongSession, IsTakenUpWithinASecond) {
  const int64_t tokens = std::getenv("ST_TEST_SCALE") != nullptr ? 8192 : 1024;
  const TemporaryFolder folder;
  shapes::Shape shape = shapes::smallest();
  shape.config.layers = 32;
  shape.config.heads = shape.config.kv_heads = 2;
  shape.config.head_dim = 128;
  shape.config.context = tokens;
  const std::string model = folder / "model.gguf", path = folder / "a.stsession";
  shapes::write_model(shape, 1, model);
  Engine engine(model, {.threads = 1, .sequences = 2, .cache_type = KvType::kI16});
  KvPool& cache = engine.cache();
  const SequenceId id = cache.create();
  ChatState chat{.tokens = std::vector<Token>(static_cast<size_t>(tokens), 5)};
  while (cache.length(id) < tokens) {  // what they hold makes no difference
    cache.reserve(id, 512);
    cache.commit(id, 512);
  }
  Journal(engine, path, "template", {.keep = KeepKv::kAlways}).save(chat, id, {});
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  ::close(fd);

  const auto begin = Clock::now();
  const double cpu = testkit::cpu_seconds([&] {
    Journal journal(engine, path, "template");
    EXPECT_TRUE(journal.restore(cache.create()));
    EXPECT_EQ(journal.chat(), chat);
  });
  std::printf("%lld tokens in %.3f s, %.3f s of them CPU\n", static_cast<long long>(tokens),
              seconds_since(begin), cpu);
  // By the CPU's clock, as others may be busy.
  EXPECT_LT(cpu, std::max(0.3, static_cast<double>(tokens) / 8192) * testkit::kPatience / 2);
}

}  // namespace
}  // namespace st::chats
