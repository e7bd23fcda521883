// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "io/json_file.h"
#include "text/jinja/template.h"

namespace forge::eval {

/// A value that a task file takes from a document, by lm-evaluation-harness' rules: the name of a field of
/// the document, or a Jinja template (no trimming, undefined names refused, the filter regex_replace), or a
/// number or list that is taken as it is.
class DocTemplate {
 public:
  DocTemplate() = default;
  /// `place` is for messages: "doc_to_text of arc_easy". Throws Error(kInput) for a template that cannot be
  /// used.
  DocTemplate(const io::Json& spec, std::string place);

  bool is_set() const { return !spec_.is_null(); }
  /// The field, the rendered text, or the constant. Throws Error(kInput).
  io::OrderedJson Value(const io::OrderedJson& document) const;
  /// The same, where rendered text that is a Python list or dict becomes one.
  io::OrderedJson StructuredValue(const io::OrderedJson& document) const;
  /// The value as text; numbers are printed.
  std::string Text(const io::OrderedJson& document) const;
  const std::string& place() const { return place_; }

 private:
  io::Json spec_;
  std::string place_;
  std::shared_ptr<const text::jinja::Template> template_;
};

}  // namespace forge::eval
