// SPDX-License-Identifier: Apache-2.0
#include "runtime/pack_words.h"

#include <algorithm>

#include "base/check.h"
#include "runtime/packed_weights.h"

namespace forge::runtime {
namespace {

bool Holds(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

const std::vector<std::string>& CodeWords() {
  static const std::vector<std::string> words = {"two-bit", "base-3", "base-27"};
  return words;
}

const std::vector<std::string>& EmbeddingWords() {
  static const std::vector<std::string> words = {"auto", "q8_0", "q8_rotated", "q4_0"};
  return words;
}

PackOptions OptionsFromWords(const std::string& codes, const std::string& embeddings) {
  FORGE_CHECK(Holds(CodeWords(), codes) && Holds(EmbeddingWords(), embeddings));
  PackOptions options{.linears = {}, .embeddings = {}, .activations = Activations::kInt8};
  options.ternary = codes == "base-3"    ? CodeLayout::kBase3
                    : codes == "base-27" ? CodeLayout::kBase27
                                         : CodeLayout::kTwoBit;
  if (embeddings == "q4_0") options.embeddings = WeightType::kInt4;
  if (embeddings == "q8_0" || embeddings == "q8_rotated") options.embeddings = WeightType::kInt8;
  options.rotates_head = embeddings == "q8_rotated";
  return options;
}

}  // namespace forge::runtime
