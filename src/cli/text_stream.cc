// SPDX-License-Identifier: Apache-2.0
#include "cli/text_stream.h"

#include <algorithm>

#include "text/utf8.h"

namespace forge::cli {
namespace {

constexpr char kReplacement[] = "\xEF\xBF\xBD";

}  // namespace

std::string CleanUtf8(std::string_view bytes, std::size_t& cut) {
  std::string clean;
  cut = 0;
  while (!bytes.empty()) {
    const text::Utf8Character next = text::DecodeUtf8(bytes);
    if (next.incomplete) {
      cut = bytes.size();
      break;
    }
    clean += next.valid ? bytes.substr(0, next.length) : kReplacement;
    bytes.remove_prefix(next.length);
  }
  return clean;
}

std::string TextStream::Add(std::string_view bytes) {
  if (stopped_) return "";
  held_ += bytes;
  std::size_t ready = held_.size();
  if (!stop_.empty()) {
    const std::size_t found = held_.find(stop_);
    if (found != std::string::npos) {
      stopped_ = true;
      held_.resize(found);
      return Finish();
    }
    for (std::size_t length = std::min(stop_.size() - 1, held_.size()); length > 0;
         --length)  // a start of it at the end
      if (std::string_view(held_).substr(held_.size() - length) ==
          std::string_view(stop_).substr(0, length)) {
        ready = held_.size() - length;
        break;
      }
  }
  std::size_t cut = 0;
  std::string text = CleanUtf8(std::string_view(held_).substr(0, ready), cut);
  held_.erase(0, ready - cut);
  return text;
}

std::string TextStream::Finish() {
  std::size_t cut = 0;
  std::string text = CleanUtf8(held_, cut);
  if (cut > 0) text += kReplacement;
  held_.clear();
  return text;
}

}  // namespace forge::cli
