// SPDX-License-Identifier: Apache-2.0
#include "runtime/packed_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "io/json_file.h"
#include "model/model_folder.h"

namespace forge::runtime {
namespace {

namespace fs = std::filesystem;

/// Calls vector(name, values, size) and matrix(name, linear, out, in) with every part of the weights, in the
/// order of the file. The last part is a vector, so that no kernel works at the end of the mapping.
template <class Weights, class OnVector, class OnMatrix>
void VisitParts(Weights& weights, OnVector&& vector, OnMatrix&& matrix) {
  const model::ModelConfig& c = weights.config;
  const auto number = [](std::int64_t value) { return static_cast<std::size_t>(value); };
  const std::size_t hidden = number(c.hidden_size), queries = number(c.query_size()),
                    heads = queries + 2 * number(c.num_key_value_heads) * number(c.head_dim),
                    inner = number(c.intermediate_size);
  matrix("embedding", weights.embedding, number(c.vocab_size), hidden);
  if (!c.tie_word_embeddings) matrix("head", weights.head, number(c.vocab_size), hidden);
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    auto& layer = weights.layers[i];
    const std::string prefix = fmt::format("layers.{}.", i);
    vector(prefix + "input_norm", layer.input_norm, hidden);
    matrix(prefix + "query_key_value", layer.query_key_value, heads, hidden);
    if (c.attention_bias) vector(prefix + "query_key_value_bias", layer.query_key_value_bias, heads);
    if (c.qk_norm) vector(prefix + "query_norm", layer.query_norm, number(c.head_dim));
    if (c.qk_norm) vector(prefix + "key_norm", layer.key_norm, number(c.head_dim));
    matrix(prefix + "attention_output", layer.attention_output, hidden, queries);
    vector(prefix + "post_attention_norm", layer.post_attention_norm, hidden);
    matrix(prefix + "gate_up", layer.gate_up, 2 * inner, hidden);
    matrix(prefix + "down", layer.down, hidden, inner);
  }
  vector("final_norm", weights.final_norm, hidden);
}

struct FormOfCodes {
  PackedFormat format;
  CodeLayout layout;
  std::size_t planes;
  bool is_rotated = false;
};
constexpr FormOfCodes kForms[] = {{PackedFormat::kTwoBit, CodeLayout::kTwoBit, 1},
                                  {PackedFormat::kBase3, CodeLayout::kBase3, 1},
                                  {PackedFormat::kInt4, CodeLayout::kInt4, 1},
                                  {PackedFormat::kInt8, CodeLayout::kInt8, 1},
                                  {PackedFormat::kTwoBitPlanes, CodeLayout::kTwoBit, 2},
                                  {PackedFormat::kBase3Planes, CodeLayout::kBase3, 2},
                                  {PackedFormat::kInt8Halves, CodeLayout::kHalves, 1},
                                  {PackedFormat::kInt8Rotated, CodeLayout::kHalves, 1, true},
                                  {PackedFormat::kBase27, CodeLayout::kBase27, 1}};

/// Nothing for a matrix that the file has no form for.
std::optional<PackedFormat> FormatOf(const CodeMatrix* codes) {
  if (codes == nullptr) return std::nullopt;
  const CodeShape shape = codes->shape();
  for (const auto& [format, layout, planes, is_rotated] : kForms)
    if (layout == shape.layout && planes == shape.planes && is_rotated == shape.is_rotated) return format;
  return std::nullopt;
}

std::vector<io::Section> SectionsOf(const PackedWeights& weights) {
  std::vector<io::Section> sections;
  std::vector<std::string> others;
  VisitParts(
      weights,
      [&](const std::string& name, const std::vector<float>& values, std::size_t size) {
        FORGE_CHECK(values.size() == size);
        sections.push_back({.name = name,
                            .format = static_cast<std::uint32_t>(PackedFormat::kFloats),
                            .rows = 1,
                            .columns = size,
                            .bytes = std::as_bytes(std::span(values))});
      },
      [&](const std::string& name, const Linear& linear, std::size_t out, std::size_t in) {
        FORGE_CHECK(linear.out() == out && linear.in() == in);
        const CodeMatrix* codes = linear.codes();
        const std::optional<PackedFormat> format = FormatOf(codes);
        if (!format) return others.push_back(name);
        const CodeShape shape = codes->shape();
        sections.push_back({.name = name,
                            .format = static_cast<std::uint32_t>(*format),
                            .rows = out,
                            .columns = in,
                            .block = shape.block,
                            .group = shape.group,
                            .bytes = codes->data()});
      });
  if (others.empty()) return sections;
  const std::size_t more = others.size() > 4 ? others.size() - 4 : 0;
  others.resize(others.size() - more);
  throw Error(
      {.kind = ErrorKind::kInput,
       .what = "cannot pack this model",
       .why =
           fmt::format("{}{}: no ternary, Q8_0 or Q4_0 weights, which a packed file holds (not K-quants or "
                       "float types)",
                       fmt::join(others, ", "), more > 0 ? fmt::format(" and {} more", more) : ""),
       .fix = "round them: --embeddings q8_0 or q4_0 for embedding and head, --linears q8_0 or q4_0 for "
              "the rest"});
}

/// Reads the parts of a packed file.
class Opener {
 public:
  explicit Opener(std::shared_ptr<const io::SectionFile> file) : file_(std::move(file)) {}

  PackedWeights Open() {
    PackedWeights weights{.config = Config(), .activations = Activations::kInt8};
    const auto layers = static_cast<std::size_t>(weights.config.num_hidden_layers);
    if (layers > file_->sections().size())
      Refuse(fmt::format("its config has {} layers, the file {} sections", layers, file_->sections().size()));
    weights.layers.resize(layers);
    std::size_t parts = 0;
    VisitParts(
        weights,
        [&](const std::string& name, std::vector<float>& values, std::size_t size) {
          values = Floats(Find(name), size);
          ++parts;
        },
        [&](const std::string& name, Linear& linear, std::size_t out, std::size_t in) {
          linear = Matrix(Find(name), out, in);
          ++parts;
        });
    if (parts != file_->sections().size())
      Refuse(fmt::format("it has {} sections, a model of its config {}", file_->sections().size(), parts));
    return weights;
  }

 private:
  [[noreturn]] void Refuse(const std::string& why) const {
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use the model of " + file_->path().string(),
                 .why = why,
                 .fix = "make the file again with forge pack"});
  }

  model::ModelConfig Config() const {
    const std::string* text = io::FindText(file_->metadata(), kPackedConfigKey);
    if (text == nullptr) Refuse(fmt::format("its metadata has no text {}", kPackedConfigKey));
    const std::string source = fmt::format("{} ({})", file_->path().string(), kPackedConfigKey);
    model::ModelConfig config = model::ParseModelConfig(io::ParseJson(*text, source), source);
    model::CheckEngineComputes(config, {.rope_scaling = true, .qk_norm = true}, "the native runtime");
    return config;
  }

  const io::Section& Find(const std::string& name) const {
    const io::Section* section = file_->Find(name);
    if (section == nullptr) Refuse(fmt::format("section {} is missing", name));
    return *section;
  }

  void CheckSize(const io::Section& section, std::size_t rows, std::size_t columns) const {
    if (section.rows != rows || section.columns != columns)
      file_->Fail(file_->OffsetOf(section),
                  fmt::format("section {} has {} rows of {}, by the config {} of {}", section.name,
                              section.rows, section.columns, rows, columns));
  }

  std::vector<float> Floats(const io::Section& section, std::size_t size) const {
    CheckSize(section, 1, size);
    if (section.format != static_cast<std::uint32_t>(PackedFormat::kFloats) ||
        section.bytes.size() != size * sizeof(float) || section.block != 0 || section.group != 0)
      file_->Fail(file_->OffsetOf(section),
                  fmt::format("section {} is not {} numbers of float32", section.name, size));
    file_->Verify(section);
    std::vector<float> values(size);
    std::memcpy(values.data(), section.bytes.data(), section.bytes.size());
    for (const float value : values)
      if (!std::isfinite(value))
        file_->Fail(file_->OffsetOf(section), fmt::format("section {} holds {}", section.name, value));
    return values;
  }

  CodeMatrix Matrix(const io::Section& section, std::size_t out, std::size_t in) const {
    CheckSize(section, out, in);
    for (const auto& [format, layout, planes, is_rotated] : kForms) {
      if (section.format != static_cast<std::uint32_t>(format)) continue;
      const CodeShape shape{layout, out, in, section.block, section.group, planes, is_rotated};
      const bool is_of_layer = section.name.starts_with("layers.");
      if (planes == 2 && !is_of_layer)  // rows of an embedding are read by themselves
        file_->Fail(file_->OffsetOf(section), fmt::format("section {} has two planes", section.name));
      if (is_rotated && is_of_layer)  // the inputs of linears are not rotated
        file_->Fail(file_->OffsetOf(section), fmt::format("section {} is rotated", section.name));
      if (!CodeMatrix::CanHold(shape))
        file_->Fail(file_->OffsetOf(section),
                    fmt::format("section {}: {} codes have no blocks of {} in groups of {} with {} inputs",
                                section.name, Name(format), section.block, section.group, in));
      if (const std::size_t bytes = CodeMatrix::BytesOf(shape); bytes != section.bytes.size())
        file_->Fail(file_->OffsetOf(section), fmt::format("section {} has {} bytes, its codes take {}",
                                                          section.name, section.bytes.size(), bytes));
      return CodeMatrix::View(shape, std::shared_ptr<const std::byte>(file_, section.bytes.data()));
    }
    file_->Fail(file_->OffsetOf(section),
                fmt::format("section {} has the format {}, which this forge does not know", section.name,
                            section.format));
  }

  std::shared_ptr<const io::SectionFile> file_;
};

/// Throws unless the file holds the sections to the byte, and weights can be used.
void CheckWritten(const fs::path& path, const model::ModelConfig& config,
                  std::span<const io::Section> sections) {
  const auto file = std::make_shared<const io::SectionFile>(path);
  file->VerifyAll();
  FORGE_CHECK(OpenPackedFile(file).config == config && file->sections().size() == sections.size());
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const io::Section& written = file->sections()[i];
    if (std::memcmp(written.bytes.data(), sections[i].bytes.data(), sections[i].bytes.size()) != 0)
      throw Error({.kind = ErrorKind::kEnvironment,
                   .what = "the file " + path.string() + " is not what was written",
                   .why = fmt::format("section {}, at offset {}, has other bytes when it is read again",
                                      written.name, file->OffsetOf(written)),
                   .fix = "check the disk, and pack again"});
  }
}

}  // namespace

const char* Name(PackedFormat format) {
  switch (format) {
    case PackedFormat::kFloats:
      return "F32";
    case PackedFormat::kTwoBit:
      return "two-bit";
    case PackedFormat::kBase3:
      return "base-3";
    case PackedFormat::kInt4:
      return "int4";
    case PackedFormat::kInt8:
      return "int8";
    case PackedFormat::kTwoBitPlanes:
      return "two-bit, two planes";
    case PackedFormat::kBase3Planes:
      return "base-3, two planes";
    case PackedFormat::kInt8Halves:
      return "int8 in halves";
    case PackedFormat::kInt8Rotated:
      return "int8 in halves, rotated";
    case PackedFormat::kBase27:
      return "base-27";
  }
  return "unknown";
}

void SavePackedFile(const fs::path& path, const PackedWeights& weights, const io::GgufMetadata& tokenizer,
                    const std::string& model_name) {
  const std::vector<io::Section> sections = SectionsOf(weights);
  io::GgufMetadata metadata = tokenizer;
  metadata["general.name"] = model_name;
  metadata[kPackedConfigKey] = model::ToConfigJson(weights.config, io::FloatType::kF32).dump();
  io::WriteSectionFile(path, metadata, sections);
  CheckWritten(path, weights.config, sections);
}

PackedWeights OpenPackedFile(const std::shared_ptr<const io::SectionFile>& file) {
  return Opener(file).Open();
}

}  // namespace forge::runtime
