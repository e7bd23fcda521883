// SPDX-License-Identifier: Apache-2.0
#include "eval/doc_template.h"

#include <map>
#include <mutex>

#include "base/error.h"
#include "eval/pattern.h"
#include "eval/python_literal.h"

namespace forge::eval {
namespace {

using text::jinja::Arguments;
using text::jinja::Value;

/// regex_replace(text, pattern, replacement, count=0), the one filter that the harness adds to Jinja.
Value RegexReplace(const Arguments& arguments) {
  std::string texts[3];
  for (std::size_t i = 0; i < 3; ++i)
    if (i < arguments.positional.size()) texts[i] = arguments.positional[i].Text();
  int most = 0;
  if (arguments.positional.size() > 3) most = static_cast<int>(arguments.positional[3].integer());
  for (const auto& [name, value] : arguments.named) {
    if (name == "pattern") texts[1] = value.Text();
    if (name == "repl") texts[2] = value.Text();
    if (name == "count") most = static_cast<int>(value.integer());
  }
  static std::mutex mutex;
  static std::map<std::string, Pattern> compiled;  // a template applies the same one to every document
  const std::lock_guard lock(mutex);
  const auto found = compiled.try_emplace(texts[1], texts[1], "the filter regex_replace").first;
  return found->second.Replace(texts[0], texts[2], most);
}

text::jinja::Dialect HarnessDialect(const std::string& place) {
  return {.what = place,
          .fix = "correct the template in the task file",
          .use = "compare the template with the fields of the document",
          .trims_blocks = false,
          .keeps_last_newline = true,
          .is_strict = true,
          .filters = {{"regex_replace", RegexReplace}}};
}

}  // namespace

DocTemplate::DocTemplate(const io::Json& spec, std::string place) : spec_(spec), place_(std::move(place)) {
  if (spec_.is_string())
    template_ = std::make_shared<text::jinja::Template>(spec_.get<std::string>(), HarnessDialect(place_));
}

io::OrderedJson DocTemplate::Value(const io::OrderedJson& document) const {
  if (!spec_.is_string()) return io::OrderedJson::parse(spec_.dump());
  if (const auto field = document.find(spec_.get<std::string>()); field != document.end()) return *field;
  return template_->Render(document);
}

io::OrderedJson DocTemplate::StructuredValue(const io::OrderedJson& document) const {
  io::OrderedJson value = Value(document);
  if (!value.is_string()) return value;
  const std::string& text = value.get_ref<const std::string&>();
  if (text.empty() || (text[0] != '[' && text[0] != '{')) return value;
  return ParsePythonLiteral(text).value_or(value);
}

std::string DocTemplate::Text(const io::OrderedJson& document) const {
  const io::OrderedJson value = Value(document);
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return text::jinja::Value::FromJson(value).Text();
  throw Error({.what = "cannot use " + place_ + " of a document",
               .why = "its value is " +
                      value.dump(-1, ' ', false, io::OrderedJson::error_handler_t::replace).substr(0, 100) +
                      ", which is no text",
               .fix = "name a text field, or write a template that gives a text"});
}

}  // namespace forge::eval
