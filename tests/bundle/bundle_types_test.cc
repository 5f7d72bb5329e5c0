// docs/format-bundle.md once more for every quantised type: what it says is in a bundle is what the
// model's file has.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "convert/bundle_file.h"
#include "format/gguf_model.h"
#include "shapes/made_model.h"
#include "support/bytes.h"
#include "support/temporary_folder.h"
#include "tensor/blocks.h"
#include "tensor/dtype.h"
#include "tensor/float16.h"
#include "tensor/quantize.h"

namespace st {
namespace {

constexpr size_t D = 256, F = 512, E = 2, P = 256;
constexpr int kOffset8 = 128;  // of codes that are signed bytes, here to be counted from 0

struct Bytes {
  size_t at, size;  // in a block
};
// What is documented of a type, and a block whose values are its codes.
struct Documented {
  DType type;
  std::vector<int> planes;    // bits; none: bytes
  std::vector<Bytes> scales;  // arrays of a row, each with so many bytes of every block
  std::vector<std::pair<size_t, std::string>> unit;  // bytes that make scales 1 and minimums 0
  int offset;                                        // of codes
  const int8_t* table;                               // what codes stand for
  // Of layout 2, neurons that share a number of each array; 0: there is none.
  size_t d, m, sub, sub_mins;
  enum { kPlain, kSigned, kSix, kPacked, kExponent } sub_is;
};

std::string ones(size_t n, char one) { return std::string(n, one); }
const std::string kOne{"\x00\x3C", 2}, kZero(2, '\0');  // half precision
const std::string kSixOnes = ones(4, 1) + ones(4, 0) + ones(4, 1);
// 33 = 1 + 32: nibbles 1, top bits 2.
const std::string kThrees = ones(8, 0x11) + ones(4, '\xAA');

const std::vector<Documented>& documented() {
  using enum DType;
  static const std::vector<Documented> all = {
      {kQ4_0, {4}, {{0, 2}}, {{0, kOne}}, 8, nullptr, 32, 0, 0, 0, Documented::kPlain},
      {kIQ4_NL, {4}, {{0, 2}}, {{0, kOne}}, 0, kIQ4Values, 32, 0, 0, 0, Documented::kPlain},
      {kQ4_1,
       {4},
       {{0, 2}, {2, 2}},
       {{0, kOne}, {2, kZero}},
       0,
       nullptr,
       32,
       32,
       0,
       0,
       Documented::kPlain},
      {kQ5_0, {4, 1}, {{0, 2}}, {{0, kOne}}, 16, nullptr, 32, 0, 0, 0, Documented::kPlain},
      {kQ5_1,
       {4, 1},
       {{0, 2}, {2, 2}},
       {{0, kOne}, {2, kZero}},
       0,
       nullptr,
       32,
       32,
       0,
       0,
       Documented::kPlain},
      {kQ8_0, {}, {{0, 2}}, {{0, kOne}}, kOffset8, nullptr, 32, 0, 0, 0, Documented::kPlain},
      {kMXFP4,
       {4},
       {{0, 1}},
       {{0, ones(1, '\x80')}},
       0,
       kE2M1Values,
       0,
       0,
       32,
       0,
       Documented::kExponent},
      {kQ2_K,
       {2},
       {{0, 16}, {80, 4}},
       {{0, ones(16, 1)}, {80, kOne}},
       0,
       nullptr,
       256,
       256,
       16,
       0,
       Documented::kPacked},
      {kQ3_K,
       {2, 1},
       {{96, 12}, {108, 2}},
       {{96, kThrees}, {108, kOne}},
       4,
       nullptr,
       256,
       0,
       16,
       0,
       Documented::kSigned},
      {kQ4_K,
       {4},
       {{0, 16}},
       {{0, kOne + kZero + kSixOnes}},
       0,
       nullptr,
       256,
       256,
       32,
       32,
       Documented::kSix},
      {kQ5_K,
       {4, 1},
       {{0, 16}},
       {{0, kOne + kZero + kSixOnes}},
       0,
       nullptr,
       256,
       256,
       32,
       32,
       Documented::kSix},
      {kQ6_K,
       {4, 2},
       {{192, 16}, {208, 2}},
       {{192, ones(16, 1)}, {208, kOne}},
       32,
       nullptr,
       256,
       0,
       16,
       0,
       Documented::kSigned},
      {kIQ4_XS,
       {4},
       {{0, 8}},
       {{0, kOne + ones(2, '\xAA') + ones(4, 0x11)}},
       0,
       kIQ4Values,
       256,
       0,
       32,
       0,
       Documented::kSigned},
  };
  return all;
}

using testkit::read_bytes;

unsigned byte_at(const std::string& bytes, size_t i) {
  return static_cast<unsigned char>(bytes[i]);
}
float half_at(const std::string& bytes, size_t i) {
  return f16_to_f32(static_cast<uint16_t>(byte_at(bytes, i) | byte_at(bytes, i + 1) << 8));
}

// Code i of a row of quants that begins at `row`.
unsigned code(const Documented& type, const std::string& bytes, size_t row, size_t i) {
  if (type.planes.empty()) return byte_at(bytes, row + i) ^ 128;  // -128 is 0
  size_t bits = 0;
  for (const int plane : type.planes) bits += static_cast<size_t>(plane);
  const size_t block = i / 32 % 4, half = i % 32 / 16, j = i % 16;
  size_t at = row + i / 128 * 16 * bits;
  unsigned value = 0, up = 0;
  for (const int plane : type.planes) {
    const size_t together = 4 / static_cast<size_t>(plane);  // blocks in 16 bytes
    const size_t shift = (block % together * 2 + half) * static_cast<size_t>(plane);
    const unsigned mask = (1u << plane) - 1;
    value |= (byte_at(bytes, at + block / together * 16 + j) >> shift & mask) << up;
    up += static_cast<unsigned>(plane);
    at += 16 * static_cast<size_t>(plane);
  }
  return value;
}

// The codes of rows as a file has them.
std::vector<float> codes_of(const Documented& type, std::string rows) {
  const DTypeInfo& info = dtype_info(type.type);
  for (size_t block = 0; block < rows.size(); block += info.block_bytes) {
    for (const auto& [at, bytes] : type.unit) rows.replace(block + at, bytes.size(), bytes);
  }
  std::vector<float> codes(rows.size() / info.block_bytes * info.block_values);
  dequantize_row(type.type, reinterpret_cast<const std::byte*>(rows.data()), std::ssize(codes),
                 codes.data());
  return codes;
}

float meaning(const Documented& type, unsigned code) {
  return static_cast<float>(type.table != nullptr ? type.table[code]
                                                  : static_cast<int>(code) - type.offset);
}

size_t place(DType type, size_t c) {
  const size_t t = c % 128;
  if (type == DType::kQ8_0) {
    return c - t + 16 * (4 * (t / 64) + t % 16 / 4) + 4 * (t / 16 % 4) + c % 4;
  }
  return c - t + 16 * (t % 32 / 4) + 4 * (t / 32) + c % 4;
}

// Rows of F x D, quants and scales apart: codes as in the file, scales to the byte.
void check_rows(const Documented& type, const std::string& part, const std::string& file) {
  const DTypeInfo& info = dtype_info(type.type);
  const std::vector<float> codes = codes_of(type, file);
  size_t scales = 0;
  for (const Bytes& bytes : type.scales) scales += bytes.size;
  const size_t quants = info.block_bytes - scales, blocks = D / info.block_values;
  for (size_t i = 0; i < F * D; ++i) {
    const size_t row = i / D * blocks * quants;
    ASSERT_EQ(meaning(type, code(type, part, row, i % D)), codes[i]) << info.name << ' ' << i;
  }
  size_t at = F * blocks * quants;
  for (size_t row = 0; row < F; ++row) {
    for (const Bytes& bytes : type.scales) {
      for (size_t b = 0; b < blocks; ++b, at += bytes.size) {
        const size_t block = (row * blocks + b) * info.block_bytes;
        ASSERT_EQ(part.substr(at, bytes.size), file.substr(block + bytes.at, bytes.size))
            << info.name << " row " << row << " block " << b;
      }
    }
  }
}

// A down matrix by neuron: values as in the file.
void check_regrouped(const Documented& type, const std::string& part, const std::string& file) {
  const DTypeInfo& info = dtype_info(type.type);
  size_t bits = type.planes.empty() ? 8 : 0;
  for (const int plane : type.planes) bits += static_cast<size_t>(plane);
  const size_t d = F * D * bits / 8;
  const size_t m = d + (type.d ? F / type.d * P * 2 : 0);
  const size_t sub = m + (type.m ? F / type.m * P * 2 : 0);
  const size_t sub_mins = sub + (type.sub ? F / type.sub * P : 0);
  const size_t end = sub_mins + (type.sub_mins ? F / type.sub_mins * P : 0);
  ASSERT_EQ(part.size(), (end + 4095) / 4096 * 4096) << info.name;
  std::vector<float> values(D * F);
  dequantize_row(type.type, reinterpret_cast<const std::byte*>(file.data()), std::ssize(values),
                 values.data());
  for (size_t c = 0; c < D; ++c) {
    const size_t at = place(type.type, c);
    for (size_t j = 0; j < F; ++j) {
      const auto half = [&](size_t from, size_t n) {
        return n ? half_at(part, from + (j / n * P + at) * 2) : 0.0f;
      };
      const auto byte = [&](size_t from, size_t n) {
        return n ? byte_at(part, from + j / n * P + at) : 1u;
      };
      float scale = half(d, type.d), min = -half(m, type.m);
      const unsigned s = byte(sub, type.sub);
      switch (type.sub_is) {
        case Documented::kPlain:
          break;
        case Documented::kSigned:
          scale *= static_cast<float>(static_cast<int8_t>(s));
          break;
        case Documented::kSix:
          scale *= static_cast<float>(s);
          min *= -static_cast<float>(byte(sub_mins, type.sub_mins));
          break;
        case Documented::kPacked:
          scale *= static_cast<float>(s & 15);
          min *= -static_cast<float>(s >> 4);
          break;
        case Documented::kExponent:
          scale = std::ldexp(1.0f, static_cast<int>(s) - 128);
          break;
      }
      const float w = meaning(type, code(type, part, j * D * bits / 8, c));
      ASSERT_EQ(scale * w - min, values[c * F + j]) << info.name << ' ' << c << ' ' << j;
    }
  }
}

TEST(BundleTypes, HaveWhatIsDocumented) {
  const TemporaryFolder folder;
  const std::string path = folder / "made.gguf", out = folder / "bundle.gguf";
  shapes::Shape shape = shapes::smallest();
  shape.config.hidden = D;
  shape.config.heads = 4;
  shape.config.head_dim = 64;
  shape.ffn.experts = shape.ffn.used = E;
  shape.ffn.width = F;
  for (const Documented& type : documented()) {
    shape.type = type.type;
    shapes::write_model(shape, 1, path);
    write_bundle({.input = path, .output = out, .expert_bundle = {}, .progress = {}});
    const GgufModel model(path), bundle(out);
    const auto tensor = bundle.find("blk.0.exps");
    const size_t step = tensor.info->ne[0];
    const std::string expert = read_bytes(*tensor.source, tensor.info->offset + step, step);
    const auto in_file = [&](const char* name) {
      const auto found = model.find(fmt::format("blk.0.ffn_{}_exps.weight", name));
      const size_t bytes = found.info->bytes / E;
      return read_bytes(*found.source, found.info->offset + bytes, bytes);
    };
    const std::string gate = in_file("gate"), up = in_file("up");
    const size_t padded = (gate.size() + 4095) / 4096 * 4096;
    check_rows(type, expert.substr(0, padded), gate);
    check_rows(type, expert.substr(padded, padded), up);
    check_regrouped(type, expert.substr(2 * padded), in_file("down"));
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace st
