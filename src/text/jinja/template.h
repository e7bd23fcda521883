// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "io/json_file.h"
#include "text/jinja/dialect.h"

namespace forge::text::jinja {

/// A template: the part of Jinja (3.1) that chat templates use, by default rendered as transformers renders
/// it (trim_blocks, lstrip_blocks, loop controls, {% generation %}, tojson without ASCII escapes,
/// raise_exception, strftime_now). Python's rules for truth, printing, indexing and arithmetic hold.
///
/// There: if, for (with if and else), set (also of a namespace, and of a block), macro, break, continue; the
/// operators; slices; the filters and tests of filters.cc; the methods of strings.cc; range, namespace, dict.
/// Not there, and refused by name with the line: call, filter, import, include, extends, recursive loops,
/// `*args`.
class Template {
 public:
  /// Throws Error(kInput) with line and construct for a template that cannot be used.
  explicit Template(std::string_view source, Dialect dialect = {});
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

  /// The text for these variables (messages, tools, add_generation_prompt, bos_token, ...). Throws
  /// Error(kInput) with the line: for raise_exception with its message, for what the template does with
  /// values that it cannot do, and past a million loop turns or 64 MiB of text.
  std::string Render(const io::OrderedJson& variables) const;

  /// What strftime_now prints with; the local time unless a test sets another.
  void SetClock(std::function<std::string(const std::string& format)> clock);

 private:
  struct Parsed;
  std::unique_ptr<Parsed> parsed_;
};

}  // namespace forge::text::jinja
