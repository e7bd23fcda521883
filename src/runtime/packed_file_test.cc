// SPDX-License-Identifier: Apache-2.0
#include "runtime/packed_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <limits>

#include "base/error.h"
#include "io/atomic_file.h"
#include "model/testing_models.h"
#include "runtime/native_model.h"

namespace forge::runtime {
namespace {

namespace fs = std::filesystem;
using model::ModelConfig;
using ::testing::HasSubstr;

const std::vector<int> kTokens{7, 1, 33, 12, 12, 0, 39, 5, 20, 21, 22};

/// A random model whose linears are ternary in groups of `group`.
struct TernaryParts {
  ModelConfig config;
  model::ModelWeights weights;
  model::TernaryWeights ternary;
};
TernaryParts MakeTernary(const ModelConfig& config, int group) {
  TernaryParts parts{config, model::testing::RandomWeights(config), {}};
  for (const model::TensorSpec& spec : model::ListTensors(config)) {
    if (!model::IsLinear(spec)) continue;
    const model::Tensor tensor = parts.weights.extract(spec.name).mapped();
    model::TernaryTensor& ternary = parts.ternary[spec.name];
    ternary = {.shape = tensor.shape, .group = group};
    for (const float value : tensor.values)
      ternary.codes.push_back(static_cast<std::int8_t>((value > 0.05f) - (value < -0.05f)));
    for (std::size_t g = 0; g < tensor.values.size() / static_cast<std::size_t>(group); ++g)
      ternary.scales.push_back(0.125f + 0.0625f * static_cast<float>(g % 3));
  }
  return parts;
}

class PackedFile : public ::testing::Test {
 protected:
  ~PackedFile() override { fs::remove(path_); }

  static PackedWeights Pack(const TernaryParts& parts, CodeLayout layout = CodeLayout::kTwoBit,
                            std::optional<WeightType> tables = WeightType::kInt8) {
    return PackWeights(
        parts.config, parts.weights,
        {.linears = {}, .embeddings = tables, .activations = Activations::kInt8, .ternary = layout},
        parts.ternary);
  }
  PackedWeights Open() const { return OpenPackedFile(std::make_shared<const io::SectionFile>(path_)); }
  std::string Problem() const {
    try {
      Open();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInput);
      EXPECT_THAT(error.fields().what, HasSubstr(path_.string()));
      return error.fields().why;
    }
    return "";
  }
  /// What is said about a file whose sections and metadata `change` has changed.
  std::string ProblemAfter(
      const std::function<void(std::vector<io::Section>&, io::GgufMetadata&)>& change) const {
    const io::SectionFile file(whole_);
    std::vector<io::Section> sections = file.sections();
    io::GgufMetadata metadata = file.metadata();
    change(sections, metadata);
    io::WriteSectionFile(path_, metadata, sections);
    return Problem();
  }

  fs::path path_ = fs::temp_directory_path() / ("forge-packed-" + std::to_string(getpid()));
  fs::path whole_ = path_.string() + ".whole";
};

TEST_F(PackedFile, RunsToTheBitsOfTheWeightsInMemory) {
  for (const char* type : {"qwen2", "llama", "qwen3"})
    for (const bool tied : {true, false})
      for (const auto tables : {WeightType::kInt8, WeightType::kInt4}) {
        ModelConfig config = model::testing::TinyConfig(type);
        config.tie_word_embeddings = tied;
        config.bos_token_id = 2;
        const PackedWeights weights = Pack(MakeTernary(config, 64), CodeLayout::kTwoBit, tables);
        SavePackedFile(path_, weights, {}, "tiny");
        PackedWeights opened = Open();
        EXPECT_EQ(opened.config, config);
        EXPECT_EQ(opened.activations, Activations::kInt8);
        EXPECT_EQ(opened.bytes(), weights.bytes());
        fs::remove(path_);  // it stays mapped
        EXPECT_EQ(NativeModel(std::move(opened)).Logits(kTokens), NativeModel(weights).Logits(kTokens))
            << type;
      }
}

TEST_F(PackedFile, HoldsAnInt8HeadInHalvesAndRunsOneThatIsNot) {
  ModelConfig config = model::testing::TinyConfig("qwen2");
  TernaryParts parts = MakeTernary(config, 64);
  const auto format = [&](const char* section) {
    return static_cast<PackedFormat>(io::SectionFile(path_).Find(section)->format);
  };
  SavePackedFile(path_, Pack(parts), {}, "tied");
  EXPECT_EQ(format("embedding"), PackedFormat::kInt8Halves);
  EXPECT_TRUE(Open().HasHeadInHalves());
  const std::vector<float> logits = NativeModel(Open()).Logits(kTokens);

  // The same rows as an embedding of its own, which is not in halves: what files of before have as the head.
  parts.config.tie_word_embeddings = false;
  parts.weights["lm_head.weight"] = parts.weights.at("model.embed_tokens.weight");
  PackedWeights old = Pack(parts);
  SavePackedFile(path_, old, {}, "untied");
  EXPECT_EQ(format("embedding"), PackedFormat::kInt8);
  EXPECT_EQ(format("head"), PackedFormat::kInt8Halves);
  EXPECT_EQ(NativeModel(Open()).Logits(kTokens), logits);
  old.config = config;
  old.head = {};
  SavePackedFile(path_, old, {}, "before");
  EXPECT_EQ(format("embedding"), PackedFormat::kInt8);
  EXPECT_FALSE(Open().HasHeadInHalves());
  EXPECT_EQ(NativeModel(Open()).Logits(kTokens), logits);
}

TEST_F(PackedFile, HoldsARotatedHeadAndNoOtherRotatedMatrix) {
  for (const bool tied : {true, false}) {
    ModelConfig config = model::testing::TinyConfig("qwen2");
    config.tie_word_embeddings = tied;
    const TernaryParts parts = MakeTernary(config, 64);
    const PackedWeights weights = PackWeights(parts.config, parts.weights,
                                              {.linears = {},
                                               .embeddings = WeightType::kInt8,
                                               .activations = Activations::kInt8,
                                               .rotates_head = true},
                                              parts.ternary);
    SavePackedFile(path_, weights, {}, "rotated");
    const io::SectionFile file(path_);
    const io::Section& head = *file.Find(tied ? "embedding" : "head");
    EXPECT_EQ(static_cast<PackedFormat>(head.format), PackedFormat::kInt8Rotated);
    EXPECT_EQ(head.block, 256u);
    EXPECT_EQ(head.group, 256u);  // 64 inputs, rounded up
    if (!tied) {
      EXPECT_EQ(static_cast<PackedFormat>(file.Find("embedding")->format), PackedFormat::kInt8);
    }
    EXPECT_TRUE(Open().HasHeadInHalves());
    EXPECT_EQ(NativeModel(Open()).Logits(kTokens), NativeModel(weights).Logits(kTokens));
  }
  SavePackedFile(whole_, Pack(MakeTernary(model::testing::TinyConfig("qwen2"), 64)), {}, "tiny");
  const auto refuses = [&](std::size_t section, std::uint64_t block, std::uint64_t group) {
    return ProblemAfter([&](std::vector<io::Section>& sections, io::GgufMetadata&) {
      sections[section].format = 9;
      sections[section].block = block;
      sections[section].group = group;
    });
  };
  EXPECT_THAT(refuses(0, 32, 32), HasSubstr("int8 in halves, rotated codes have no blocks of 32"));
  EXPECT_THAT(refuses(0, 256, 64), HasSubstr("no blocks of 256 in groups of 64"));
  EXPECT_THAT(refuses(0, 256, 256), HasSubstr("its codes take"));
  EXPECT_THAT(refuses(2, 256, 256), HasSubstr("section layers.0.query_key_value is rotated"));
  fs::remove(whole_);
}

// The second example of docs/format.md.
TEST(CodeMatrix, HasTheHalvesOfRow33AndColumn38WhereTheFormatSays) {
  WeightArena arena;
  CodeMatrix matrix = CodeMatrix::EmptyHalves(64, 64, arena);
  std::vector<std::byte> row(2 * 34);
  row[34 + 1] = std::byte{0x40};      // 2 in binary16
  row[34 + 2 + 6] = std::byte{0x2b};  // 43: the code is 171 = 16 * 10 + 11
  matrix.PutRows(33, 1, [&](std::size_t) { return std::span<const std::byte>(row); });
  const auto at = [&](std::size_t offset) { return std::to_integer<int>(matrix.data()[offset]); };
  EXPECT_EQ(matrix.data().size(), 2u * 1152 + 2 * 1024);
  EXPECT_EQ(at(1152 + 576 + 2 * 1 + 1), 0x40);
  EXPECT_EQ(at(1152 + 576 + 64 + 4 * 1 + 2), 8 + 16 * 10);  // code 128 of input 2 is in the lower half
  EXPECT_EQ(at(2 * 1152 + 1024 + 512 + 4 * 1 + 2), 0 + 16 * 11);
}

TEST_F(PackedFile, HoldsEveryGroupInEitherKindOfCodes) {
  ModelConfig config = model::testing::TinyConfig("llama");
  config.hidden_size = config.intermediate_size = 256;
  config.head_dim = 64;
  for (const int group : {64, 128, 256})
    for (const auto& [layout, format] : {std::pair{CodeLayout::kTwoBit, PackedFormat::kTwoBit},
                                         std::pair{CodeLayout::kBase3, PackedFormat::kBase3},
                                         std::pair{CodeLayout::kBase27, PackedFormat::kBase27}}) {
      const PackedWeights weights = Pack(MakeTernary(config, group), layout);
      SavePackedFile(path_, weights, {}, "tiny");
      EXPECT_EQ(io::SectionFile(path_).Find("layers.1.down")->format,
                static_cast<std::uint32_t>(group > 64 ? format : PackedFormat::kTwoBit));
      EXPECT_EQ(NativeModel(Open()).Logits(kTokens), NativeModel(weights).Logits(kTokens)) << group;
    }
}

TEST_F(PackedFile, HoldsAScaleForEachRow) {
  ModelConfig config = model::testing::TinyConfig("qwen2");
  TernaryParts parts = MakeTernary(config, 64);
  for (auto& [name, tensor] : parts.ternary) {  // down has 128 inputs: one scale for a whole row
    if (tensor.shape[1] != 128) continue;
    tensor.group = 128;
    tensor.scales.resize(tensor.scales.size() / 2);
  }
  const PackedWeights weights = Pack(parts);
  SavePackedFile(path_, weights, {}, "tiny");
  EXPECT_EQ(NativeModel(Open()).Logits(kTokens), NativeModel(weights).Logits(kTokens));
}

// The example of docs/format.md.
TEST(CodeMatrix, HasTheCodeOfRow33AndColumn70WhereTheFormatSays) {
  std::vector<std::int8_t> codes(64 * 128, -1);
  std::vector<float> scales(64 * 2, 1.0f);
  codes[33 * 128 + 70] = 1;
  scales[33 * 2 + 1] = 2.0f;
  WeightArena arena;
  const CodeMatrix matrix = CodeMatrix::PackTernary(codes, scales, 64, 128, 64, CodeLayout::kTwoBit, arena);
  const auto at = [&](std::size_t offset) { return std::to_integer<int>(matrix.data()[offset]); };
  EXPECT_EQ(matrix.data().size(), 2u * 1152);
  EXPECT_EQ(at(1152 + 576 + 2 * 1) | at(1152 + 576 + 2 * 1 + 1) << 8, 0x4000);  // 2 in binary16
  EXPECT_EQ(at(1152 + 576 + 64 + 4 * 1 + 2), 2 << 2);
  EXPECT_EQ(at(1152 + 576 + 64 + 4 * 1 + 1), 0);
}

// The third example of docs/format.md.
TEST(CodeMatrix, HasTheBase27CodeOfRow33AndColumn200WhereTheFormatSays) {
  std::vector<std::int8_t> codes(64 * 256, -1);
  codes[33 * 256 + 200] = 1;
  WeightArena arena;
  const CodeMatrix matrix =
      CodeMatrix::PackTernary(codes, std::vector<float>(64, 1.0f), 64, 256, 256, CodeLayout::kBase27, arena);
  const auto at = [&](std::size_t offset) { return std::to_integer<int>(matrix.data()[offset]); };
  EXPECT_EQ(matrix.data().size(), 2u * 1920);
  EXPECT_EQ(at(1920 + 64 + 64 * 21 + 4 * 1) | at(1920 + 64 + 64 * 21 + 4 * 1 + 1) << 8, 2 * 9 << 5);
}

TEST_F(PackedFile, RefusesWhatItHasNoFormFor) {
  const TernaryParts parts = MakeTernary(model::testing::TinyConfig("llama"), 64);
  try {
    SavePackedFile(path_, Pack(parts, CodeLayout::kTwoBit, WeightType::kFloat16), {}, "tiny");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.fields().why, HasSubstr("embedding: no ternary"));
    EXPECT_THAT(error.fields().fix, HasSubstr("--embeddings q8_0"));
  }
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(PackedFile, RefusesANormThatIsNoNumberThoughItsChecksumHolds) {
  SavePackedFile(whole_, Pack(MakeTernary(model::testing::TinyConfig("qwen2"), 64)), {}, "tiny");
  std::vector<float> norm(64, 1.0f);
  norm[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(ProblemAfter([&](std::vector<io::Section>& sections, io::GgufMetadata&) {
                for (io::Section& section : sections)
                  if (section.name == "layers.1.input_norm") section.bytes = std::as_bytes(std::span(norm));
              }),
              HasSubstr("section layers.1.input_norm holds nan"));
  fs::remove(whole_);
}

TEST_F(PackedFile, RefusesSectionsThatAreNotThoseOfItsConfig) {
  SavePackedFile(whole_, Pack(MakeTernary(model::testing::TinyConfig("qwen2"), 64)), {}, "tiny");
  using Sections = std::vector<io::Section>;
  const auto problem = [&](const std::function<void(Sections&)>& change) {
    return ProblemAfter([&](Sections& sections, io::GgufMetadata&) { change(sections); });
  };
  EXPECT_EQ(problem([](Sections&) {}), "");
  EXPECT_THAT(problem([](Sections& s) { s.erase(s.begin() + 2); }),
              HasSubstr("section layers.0.query_key_value is missing"));
  EXPECT_THAT(problem([](Sections& s) { s.push_back(s[0]), s.back().name = "more"; }),
              HasSubstr("sections, a model"));
  EXPECT_THAT(problem([](Sections& s) { s[0].rows = 41; }),
              HasSubstr("embedding has 41 rows of 64, by the config 40"));
  EXPECT_THAT(problem([](Sections& s) { s[0].columns = 32; }), HasSubstr("embedding has 40 rows of 32"));
  EXPECT_THAT(problem([](Sections& s) { s[0].format = 99; }),
              HasSubstr("format 99, which this forge does not know"));
  EXPECT_THAT(problem([](Sections& s) { s[0].format = 6; }), HasSubstr("embedding has two planes"));
  EXPECT_THAT(problem([](Sections& s) { s[0].format = 4; }), HasSubstr("its codes take"));
  EXPECT_THAT(problem([](Sections& s) { s[0].bytes = s[0].bytes.first(s[0].bytes.size() - 64); }),
              HasSubstr("its codes take"));
  EXPECT_THAT(problem([](Sections& s) { s[0].block = 64; }),
              HasSubstr("int8 in halves codes have no blocks of 64"));
  EXPECT_THAT(problem([](Sections& s) { s[2].group = 96; }), HasSubstr("two-bit codes have no blocks"));
  EXPECT_THAT(problem([](Sections& s) { s[2].block = 0; }), HasSubstr("two-bit codes have no blocks of 0"));
  EXPECT_THAT(problem([](Sections& s) { s[2].group = std::uint64_t{1} << 63; }),
              HasSubstr("two-bit codes have no"));
  EXPECT_THAT(problem([](Sections& s) { s[0].bytes = s[0].bytes.first(64); }),
              HasSubstr("has 64 bytes, its codes"));
  EXPECT_THAT(problem([](Sections& s) { s[1].format = 5; }),
              HasSubstr("input_norm is not 64 numbers of float32"));
  const std::vector<float> wrong(64, std::numeric_limits<float>::infinity());
  EXPECT_THAT(problem([&](Sections& s) { s[1].bytes = std::as_bytes(std::span(wrong)); }),
              HasSubstr("input_norm holds inf"));
  fs::remove(whole_);
}

TEST_F(PackedFile, RefusesConfigsThatLie) {
  SavePackedFile(whole_, Pack(MakeTernary(model::testing::TinyConfig("qwen2"), 64)), {}, "tiny");
  const auto problem = [&](const std::string& from, const std::string& to) {
    return ProblemAfter([&](std::vector<io::Section>&, io::GgufMetadata& metadata) {
      std::string& text = std::get<std::string>(metadata.at(kPackedConfigKey));
      const std::size_t at = text.find(from);
      ASSERT_NE(at, std::string::npos) << text;
      text.replace(at, from.size(), to);
    });
  };
  EXPECT_THAT(problem("\"num_hidden_layers\":2", "\"num_hidden_layers\":4000"), HasSubstr("4000 layers"));
  EXPECT_THAT(problem("\"num_hidden_layers\":2", "\"num_hidden_layers\":3"),
              HasSubstr("layers.2.input_norm is missing"));
  EXPECT_THAT(problem("\"vocab_size\":40", "\"vocab_size\":99999999"), HasSubstr("a size of 99999999"));
  EXPECT_THAT(problem("\"tie_word_embeddings\":true", "\"tie_word_embeddings\":false"),
              HasSubstr("head is missing"));
  EXPECT_THAT(problem("{", "["), HasSubstr("parse error"));
  EXPECT_THAT(ProblemAfter([](auto&, io::GgufMetadata& metadata) { metadata.erase(kPackedConfigKey); }),
              HasSubstr("its metadata has no text forge.config"));
  fs::remove(whole_);
}

TEST_F(PackedFile, FindsADamagedNormWhenItIsOpened) {
  SavePackedFile(path_, Pack(MakeTernary(model::testing::TinyConfig("llama"), 64)), {}, "tiny");
  std::string bytes = io::ReadFile(path_);
  const io::SectionFile file(path_);
  bytes[file.OffsetOf(*file.Find("final_norm"))] ^= 1;
  io::WriteFileAtomically(path_, bytes);
  EXPECT_THAT(Problem(), HasSubstr("section final_norm do not have the SHA-256"));
}

}  // namespace
}  // namespace forge::runtime
