// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/testing_models.h"
#include "model/weight_source.h"

/// For tests only: models of which a plan needs the shape but not the weights.
namespace forge::merge::testing {

/// A model whose weights are all 0.
class EmptySource : public model::WeightSource {
 public:
  EmptySource(const model::ModelConfig& config, std::string type)
      : WeightSource(config), type_(std::move(type)) {}
  std::string Name() const override { return "empty"; }
  std::string StoredType(const model::TensorSpec&) const override { return type_; }

 private:
  void ReadStoredRows(const model::TensorSpec&, std::int64_t, std::span<float> out) const override {
    std::fill(out.begin(), out.end(), 0.0f);
  }
  std::string type_;
};

/// A model of four layers that has an own head.
inline model::ModelConfig FourLayers() {
  model::ModelConfig config = model::testing::TinyConfig("llama");
  config.num_hidden_layers = 4;
  config.tie_word_embeddings = false;
  return config;
}

/// What the call throws, as the user sees it; "no error" if nothing.
template <class Call>
std::string ErrorOf(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace forge::merge::testing
