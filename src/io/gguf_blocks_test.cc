// SPDX-License-Identifier: Apache-2.0
#include "io/gguf_blocks.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/float16.h"
#include "base/philox.h"
#include "io/safetensors.h"
#include "io/sha256.h"

namespace forge::io {
namespace {

constexpr BlockType kTernary[] = {BlockType::kTQ1_0, BlockType::kTQ2_0, BlockType::kQ2_0};

std::string Hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text += "0123456789abcdef"[std::to_integer<int>(byte) >> 4];
    text += "0123456789abcdef"[std::to_integer<int>(byte) & 15];
  }
  return text;
}

std::vector<std::byte> Encode(BlockType type, std::span<const float> values) {
  std::vector<std::byte> bytes(RowBytes(type, values.size()));
  EncodeBlocks(type, values, bytes);
  return bytes;
}

// Golden bytes made with gguf-py and ggml d99724f (C); the samples are formulas, so that anyone can make
// them.
std::vector<std::int8_t> TernarySample() {
  std::vector<std::int8_t> codes;
  for (int i = 0; i < 256; ++i) codes.push_back(static_cast<std::int8_t>((i * i + i / 5 + i / 17) % 3 - 1));
  return codes;
}
std::vector<float> RealSample() {
  std::vector<float> values;
  for (int i = 0; i < 256; ++i) values.push_back(static_cast<float>((37 * i + 11) % 101 - 50) * 0.0137f);
  return values;
}
constexpr const char* kGoldenTQ1_0 =
    "438b64315ce283b6e4982c46f850111895c778c94eff320dc1a870065d877bb62715dd35213ba57b465c4bd52704e6a7b8231adb"
    "0028";
constexpr const char* kGoldenTQ2_0 =
    "1865512481a695120a1954582a68906089a2450628aa245062a9a140812585125062a9a14081258510049258510089a584020695"
    "164a1a6458"
    "20a99645928a190028";
constexpr const char* kGoldenQ2_0 =
    "0028149906029908169546149a0a521a081400289958549a086a2a48142a50641a486922002858542051682a9069205084605169"
    "62a10028a9"
    "20518140916944a58960a18244a129";

TEST(TernaryBlocks, MatchTheGoldenBytesOfGgml) {
  const std::vector<std::int8_t> codes = TernarySample();
  std::vector<float> values;
  for (const std::int8_t code : codes) values.push_back(0.03125f * code);
  EXPECT_EQ(Hex(Encode(BlockType::kTQ1_0, values)), kGoldenTQ1_0);
  EXPECT_EQ(Hex(Encode(BlockType::kTQ2_0, values)), kGoldenTQ2_0);
  EXPECT_EQ(Hex(Encode(BlockType::kQ2_0, values)), kGoldenQ2_0);
  for (const BlockType type : kTernary) {
    std::vector<std::byte> packed(RowBytes(type, 256));
    EncodeTernary(type, codes, std::vector<float>{0.03125f}, 256, packed);
    EXPECT_EQ(packed, Encode(type, values));
    std::vector<float> decoded(256);
    DecodeBlocks(type, packed, decoded);
    EXPECT_EQ(decoded, values);
  }
}

TEST(FloatBlocks, MatchTheGoldenBytesOfGgml) {
  const std::vector<float> values = RealSample();
  const auto first = [&](BlockType type) { return Hex(Encode(type, std::span(values).first(32))); };
  EXPECT_EQ(first(BlockType::kQ8_0), "861d9dfb59b61472d02e8be947a50361be1c7ad73593f14fac0a68c62481df3d9af8");
  EXPECT_EQ(first(BlockType::kQ4_0), "7b2df258be1379df359bf147ac0268ce248a");
  EXPECT_EQ(first(BlockType::kQ4_1), "ba2d7bb9f257bd1379cf358ae146ac0268bd2479");
  EXPECT_EQ(first(BlockType::kQ5_0), "7b29b4b4a525f4bf7b27e3ae5a16d19d4904c08c38f4");
  EXPECT_EQ(first(BlockType::kQ5_1), "8b297bb9b4b4a525f3bf6b27e2ae5a16d19d4904c07c38f3");
}

// Two blocks of made-up bytes with two ordinary scales; SHA-256 of the float32 values that
// gguf.quants.dequantize (gguf-py 0.19.0) gives for them.
TEST(GgufBlocks, DecodeMadeUpBytesAsGgufPyDoes) {
  struct Case {
    const char* name;
    std::vector<std::size_t> scales;  // where in a block
    const char* sha256;
  };
  const Case cases[] = {
      {"Q4_0", {0}, "6a6246ef79a0b69c7c8a03eade00c43a69c503d79133a286db4c7f49b4693e83"},
      {"Q4_1", {0, 2}, "c623bfdb5e1a54a052f4d1a02e724e664e21c3f6c41660ab934d726cc052e7e4"},
      {"Q5_0", {0}, "d9e6958e7a88afb1ce3aa0c58e80aa97a6e6ba2ed396d1acccb90f835b552442"},
      {"Q5_1", {0, 2}, "e3e14680f9971b3aa902d6f44bf025d0c437301459d75f2ccc3b7df9a0e70318"},
      {"Q8_0", {0}, "b461947cae498c628c964108c3fc005372c24f4eba10a374fb86ab4f5773fa6a"},
      {"Q2_K", {80, 82}, "3c26a163bc067ae5904be87247da51104065e112c947e3aac8dd87198edae5a0"},
      {"Q3_K", {108}, "4a674f87ca2887e41abe0ba8fa28ad16601462c4ea35d36b129a52343149dc51"},
      {"Q4_K", {0, 2}, "047322910fec6749a2ad5310cf3bb1eebb861bc70f815701111b6183085cf8c3"},
      {"Q5_K", {0, 2}, "c01b54cb65ba8a80b04ac7529fe5328b183686619e41dbe8eea4cc6cc8f6568d"},
      {"Q6_K", {208}, "f7c491e6be5a3c2966fd1aa75fa6fe09800929a8482d2c7f9f3bf2855fd5331d"},
  };
  for (const Case& c : cases) {
    const BlockType type = *FindBlockType(c.name);
    const BlockInfo& info = Info(type);
    std::vector<std::byte> bytes(2 * info.bytes);
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::byte>(i * 89 + i / 7 * 31 + 11);
    for (std::size_t block = 0; block < 2; ++block)
      for (std::size_t i = 0; i < c.scales.size(); ++i) {
        const std::uint16_t scale = i == 0 ? 0x2C66 : 0x1A0F;
        std::memcpy(bytes.data() + block * info.bytes + c.scales[i], &scale, 2);
      }
    std::vector<float> values(2 * info.elements);
    DecodeBlocks(type, bytes, values);
    EXPECT_EQ(Sha256(std::as_bytes(std::span(values))), c.sha256) << c.name;
  }
}

// The bytes are what a good quantizer makes of the sample, so decoding must come within a step of it: the
// largest |scale| is 127 or 128 and 32 steps reach the largest value, 0.685.
TEST(FloatBlocks, DecodeTheGoldenBlockOfQ6_K) {
  const std::string hex =
      "45df28bc069f137cf08ad367f14ade285ed67df57c038b02aa22b931b85fd75e26ac058d037bf179d258d048ce27af2583fc74"
      "1d960eb62fd840"
      "b961da53fb74d158bf37be25ad048b047bf37ad159d0c941ea63eb74fb741d951ea72fc841c9bf35ad169b048df26be069d147"
      "cf38bd1a922c84"
      "0d85ed77ff57d038b04aa22b6cb11b6cc61b71c61cb1cb6cb21b6cc6e74d3ad04d37904ae7913ae44d3a904d18b1c66cb11b6c"
      "861b71c61cb1c7"
      "6cb22453f9248ef9138ef4538d2452f9248e8d81877c897a8677807f897a867a8487a989";
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(std::byte(std::stoi(hex.substr(i, 2), nullptr, 16)));
  ASSERT_EQ(bytes.size(), Info(BlockType::kQ6_K).bytes);
  std::vector<float> decoded(256);
  DecodeBlocks(BlockType::kQ6_K, bytes, decoded);
  const std::vector<float> values = RealSample();
  for (int i = 0; i < 256; ++i) EXPECT_NEAR(decoded[i], values[i], 0.685f / 32) << i;
}

TEST(TernaryBlocks, HoldEveryFiveTritsInEveryPlace) {
  for (int number = 0; number < 243; ++number) {
    std::vector<std::int8_t> codes(256, 0);
    for (int byte = 0; byte < 48;
         ++byte) {  // bytes 0-31 have stride 32 from 0, bytes 32-47 stride 16 from 160
      int rest = number;
      for (int n = 4; n >= 0; --n, rest /= 3)
        codes[byte < 32 ? byte + 32 * n : 160 + (byte - 32) + 16 * n] =
            static_cast<std::int8_t>(rest % 3 - 1);
    }
    for (int byte = 0; byte < 4; ++byte) {
      int rest = number % 81;
      for (int n = 3; n >= 0; --n, rest /= 3)
        codes[240 + byte + 4 * n] = static_cast<std::int8_t>(rest % 3 - 1);
    }
    std::vector<std::byte> bytes(54);
    EncodeTernary(BlockType::kTQ1_0, codes, std::vector<float>{1}, 256, bytes);
    std::vector<float> decoded(256);
    DecodeBlocks(BlockType::kTQ1_0, bytes, decoded);
    for (int i = 0; i < 256; ++i) ASSERT_EQ(decoded[i], codes[i]) << number << " at " << i;
  }
}

TEST(TernaryBlocks, GiveTheSameBytesAfterDecodingAndEncoding) {
  Random random(1, "gguf_blocks_test");
  std::vector<float> scales = {0, HalfToFloat(1), 5e-5f, 65504};  // 0, subnormal, smallest normal, largest
  for (int i = 0; i < 200; ++i) scales.push_back(RoundToHalf(static_cast<float>(random.Uniform())));
  for (const BlockType type : kTernary) {
    for (float scale : scales) {
      scale = RoundToHalf(scale);
      std::vector<std::int8_t> codes;
      for (int i = 0; i < 256; ++i)
        codes.push_back(static_cast<std::int8_t>(static_cast<int>(random.Below(3)) - 1));
      for (int i = 0; i < 256; i += 64) codes[i] = 1;  // else max|x| of a block could be 0
      if (scale == 0) codes.assign(256, 0);
      std::vector<std::byte> bytes(RowBytes(type, 256));
      EncodeTernary(type, codes, std::vector<float>{scale}, 256, bytes);
      std::vector<float> values(256);
      DecodeBlocks(type, bytes, values);
      EXPECT_EQ(Encode(type, values), bytes) << Info(type).name << " " << scale;
    }
  }
}

TEST(TernaryBlocks, GiveEachGroupItsScale) {
  std::vector<std::int8_t> codes(512, 1);
  std::vector<std::byte> bytes(RowBytes(BlockType::kQ2_0, 512));
  EncodeTernary(BlockType::kQ2_0, codes, std::vector<float>{1, 2, 3, 4}, 128, bytes);
  std::vector<float> values(512);
  DecodeBlocks(BlockType::kQ2_0, bytes, values);
  for (int i = 0; i < 512; ++i) EXPECT_EQ(values[i], 1 + i / 128);
}

// 1e-43 is so small that 1 / d is infinite.
TEST(GgufBlocks, StoreTheCodesOfZeroForValuesBelowEveryScale) {
  const std::vector<float> values(256, 1e-43f), zeros(256, 0);
  for (const BlockType type :
       {BlockType::kQ8_0, BlockType::kQ4_0, BlockType::kTQ1_0, BlockType::kTQ2_0, BlockType::kQ2_0})
    EXPECT_EQ(Hex(Encode(type, values)), Hex(Encode(type, zeros))) << Info(type).name;
}

TEST(GgufBlocks, AreFoundByNumberAndName) {
  EXPECT_EQ(FindBlockType(42u), BlockType::kQ2_0);
  EXPECT_EQ(FindBlockType("TQ1_0"), BlockType::kTQ1_0);
  EXPECT_EQ(FindBlockType(12u), BlockType::kQ4_K);
  EXPECT_EQ(FindBlockType(23u), std::nullopt);
  EXPECT_EQ(FindBlockType("q4_k"), std::nullopt);
  EXPECT_EQ(BlockTypeName(12), "Q4_K");
  EXPECT_EQ(BlockTypeName(23), "IQ4_XS");
  EXPECT_EQ(BlockTypeName(99), "type 99");
}

std::filesystem::path GoldenFile() {
  const char* folder = std::getenv("FORGE_SHARED");
  const std::filesystem::path shared = folder != nullptr
                                           ? std::filesystem::path(folder)
                                           : std::filesystem::path(FORGE_SOURCE_DIR) / "../shared";
  return shared / "data/golden/gguf_quants/quants.safetensors";
}

TEST(GgufBlocksGolden, EncodeAndDecodeAsGgufPyDoes) {
  if (!std::filesystem::exists(GoldenFile()))
    GTEST_SKIP() << GoldenFile() << " is not there; set FORGE_SHARED";
  const SafetensorsFile golden(GoldenFile());
  int encoded = 0, decoded = 0;
  for (const char* name : {"F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K",
                           "Q5_K", "Q6_K", "TQ1_0", "TQ2_0"}) {
    const BlockType type = *FindBlockType(name);
    for (const std::string input : {"a", "b", "rand"}) {
      const std::string prefix = input + "." + name;
      const auto* bytes = golden.Find(prefix + ".bytes");
      if (bytes == nullptr) continue;
      const auto& expected_entry = golden.Get(prefix + ".dequant");
      std::vector<float> expected(expected_entry.size()), values(expected.size());
      golden.ReadFloats(expected_entry, expected);
      DecodeBlocks(type, bytes->bytes, values);
      for (std::size_t i = 0; i < values.size(); ++i)
        ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), std::bit_cast<std::uint32_t>(expected[i]))
            << prefix << " at " << i;
      ++decoded;
      const auto* source = golden.Find(input);
      if (source == nullptr) continue;
      golden.ReadFloats(*source, values);
      EXPECT_EQ(Hex(Encode(type, values)), Hex(bytes->bytes)) << prefix;
      ++encoded;
    }
  }
  EXPECT_EQ(decoded, 30);  // rand of 12 types, a and b of the 9 that gguf-py can write
  EXPECT_EQ(encoded, 18);
}

}  // namespace
}  // namespace forge::io
