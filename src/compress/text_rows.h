// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace forge::compress {

/// Rows of all calibration texts, a token each, one text after another: first those to fit, then those held
/// out.
class TextRows {
 public:
  TextRows(std::span<const std::vector<int>> fitted, std::span<const std::vector<int>> held_out) {
    for (const auto texts : {fitted, held_out})
      for (const std::vector<int>& text : texts) {
        starts_.push_back(tokens_);
        lengths_.push_back(text.size());
        tokens_ += text.size();
        longest_ = std::max(longest_, text.size());
      }
    fitted_ = fitted.size();
  }
  std::size_t texts() const { return lengths_.size(); }
  std::size_t fitted() const { return fitted_; }
  std::size_t tokens() const { return tokens_; }
  std::size_t longest() const { return longest_; }
  std::size_t start(std::size_t text) const { return starts_[text]; }
  std::size_t length(std::size_t text) const { return lengths_[text]; }
  bool IsHeldOut(std::size_t text) const { return text >= fitted_; }
  /// The rows of a text in rows [tokens, width] of all.
  float* At(std::vector<float>& rows, std::size_t text, std::size_t width) const {
    return rows.data() + starts_[text] * width;
  }
  const float* At(const std::vector<float>& rows, std::size_t text, std::size_t width) const {
    return rows.data() + starts_[text] * width;
  }

 private:
  std::vector<std::size_t> starts_, lengths_;
  std::size_t tokens_ = 0, longest_ = 0, fitted_ = 0;
};

}  // namespace forge::compress
