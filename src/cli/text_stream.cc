// SPDX-License-Identifier: Apache-2.0
#include "cli/text_stream.h"

#include <algorithm>

namespace forge::cli {
namespace {

constexpr char kReplacement[] = "\xEF\xBF\xBD";

struct Character {
  std::size_t length;      // of a valid character, or of the bytes to replace
  bool valid, incomplete;  // incomplete: more bytes could make it valid
};

/// The next character, by the table of well-formed sequences (Unicode 15, table 3-7).
Character Next(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return {1, true, false};
  const std::size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                             : lead >= 0xE0 && lead <= 0xEF ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
  if (length == 0) return {1, false, false};
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= bytes.size()) return {i, false, true};
    const unsigned char low = i != 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = i != 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (at(i) < low || at(i) > high) return {i, false, false};
  }
  return {length, true, false};
}

}  // namespace

std::string CleanUtf8(std::string_view bytes, std::size_t& cut) {
  std::string text;
  cut = 0;
  while (!bytes.empty()) {
    const Character next = Next(bytes);
    if (next.incomplete) {
      cut = bytes.size();
      break;
    }
    text += next.valid ? bytes.substr(0, next.length) : kReplacement;
    bytes.remove_prefix(next.length);
  }
  return text;
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
