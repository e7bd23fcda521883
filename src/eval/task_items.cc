// SPDX-License-Identifier: Apache-2.0
#include "eval/task_items.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/philox.h"
#include "io/sha256.h"

namespace forge::eval {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Both texts, with the delimiter between them unless one of them brings white space.
std::string Delimited(const std::string& first, const std::string& second, const std::string& delimiter) {
  if (first.empty() || second.empty()) return first + second;
  return IsSpace(first.back()) || IsSpace(second.front()) ? first + second : first + delimiter + second;
}

std::optional<std::int64_t> WholeNumber(const io::OrderedJson& value) {
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  if (!value.is_string()) return std::nullopt;
  const std::string& text = value.get_ref<const std::string&>();
  std::int64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string TextOf(const io::OrderedJson& value) {
  return value.is_string() ? value.get<std::string>() : text::jinja::Value::FromJson(value).Text();
}

/// Builds items of one task; `place` of an error is the document.
class Builder {
 public:
  Builder(const TaskFile& task, const TaskData& data) : task_(task), data_(data) {}

  TaskItem Build(std::size_t index, const std::vector<const io::OrderedJson*>& examples) const {
    const io::OrderedJson& document = data_.documents[index];
    try {
      TaskItem item{.index = index, .context = Description(), .choices = {}, .targets = {}};
      for (const io::OrderedJson* example : examples) item.context += Example(*example);
      const std::string question = Question(document);
      item.context += question;
      if (!task_.gen_prefix.empty())
        item.context = Delimited(item.context, task_.gen_prefix, task_.target_delimiter);
      item.delimiter = task_.target_delimiter;
      FillAnswer(document, item);
      return item;
    } catch (const Error& error) {
      throw Error({.what = fmt::format("cannot use document {} of {}", index + 1, data_.path.string()),
                   .why = error.fields().what + ": " + error.fields().why,
                   .fix = error.fields().fix});
    }
  }

 private:
  std::string Description() const {
    return task_.description.empty() ? "" : task_.description + task_.fewshot_delimiter;
  }

  std::string Question(const io::OrderedJson& document) const {
    return task_.doc_to_text.is_set() ? task_.doc_to_text.Text(document) : "";
  }

  std::vector<std::string> Choices(const io::OrderedJson& document) const {
    io::OrderedJson value = task_.doc_to_choice.StructuredValue(document);
    if (!value.is_array() && !value.is_object())
      throw Error({.what = task_.doc_to_choice.place(),
                   .why = "it gives no list but " + TextOf(value).substr(0, 100),
                   .fix = "name a field that is a list, or write a template that prints one"});
    std::vector<std::string> choices;
    for (const io::OrderedJson& choice : value) choices.push_back(TextOf(choice));
    if (choices.empty() || std::find(choices.begin(), choices.end(), "") != choices.end())
      throw Error({.what = task_.doc_to_choice.place(),
                   .why = "a choice is empty, or there is none",
                   .fix = "check the data"});
    return choices;
  }

  static int GoldOf(const io::OrderedJson& target, const std::vector<std::string>& choices) {
    if (const auto number = WholeNumber(target))
      return *number >= 0 && *number < static_cast<std::int64_t>(choices.size()) ? static_cast<int>(*number)
                                                                                 : -1;
    const auto found = std::find(choices.begin(), choices.end(), TextOf(target));
    return found == choices.end() ? -1 : static_cast<int>(found - choices.begin());
  }

  void FillAnswer(const io::OrderedJson& document, TaskItem& item) const {
    const io::OrderedJson target = task_.doc_to_target.StructuredValue(document);
    const bool is_list =
        target.is_array() && std::all_of(target.begin(), target.end(), [](const auto& entry) {
          return entry.is_string();  // "[1, 2]" may be an interval: a text
        });
    if (task_.output_type == OutputType::kMultipleChoice) {
      item.choices = Choices(document);
      item.gold = GoldOf(target, item.choices);
      if (item.gold >= 0) item.targets = {item.choices[static_cast<std::size_t>(item.gold)]};
    } else if (is_list) {
      for (const io::OrderedJson& entry : target) item.targets.push_back(TextOf(entry));
    } else {
      item.targets = {task_.doc_to_target.Text(document)};
    }
    if (item.targets.empty() && task_.output_type != OutputType::kMultipleChoice)
      throw Error(
          {.what = task_.doc_to_target.place(), .why = "it gives no answer", .fix = "check the data"});
  }

  std::string Example(const io::OrderedJson& document) const {
    TaskItem answer{.choices = {}, .targets = {}};
    FillAnswer(document, answer);
    if (answer.targets.empty())
      throw Error({.what = "an example of " + task_.name,
                   .why = "its answer is none of its choices",
                   .fix = "check the data"});
    const std::string text =
        task_.gen_prefix.empty() ? answer.targets[0] : Delimited(task_.gen_prefix, answer.targets[0], " ");
    return Question(document) + task_.target_delimiter + text + task_.fewshot_delimiter;
  }

  const TaskFile& task_;
  const TaskData& data_;
};

/// `count` of `pool` places without `self`, by (seed, item); a partial Fisher-Yates shuffle.
std::vector<std::size_t> Draw(std::size_t pool, std::size_t self, std::size_t count, std::uint64_t seed,
                              std::size_t item) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < pool; ++i)
    if (i != self) places.push_back(i);
  Random random(seed, "eval/fewshot", item);
  for (std::size_t i = 0; i < count; ++i)
    std::swap(places[i], places[i + random.Below(static_cast<std::uint32_t>(places.size() - i))]);
  places.resize(count);
  return places;
}

}  // namespace

std::vector<TaskItem> MakeTaskItems(const TaskFile& task, const TaskData& data,
                                    const std::optional<TaskData>& examples, const ItemOptions& options) {
  std::size_t count = data.documents.size();
  if (options.limit > 0) count = std::min(count, static_cast<std::size_t>(options.limit));
  const bool from_file = !task.fewshot_samples.empty();
  const std::vector<io::OrderedJson> none;
  const std::vector<io::OrderedJson>& pool = from_file  ? task.fewshot_samples
                                             : examples ? examples->documents
                                                        : none;
  const bool same_data =
      !from_file && examples && examples->path == data.path && examples->split == data.split;
  const auto wanted = static_cast<std::size_t>(options.num_fewshot);
  if (wanted + (same_data ? 1 : 0) > pool.size() && wanted > 0)
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("cannot give {} examples to {}", wanted, task.name),
                 .why = fmt::format("there are {}", pool.size()),
                 .fix = "give a smaller --few-shot"});
  const Builder builder(task, data);
  std::vector<TaskItem> items;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t self = same_data ? i : pool.size();
    std::vector<const io::OrderedJson*> chosen;
    if (task.fewshot_first || (from_file && wanted == pool.size())) {
      for (std::size_t place = 0; chosen.size() < wanted; ++place)
        if (place != self) chosen.push_back(&pool[place]);
    } else if (wanted > 0) {
      for (const std::size_t place : Draw(pool.size(), self, wanted, options.seed, i))
        chosen.push_back(&pool[place]);
    }
    items.push_back(builder.Build(i, chosen));
  }
  return items;
}

std::string PromptHash(const std::vector<TaskItem>& items) {
  std::string all;
  for (const TaskItem& item : items) {
    const io::Json asked{item.context, item.delimiter, item.choices, item.targets};
    all += asked.dump(-1, ' ', false, io::Json::error_handler_t::replace) + "\n";
  }
  return io::Sha256(std::as_bytes(std::span(all)));
}

}  // namespace forge::eval
