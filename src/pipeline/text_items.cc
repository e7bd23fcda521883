// SPDX-License-Identifier: Apache-2.0
#include "pipeline/text_items.h"

#include <filesystem>
#include <utility>

#include "base/error.h"
#include "io/atomic_file.h"

namespace forge::pipeline {
namespace {

constexpr std::size_t kPiece = 1600, kPrompt = 400;
constexpr char kSpace[] = " \t\n\r";

/// The first place from `at` on where white space begins; the end if there is none.
std::size_t NextSpace(const std::string& text, std::size_t at) {
  return at >= text.size() ? text.size() : std::min(text.find_first_of(kSpace, at), text.size());
}

}  // namespace

bool IsTextFile(const std::string& spec) { return spec.ends_with(".txt"); }

std::optional<eval::Item> NextPiece(const std::string& text, std::size_t& start, bool is_whole) {
  while (start < text.size()) {
    const std::size_t middle = NextSpace(text, start + kPrompt), end = NextSpace(text, start + kPiece);
    if (end == text.size() && !is_whole) return std::nullopt;
    const std::size_t first = std::exchange(start, end + 1);
    if (middle < end)
      return eval::Item{text.substr(first, middle - first), text.substr(middle, end - middle)};
  }
  return std::nullopt;
}

std::vector<NamedItem> ReadTextItems(const std::string& path) {
  const std::string text = io::ReadFile(path), domain = std::filesystem::path(path).stem().string();
  std::vector<NamedItem> items;
  std::size_t start = 0;
  while (std::optional<eval::Item> item = NextPiece(text, start, /*is_whole=*/true))
    items.push_back({domain, *std::move(item)});
  if (items.empty())
    throw Error({.what = "cannot use the text " + path,
                 .why = "it has no piece of 400 bytes with something behind it",
                 .fix = "give a longer text"});
  return items;
}

}  // namespace forge::pipeline
