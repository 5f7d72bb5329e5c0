// Every table against attention in double precision computed here, and against itself split up.
#include <gtest/gtest.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "tensor/kv_tile.h"

namespace st {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr KvType kTypes[] = {KvType::kF32, KvType::kI16, KvType::kI8};

template <typename T>
std::vector<T> make(int64_t n, T value = T{}) {
  return std::vector<T>(static_cast<size_t>(n), value);
}

// A context of one head with its cache, which holds garbage wherever nothing was stored.
struct Context {
  KvTile tile;
  int64_t ring, length;
  std::vector<float> k, v;  // (length, d)
  std::vector<std::byte> memory;
  std::vector<std::byte*> chunks;  // (tiles of the length), of which there are `ring`

  Context(KvType type, int64_t d, int64_t ring_tiles, int64_t n)
      : tile{type, d},
        ring(ring_tiles),
        length(n),
        k(make<float>(n * d)),
        v(make<float>(n * d)),
        memory(make(ring_tiles * stride() + 64, std::byte{0xFF})) {  // NaN, and -1
    const auto address = reinterpret_cast<uintptr_t>(memory.data());
    std::byte* const begin = memory.data() + (64 - address % 64) % 64;
    for (int64_t i = 0; i < tile_count(length); ++i) {
      chunks.push_back(begin + (ring - 1 - i % ring) * stride());
    }
  }
  static constexpr int64_t kOffset = 192;  // tiles have neighbours
  int64_t stride() const { return tile.bytes() + 2 * kOffset; }
  std::byte* tile_of(int64_t position) const {
    return chunks[static_cast<size_t>(tile_index(position))] + kOffset;
  }
  void store(const KernelTable& table, int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      table.store_kv(tile, k.data() + p * tile.head_dim, v.data() + p * tile.head_dim,
                     slot_index(p), tile_of(p));
    }
  }
  // What is stored for channel c, scale included.
  double number(const std::byte* at, const std::byte* scale) const {
    float f, unit;
    std::memcpy(&unit, scale, 4);
    int16_t q;
    switch (tile.type) {
      case KvType::kF32:
        std::memcpy(&f, at, 4);
        return double{f};
      case KvType::kI16:
        std::memcpy(&q, at, 2);
        return double{unit} * q;
      default:
        return double{unit} * static_cast<int8_t>(*at);
    }
  }
  double key(int64_t p, int64_t c) const {
    const std::byte* t = tile_of(p);
    return number(t + tile.key_at(slot_index(p), c), t + KvTile::key_scales() + slot_index(p) * 4);
  }
  double value(int64_t p, int64_t c) const {
    const std::byte* t = tile_of(p);
    return number(t + tile.value_at(slot_index(p), c),
                  t + KvTile::value_scales() + slot_index(p) * 4);
  }
};

// Queries of tokens [position, position + tokens), and room for what comes out.
struct Queries {
  int64_t position, tokens, group, stride;
  std::vector<float> q, out;
  double divisor;

  AttentionBlock block(const Context& c, int64_t window, int64_t token, int64_t count,
                       int64_t first, int64_t queries) {
    const int64_t at = token * stride + first * c.tile.head_dim;
    return {.tile = c.tile,
            .tiles = {c.chunks.data(), Context::kOffset},
            .position = position + token,
            .tokens = count,
            .window = window,
            .group = queries,
            .divisor = divisor,
            .q = q.data() + at,
            .out = out.data() + at,
            .stride = stride};
  }
};

Queries random_queries(int64_t position, int64_t tokens, int64_t group, int64_t d, float scale,
                       std::mt19937& random) {
  Queries queries{position, tokens, group, group * d + 3, {}, {}, std::sqrt(double(d))};
  queries.q = make<float>(tokens * queries.stride);
  queries.out = make<float>(tokens * queries.stride, 99);
  std::normal_distribution<float> normal(0, scale);
  for (float& x : queries.q) x = normal(random);
  return queries;
}

class Attention : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table = *GetParam();
  std::mt19937 random{7};

  void attend(const AttentionBlock& block) {
    const int64_t floats = attention_scratch(block.tokens * block.group, block.tile.head_dim);
    scratch_.assign(static_cast<size_t>(floats + 16), kNan);
    const auto address = reinterpret_cast<uintptr_t>(scratch_.data());
    table.attend(block, scratch_.data() + (64 - address % 64) % 64 / 4);
  }

  // The definition, over what is stored. `exact` are sums of |weight * value|, the measure of
  // error.
  void check(const Context& c, const Queries& x, int64_t window, double relative) {
    const int64_t d = c.tile.head_dim;
    for (int64_t t = 0; t < x.tokens; ++t) {
      const int64_t end = x.position + t + 1;
      const int64_t begin = window >= end ? 0 : end - window;
      for (int64_t g = 0; g < x.group; ++g) {
        const float* q = x.q.data() + t * x.stride + g * d;
        std::vector<double> scores;
        double top = -1e300, total = 0;
        for (int64_t p = begin; p < end; ++p) {
          double dot = 0;
          for (int64_t i = 0; i < d; ++i) dot += double{q[i]} * c.key(p, i);
          scores.push_back(dot / x.divisor);
          top = std::max(top, scores.back());
        }
        for (double& s : scores) total += s = std::exp(s - top);
        std::vector<double> sums(static_cast<size_t>(d));
        double largest = 0;
        for (int64_t p = begin; p < end; ++p) {
          for (int64_t i = 0; i < d; ++i) {
            const double value = c.value(p, i);
            sums[static_cast<size_t>(i)] += scores[static_cast<size_t>(p - begin)] / total * value;
            largest = std::max(largest, std::abs(value));
          }
        }
        for (int64_t i = 0; i < d; ++i) {
          const double want = sums[static_cast<size_t>(i)];
          ASSERT_NEAR(x.out[static_cast<size_t>(t * x.stride + g * d + i)], want,
                      relative * largest)
              << table.name << ' ' << kv_type_name(c.tile.type) << " d " << d << " group "
              << x.group << " position " << x.position + t << " window " << window;
        }
      }
      for (int64_t i = x.group * d; i < x.stride; ++i) {  // nobody else's place is written
        ASSERT_EQ(x.out[static_cast<size_t>(t * x.stride + i)], 99);
      }
    }
  }

 private:
  std::vector<float> scratch_;
};

// Shapes, windows and rings at random, and then the same queries in other blocks, bit for bit.
TEST_P(Attention, IsTheDefinitionHoweverItIsCut) {
  const int64_t dims[] = {2, 6, 32, 64, 80, 96, 128, 200, 256};
  const int rounds = table.name == "scalar" ? 20 : 60;
  for (int round = 0; round < rounds; ++round) {
    const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
    const int64_t d = dims[round % std::ssize(dims)];
    const int64_t tokens = 1 + below(round % 3 ? 24 : 2), group = 1 + below(8);
    const int64_t position = below(round % 2 ? 300 : 70);
    const int64_t window = round % 4 ? 1 + below(200) : INT64_MAX;
    const int64_t length = position + tokens;
    const int64_t span = std::min(length, std::min(window, length) + tokens);
    const int64_t ring = std::min(span / kTileKeys + 2, length / kTileKeys + 1);
    for (const KvType type : kTypes) {
      Context c(type, d, ring, length);
      std::normal_distribution<float> normal(0, round % 5 ? 1.0f : 300.0f);
      for (float& x : c.k) x = normal(random);
      for (float& x : c.v) x = normal(random);
      const float spread = round % 5 ? 1.0f : 1.0f / 300;
      Queries x = random_queries(position, tokens, group, d, spread, random);
      if (round % 7 == 1) {  // the same scores
        for (float& q : x.q) q /= static_cast<float>(x.divisor);
        x.divisor = 1;
      }
      c.store(table, 0, length);
      attend(x.block(c, window, 0, tokens, 0, group));
      check(c, x, window, type == KvType::kF32 ? 3e-6 : 2e-4);

      const std::vector<float> whole = x.out;
      std::ranges::fill(x.out, 99);
      for (int64_t t = 0; t < tokens;) {
        const int64_t count = std::min(1 + below(5), tokens - t);
        const int64_t first = below(group);  // and the other heads alone
        attend(x.block(c, window, t, count, first, group - first));
        if (first > 0) attend(x.block(c, window, t, count, 0, first));
        t += count;
      }
      ASSERT_EQ(std::memcmp(x.out.data(), whole.data(), whole.size() * 4), 0)
          << table.name << ' ' << kv_type_name(type) << " round " << round;
    }
  }
}

// What later tokens have stored makes no difference to those before.
TEST_P(Attention, DoesNotSeeTheFuture) {
  for (const KvType type : kTypes) {
    Context c(type, 64, 3, 150);
    std::normal_distribution<float> normal;
    for (float& x : c.k) x = normal(random);
    for (float& x : c.v) x = normal(random);
    Queries x = random_queries(100, 1, 3, 64, 1, random);
    c.store(table, 0, 101);
    attend(x.block(c, INT64_MAX, 0, 1, 0, 3));
    const std::vector<float> alone = x.out;
    for (int64_t i = 101 * 64; i < 150 * 64; ++i) {
      c.k[static_cast<size_t>(i)] = 1e4f;
      c.v[static_cast<size_t>(i)] = -1e4f;
    }
    c.store(table, 101, 150);
    attend(x.block(c, INT64_MAX, 0, 1, 0, 3));
    EXPECT_EQ(std::memcmp(x.out.data(), alone.data(), alone.size() * 4), 0) << table.name;
  }
}

// The largest sums of products there can be: everything parallel, all weights equal or just one.
TEST_P(Attention, NothingOverflows) {
  for (const KvType type : kTypes) {
    for (const int64_t d : {2, 64, 256}) {
      for (const int shape : {0, 1, 2}) {
        Context c(type, d, 2, 128);
        Queries x = random_queries(127, 1, 2, d, 1, random);
        for (int64_t p = 0; p < 128; ++p) {
          for (int64_t i = 0; i < d; ++i) {
            const auto at = static_cast<size_t>(p * d + i);
            const float sign = i % 2 ? -1.0f : 1.0f;
            // All channels alike, or one that outweighs the others.
            c.k[at] = sign * (shape == 1 && i > 0 ? 1e-3f : 1.0f);
            if (shape == 2 && p != 77) c.k[at] = -c.k[at];
            c.v[at] = -1e3f * sign;
          }
        }
        for (int64_t i = 0; i < 2 * d; ++i) x.q[static_cast<size_t>(i)] = i % d % 2 ? -7.0f : 7.0f;
        c.store(table, 0, 128);
        attend(x.block(c, INT64_MAX, 0, 1, 0, 2));
        check(c, x, INT64_MAX, type == KvType::kF32 ? 3e-6 : 1e-4);
      }
    }
  }
}

// Stored numbers are within half a step of what they were, and a step is small.
TEST_P(Attention, StoresWhatItIsGiven) {
  for (const KvType type : kTypes) {
    for (const int64_t d : {2, 32, 128, 250}) {
      for (const float scale : {1e-25f, 1.0f, 1e25f}) {
        Context c(type, d, 1, 64);
        std::normal_distribution<float> normal(0, scale);
        for (float& x : c.k) x = normal(random);
        for (float& x : c.v) x = normal(random);
        c.k[1] = 50 * scale;
        c.store(table, 0, 64);
        for (int64_t p = 0; p < 64; ++p) {
          double peak_k = 0, peak_v = 0, length = 0;
          for (int64_t i = 0; i < d; ++i) {
            const auto at = static_cast<size_t>(p * d + i);
            peak_k = std::max(peak_k, std::abs(double{c.k[at]}));
            peak_v = std::max(peak_v, std::abs(double{c.v[at]}));
            length += std::pow(double{c.k[at]}, 2);
          }
          const bool wide = type == KvType::kI16;
          const double step_k = std::max(peak_k / (wide ? 32767 : 127), std::sqrt(length) / 46000);
          const double step_v = std::max(peak_v / (wide ? 8191 : 127), 0.0);
          const double room = type == KvType::kF32 ? 0 : 0.52;  // floats round, too
          for (int64_t i = 0; i < d; ++i) {
            const auto at = static_cast<size_t>(p * d + i);
            ASSERT_NEAR(c.key(p, i), c.k[at], room * step_k) << table.name << ' ' << scale;
            ASSERT_NEAR(c.value(p, i), c.v[at], room * step_v) << table.name << ' ' << scale;
          }
        }
      }
    }
  }
}

// No number stays no number, for those who see it and for nobody else; nothing stays nothing.
TEST_P(Attention, DegenerateRows) {
  for (const KvType type : kTypes) {
    for (const float bad : {kInf, -kInf, kNan}) {
      for (const bool in_key : {false, true}) {
        Context c(type, 32, 2, 80);
        for (size_t i = 0; i < c.k.size(); ++i) c.k[i] = c.v[i] = std::sin(static_cast<float>(i));
        (in_key ? c.k : c.v)[70 * 32 + 5] = bad;
        c.store(table, 0, 80);
        Queries x = random_queries(60, 20, 2, 32, 1, random);
        for (int64_t t = 0; t < 20; ++t) attend(x.block(c, 8, t, 1, 0, 2));
        for (int64_t t = 0; t < 20; ++t) {
          const bool sees = t >= 10 && t < 18;
          bool finite = true;
          for (int64_t i = 0; i < 64; ++i) {
            finite = finite && std::isfinite(x.out[static_cast<size_t>(t * x.stride + i)]);
          }
          // -infinity as a score is a weight of zero, which is a number.
          if (!(sees && in_key && type == KvType::kF32)) {
            EXPECT_EQ(finite, !sees)
                << table.name << ' ' << kv_type_name(type) << ' ' << bad << ' ' << t << in_key;
          }
        }
      }
    }
    Context zeros(type, 32, 1, 10);
    zeros.store(table, 0, 10);
    Queries x = random_queries(9, 1, 2, 32, 1, random);
    attend(x.block(zeros, INT64_MAX, 0, 1, 0, 2));
    for (size_t i = 0; i < 64; ++i) EXPECT_EQ(x.out[i], 0);
    std::ranges::fill(x.q, 0.0f);  // the mean of all values
    for (size_t i = 0; i < zeros.v.size(); ++i) zeros.v[i] = static_cast<float>(i / 32);
    zeros.store(table, 0, 10);
    attend(x.block(zeros, INT64_MAX, 0, 1, 0, 2));
    for (size_t i = 0; i < 64; ++i) EXPECT_NEAR(x.out[i], 4.5, 1e-3);
  }
}

// exp itself, seen through two keys that score 0 and x: weights are 1 up to what is measured, and
// values pick them.
TEST_P(Attention, Exponentials) {
  Context c(KvType::kF32, 4, 1, 2);
  Queries x{1, 1, 1, 4, {2, 0, 0, 0}, make<float>(4), 2};
  c.v = {1, 0, 0, 0, 0, 1, 0, 0};
  const auto weight = [&](float score) {
    c.k[4] = score;
    c.store(table, 0, 2);
    attend(x.block(c, INT64_MAX, 0, 1, 0, 1));
    return x.out;
  };
  double worst = 0;
  for (float s = -17; s > -87.3f; s -= 0.00137f) {
    const double want = std::exp(double{s}) / (1 + std::exp(double{s}));
    worst = std::max(worst, std::abs(weight(s)[1] - want) / want);
  }
  EXPECT_LT(worst, 2 * 0x1p-23) << table.name;
  for (const float s : {-87.4f, -104.0f, -1e30f, -FLT_MAX}) {
    EXPECT_EQ(weight(s)[0], 1.0f);
    EXPECT_NEAR(weight(s)[1], 0, FLT_MIN) << s;
  }
  EXPECT_EQ(weight(-0.0f), (std::vector<float>{0.5f, 0.5f, 0, 0}));
  EXPECT_EQ(weight(200), (std::vector<float>{0, 1, 0, 0}));
}

INSTANTIATE_TEST_SUITE_P(Tables, Attention, testing::ValuesIn(usable_kernels()),
                         [](const auto& table) { return std::string(table.param->name); });

}  // namespace
}  // namespace st
