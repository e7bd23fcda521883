// SPDX-License-Identifier: Apache-2.0
#include "model/random_ternary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "base/error.h"
#include "base/float16.h"
#include "base/philox.h"
#include "base/thread_pool.h"

namespace forge::model {
namespace {

struct Shape {
  const char* name;
  ModelConfig config;
};

std::vector<Shape> Shapes() {
  const auto shape = [](const char* name, const char* model_type, int hidden, int intermediate, int layers,
                        int heads, int key_value_heads, int vocabulary, double rope_theta) {
    ModelConfig config{.model_type = model_type,
                       .vocab_size = vocabulary,
                       .hidden_size = hidden,
                       .intermediate_size = intermediate,
                       .num_hidden_layers = layers,
                       .num_attention_heads = heads,
                       .num_key_value_heads = key_value_heads,
                       .head_dim = hidden / heads,
                       .max_position_embeddings = 8192,
                       .rope_theta = rope_theta,
                       .attention_bias = std::string(model_type) == "qwen2",
                       .tie_word_embeddings = true,
                       .eos_token_ids = {}};
    config.eos_token_ids = {vocabulary - 1};
    return Shape{name, config};
  };
  return {shape("qwen2.5-1.5b", "qwen2", 1536, 8960, 28, 12, 2, 151936, 1e6),
          shape("bitnet-2b4t", "llama", 2560, 6912, 30, 20, 5, 128256, 5e5),
          shape("smollm2-135m", "llama", 576, 1536, 30, 9, 3, 49152, 1e5)};
}

class RandomTernary : public WeightSource {
 public:
  RandomTernary(ModelConfig config, std::uint64_t seed) : WeightSource(std::move(config)), seed_(seed) {}

  std::string Name() const override { return "a random model"; }
  std::string StoredType(const TensorSpec& spec) const override { return IsLinear(spec) ? "TQ2_0" : "F32"; }
  int TernaryGroup(const TensorSpec& spec) const override {
    return !IsLinear(spec) ? 0 : Columns(spec) % 256 == 0 ? 256 : 64;
  }

 private:
  void ReadStoredRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const override {
    if (IsVector(spec)) {
      std::fill(out.begin(), out.end(), spec.role == TensorRole::kNorm ? 1.0f : 0.0f);
      return;
    }
    const std::size_t columns = Columns(spec);
    ParallelFor(out.size() / columns, 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t row = begin; row < end; ++row)
        FillRow(spec, static_cast<std::uint64_t>(first_row) + row, out.subspan(row * columns, columns));
    });
  }

  void FillRow(const TensorSpec& spec, std::uint64_t row, std::span<float> values) const {
    Random random(seed_, "random/" + spec.name, row);
    if (IsLinear(spec)) return Ternary(random, values, static_cast<std::size_t>(TernaryGroup(spec)));
    for (float& value : values)  // nearly normal: the sum of four uniform bytes
      value = 0.0002f * static_cast<float>(SumOfBytes(random.NextUint32()) - 510);
  }

  static int SumOfBytes(std::uint32_t word) {
    return static_cast<int>((word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24));
  }

  /// A mean square of 2/3 scale^2 a weight, over `values.size()` inputs of mean square 1.
  static void Ternary(Random& random, std::span<float> values, std::size_t group) {
    const double typical = std::sqrt(1.5 / static_cast<double>(values.size()));
    std::uint32_t digits = 0;
    int left = 0;
    float scale = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i % group == 0) scale = RoundToHalf(static_cast<float>(typical * (0.75 + 0.5 * random.Uniform())));
      if (left-- == 0) {
        digits = random.NextUint32();
        left =
            15;  // of the 20 digits of 32 bits: the rest has 3^4 left, and the first are as good as uniform
      }
      values[i] = scale * (static_cast<float>(digits % 3) - 1.0f);
      digits /= 3;
    }
  }

  std::uint64_t seed_;
};

}  // namespace

std::vector<std::string> RandomShapes() {
  std::vector<std::string> names;
  for (const Shape& shape : Shapes()) names.emplace_back(shape.name);
  return names;
}

std::unique_ptr<WeightSource> RandomTernaryWeights(const std::string& name, std::uint64_t seed) {
  for (const Shape& shape : Shapes())
    if (name == shape.name) return std::make_unique<RandomTernary>(shape.config, seed);
  throw Error({.kind = ErrorKind::kUsage,
               .what = "there is no random model of the shape " + name,
               .why = fmt::format("the shapes are {}", fmt::join(RandomShapes(), ", ")),
               .fix = "give one of them"});
}

}  // namespace forge::model
