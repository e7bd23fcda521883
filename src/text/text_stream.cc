// SPDX-License-Identifier: Apache-2.0
#include "text/text_stream.h"

#include <algorithm>

#include "text/utf8.h"

namespace forge::text {
namespace {

constexpr char kReplacement[] = "\xEF\xBF\xBD";

/// Where the stop text begins that is complete first in `text`; npos if none is.
std::size_t FindStop(std::string_view text, const std::vector<std::string>& stops) {
  std::size_t first_end = std::string_view::npos, start = std::string_view::npos;
  for (const std::string& stop : stops) {
    const std::size_t found = text.find(stop);
    if (found == std::string_view::npos) continue;
    const std::size_t end = found + stop.size();
    if (end < first_end || (end == first_end && found < start)) {
      first_end = end;
      start = found;
    }
  }
  return start;
}

/// Length of the end of `text` that may be the start of a stop text.
std::size_t OpenStop(std::string_view text, const std::vector<std::string>& stops) {
  std::size_t open = 0;
  for (const std::string& stop : stops)
    for (std::size_t length = std::min(stop.size() - 1, text.size()); length > open; --length)
      if (text.substr(text.size() - length) == std::string_view(stop).substr(0, length)) open = length;
  return open;
}

}  // namespace

std::string CleanUtf8(std::string_view bytes, std::size_t& cut) {
  std::string clean;
  cut = 0;
  while (!bytes.empty()) {
    const Utf8Character next = DecodeUtf8(bytes);
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
  if (const std::size_t found = FindStop(held_, stops_); found != std::string::npos) {
    stopped_ = true;
    held_.resize(found);
    return Finish();
  }
  const std::size_t ready = held_.size() - OpenStop(held_, stops_);
  std::size_t cut = 0;
  std::string text = CleanUtf8(std::string_view(held_).substr(0, ready), cut);
  shown_bytes_ += ready - cut;
  held_.erase(0, ready - cut);
  return text;
}

std::string TextStream::Finish() {
  std::size_t cut = 0;
  std::string text = CleanUtf8(held_, cut);
  if (cut > 0) text += kReplacement;
  shown_bytes_ += held_.size();
  held_.clear();
  return text;
}

}  // namespace forge::text
