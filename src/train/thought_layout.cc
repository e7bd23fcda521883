// SPDX-License-Identifier: Apache-2.0
#include "train/thought_layout.h"

namespace forge::train {

std::vector<int> ThoughtLayout::Positions() const {
  std::vector<int> positions;
  for (int i = 0; i < text_length; ++i) positions.push_back(i);
  for (int pass = 1; pass <= passes; ++pass)
    for (const int anchor : anchors) positions.push_back(anchor + pass);
  return positions;
}

std::vector<bool> ThoughtLayout::Visible() const {
  const auto width = static_cast<std::size_t>(size());
  std::vector<bool> visible(width * width);
  const auto show = [&](int query, int key) {
    visible[static_cast<std::size_t>(query) * width + static_cast<std::size_t>(key)] = true;
  };
  for (int query = 0; query < text_length; ++query)
    for (int key = 0; key <= query; ++key) show(query, key);
  for (int column = 0; column < columns(); ++column)
    for (int pass = 1; pass <= passes; ++pass) {
      for (int key = 0; key <= anchors[static_cast<std::size_t>(column)]; ++key)
        show(Index(pass, column), key);
      for (int earlier = 1; earlier <= pass; ++earlier) show(Index(pass, column), Index(earlier, column));
    }
  return visible;
}

}  // namespace forge::train
