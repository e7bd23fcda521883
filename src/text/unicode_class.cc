// SPDX-License-Identifier: Apache-2.0
#include "text/unicode_class.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace forge::text {
namespace {

struct Range {
  char32_t first, last;
  CharacterClass character_class;
};

constexpr Range kRanges[] = {
#include "text/unicode_ranges.inc"
};

}  // namespace

UnicodeClasses::UnicodeClasses() {
  static_assert(static_cast<int>(CharacterClass::kOther) == 0);
  auto* table = static_cast<std::uint8_t*>(std::calloc(0x110000, 1));  // pages of kOther cost no memory
  if (table == nullptr) throw std::bad_alloc();
  for (const Range& range : kRanges)
    std::fill(table + range.first, table + range.last + 1, static_cast<std::uint8_t>(range.character_class));
  table_ = table;
}

const UnicodeClasses& UnicodeClasses::Get() {
  static const UnicodeClasses* const classes = new UnicodeClasses();  // lives as long as the program
  return *classes;
}

bool IsWordCharacter(char32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return code == 0x200c || code == 0x200d || (code >= 0x24b6 && code <= 0x24e9) ||
             (code >= 0x1f130 && code <= 0x1f149) || (code >= 0x1f150 && code <= 0x1f169) ||
             (code >= 0x1f170 && code <= 0x1f189);
  }
}

}  // namespace forge::text
