// SPDX-License-Identifier: Apache-2.0
#include "eval/task_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/nearest_name.h"
#include "io/config_file.h"
#include "io/sha256.h"

namespace forge::eval {
namespace {

/// Keys of the harness that say nothing about the measurement here: where its data come from, how it groups
/// and names tasks.
const std::vector<std::string> kWithoutMeaning{
    "dataset_path", "dataset_name", "dataset_kwargs",       "tag",
    "task_alias",   "metadata",     "should_decontaminate", "doc_to_decontamination_query",
    "repeats",      "unsafe_code"};
const std::vector<std::string> kKeys{
    "task",          "output_type",    "training_split",    "validation_split", "test_split",
    "fewshot_split", "description",    "gen_prefix",        "target_delimiter", "fewshot_delimiter",
    "doc_to_text",   "doc_to_target",  "doc_to_choice",     "count_in",         "program",
    "num_fewshot",   "fewshot_config", "generation_kwargs", "filter_list",      "metric_list",
    "data_files"};
/// Keys whose values are Python code in the harness.
const std::vector<std::string> kNeedPython{"process_docs", "process_results", "custom_dataset",
                                           "use_prompt",   "doc_to_image",    "doc_to_audio"};

class Reader {
 public:
  Reader(const io::Json& json, std::string source) : json_(json), source_(std::move(source)) {}

  TaskFile Read() {
    if (!json_.is_object()) Refuse("", "it is not an object of keys");
    CheckKeys(json_, Concat(kKeys, kWithoutMeaning), "");
    if (json_.contains("repeats") && json_["repeats"] != 1)
      Refuse("repeats", "forge asks once for each item");
    task_.source = source_;
    task_.name = Text(json_, "task", "");
    if (task_.name.empty()) Refuse("task", "the task has no name");
    ReadTexts();
    ReadOutputType();
    ReadFewShot();
    ReadGeneration();
    ReadFilters();
    ReadMetrics();
    ReadDataFiles();
    const std::string meaning = json_.dump();
    task_.fingerprint = io::Sha256(std::as_bytes(std::span(meaning)));
    return std::move(task_);
  }

 private:
  [[noreturn]] void Refuse(
      const std::string& key, const std::string& why,
      const std::string& fix = "docs/evaluation.md lists the keys and what they take") const {
    throw Error({.what = key.empty() ? "cannot use the task file " + source_
                                     : fmt::format("cannot use the key {} of the task file {}", key, source_),
                 .why = why,
                 .fix = fix});
  }

  static std::vector<std::string> Concat(std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }

  void CheckKeys(const io::Json& object, const std::vector<std::string>& known,
                 const std::string& inside) const {
    for (const auto& [key, value] : object.items()) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      if (std::find(kNeedPython.begin(), kNeedPython.end(), key) != kNeedPython.end())
        Refuse(key, "its value is Python code, and forge runs none from a task file",
               "write it as templates (doc_to_text, doc_to_choice, the fields of data_files)");
      const auto nearest = NearestName(key, known);
      Refuse(inside + key, "forge does not know it, and refuses it so that a misspelt key is not lost",
             nearest ? "did you mean " + inside + *nearest + "?"
                     : "remove it; docs/evaluation.md lists the keys");
    }
  }

  std::string Text(const io::Json& object, const char* key, const std::string& otherwise,
                   const std::string& inside = "") const {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return otherwise;
    if (!found->is_string()) Refuse(inside + key, "it is no text but " + found->dump());
    return *found;
  }
  bool Flag(const io::Json& object, const char* key, const std::string& inside) const {
    const auto found = object.find(key);
    if (found == object.end()) return false;
    if (!found->is_boolean()) Refuse(inside + key, "it is neither true nor false but " + found->dump());
    return *found;
  }
  double Number(const io::Json& object, const char* key, double otherwise,
                const std::string& inside = "") const {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return otherwise;
    if (!found->is_number()) Refuse(inside + key, "it is no number but " + found->dump());
    return *found;
  }
  int Whole(const io::Json& object, const char* key, int otherwise, int lowest,
            const std::string& inside = "") const {
    const double number = Number(object, key, otherwise, inside);
    constexpr int kHighest = std::numeric_limits<int>::max();
    if (!(number >= lowest && number <= kHighest) || number != std::floor(number))
      Refuse(inside + key, fmt::format("{} is no whole number from {} to {}", number, lowest, kHighest));
    return static_cast<int>(number);
  }
  /// A text or a list of texts.
  std::vector<std::string> Texts(const io::Json& object, const char* key, const std::string& inside) const {
    std::vector<std::string> texts;
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return texts;
    for (const io::Json& entry : found->is_array() ? *found : io::Json::array({*found})) {
      if (!entry.is_string()) Refuse(inside + key, "it holds " + entry.dump() + ", which is no text");
      texts.push_back(entry);
    }
    return texts;
  }
  std::string Place(const std::string& key) const { return key + " of " + task_.name; }
  DocTemplate Template(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? DocTemplate() : DocTemplate(*found, Place(key));
  }
  const io::Json& List(const io::Json& object, const char* key, const std::string& inside = "") const {
    static const io::Json empty = io::Json::array();
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return empty;
    if (!found->is_array()) Refuse(inside + key, "it is no list");
    return *found;
  }

  void ReadTexts() {
    task_.training_split = Text(json_, "training_split", "");
    task_.validation_split = Text(json_, "validation_split", "");
    task_.test_split = Text(json_, "test_split", "");
    task_.fewshot_split = Text(json_, "fewshot_split", "");
    if (task_.EvaluationSplit().empty()) Refuse("test_split", "the task names no split to measure");
    task_.description = Text(json_, "description", "");
    task_.gen_prefix = Text(json_, "gen_prefix", "");
    task_.target_delimiter = Text(json_, "target_delimiter", " ");
    task_.fewshot_delimiter = Text(json_, "fewshot_delimiter", "\n\n");
    task_.doc_to_text = Template("doc_to_text");
    task_.doc_to_target = Template("doc_to_target");
    task_.doc_to_choice = Template("doc_to_choice");
    task_.count_in = Template("count_in");
    task_.program = Template("program");
  }

  void ReadOutputType() {
    const std::map<std::string, OutputType> types{
        {"multiple_choice", OutputType::kMultipleChoice},
        {"generate_until", OutputType::kGenerateUntil},
        {"loglikelihood", OutputType::kLogLikelihood},
        {"loglikelihood_rolling", OutputType::kLogLikelihoodRolling}};
    const std::string word = Text(json_, "output_type", "generate_until");
    const auto type = types.find(word);
    if (type == types.end())
      Refuse("output_type",
             word + " is not one of multiple_choice, generate_until, loglikelihood, loglikelihood_rolling");
    task_.output_type = type->second;
    if (!task_.doc_to_target.is_set()) Refuse("doc_to_target", "it is missing");
    if (type->second != OutputType::kLogLikelihoodRolling && !task_.doc_to_text.is_set())
      Refuse("doc_to_text", "it is missing");
    if ((type->second == OutputType::kMultipleChoice) != task_.doc_to_choice.is_set())
      Refuse("doc_to_choice",
             task_.doc_to_choice.is_set() ? "only multiple_choice takes it" : "multiple_choice needs it");
    if (task_.program.is_set() && type->second != OutputType::kGenerateUntil)
      Refuse("program", "only generate_until gives a program");
  }

  void ReadFewShot() {
    task_.num_fewshot = Whole(json_, "num_fewshot", 0, 0);
    const auto config = json_.find("fewshot_config");
    if (config == json_.end() || config->is_null()) return;
    if (!config->is_object()) Refuse("fewshot_config", "it is not an object");
    CheckKeys(*config, {"sampler", "samples", "split"}, "fewshot_config.");
    const std::string sampler = Text(*config, "sampler", "default", "fewshot_config.");
    if (sampler != "default" && sampler != "first_n")
      Refuse("fewshot_config.sampler", sampler + " is not one of default, first_n");
    task_.fewshot_first = sampler == "first_n";
    task_.fewshot_split = Text(*config, "split", task_.fewshot_split, "fewshot_config.");
    for (const io::Json& sample : List(*config, "samples", "fewshot_config.")) {
      if (!sample.is_object()) Refuse("fewshot_config.samples", "an entry is no object of fields");
      task_.fewshot_samples.push_back(io::OrderedJson::parse(sample.dump()));
    }
  }

  void ReadGeneration() {
    task_.generation.until = {task_.fewshot_delimiter};
    const auto given = json_.find("generation_kwargs");
    if (given == json_.end() || given->is_null()) return;
    if (!given->is_object()) Refuse("generation_kwargs", "it is not an object");
    CheckKeys(*given, {"until", "max_gen_toks", "max_new_tokens", "do_sample", "temperature"},
              "generation_kwargs.");
    const std::string inside = "generation_kwargs.";
    if (given->contains("until")) task_.generation.until = Texts(*given, "until", inside);
    std::erase(task_.generation.until, "");
    const int otherwise = Whole(*given, "max_new_tokens", 256, 1, inside);
    task_.generation.max_new_tokens = Whole(*given, "max_gen_toks", otherwise, 1, inside);
    if (Flag(*given, "do_sample", inside))
      task_.generation.temperature = Number(*given, "temperature", 1, inside);
    if (!(task_.generation.temperature >= 0 && std::isfinite(task_.generation.temperature)))
      Refuse(inside + "temperature", "it is not a finite number of at least 0");
  }

  void ReadFilters() {
    for (const io::Json& entry : List(json_, "filter_list")) {
      if (!entry.is_object()) Refuse("filter_list", "an entry is no object");
      CheckKeys(entry, {"name", "filter"}, "filter_list.");
      AnswerFilter filter{.name = Text(entry, "name", "none", "filter_list."), .steps = {}};
      for (const io::Json& step : List(entry, "filter", "filter_list.")) filter.steps.push_back(Step(step));
      task_.filters.push_back(std::move(filter));
    }
    if (task_.filters.empty()) task_.filters.push_back({.name = "none", .steps = {}});
  }

  FilterStep Step(const io::Json& json) const {
    const std::string inside = "filter_list.filter.";
    if (!json.is_object()) Refuse("filter_list.filter", "an entry is no object");
    CheckKeys(json, {"function", "regex_pattern", "group_select", "fallback", "filter_fn"}, inside);
    FilterStep step{.function = Text(json, "function", "", inside), .regex = {}};
    const std::vector<std::string> known{"regex",     "take_first", "remove_whitespace", "lowercase",
                                         "uppercase", "boxed",      "code_block"};
    if (std::find(known.begin(), known.end(), step.function) == known.end())
      Refuse(inside + "function",
             fmt::format("\"{}\" is not one of {}", step.function, fmt::join(known, ", ")));
    if (step.function == "regex")
      step.regex.emplace_back(Text(json, "regex_pattern", "#### (\\-?[0-9\\.\\,]+)", inside),
                              Place("filter_list"));
    step.group_select = Whole(json, "group_select", 0, std::numeric_limits<int>::min(), inside);
    step.fallback = Text(json, "fallback", step.fallback, inside);
    return step;
  }

  void ReadMetrics() {
    const std::map<OutputType, std::vector<std::string>> known{
        {OutputType::kMultipleChoice, {"acc", "acc_norm", "acc_bytes"}},
        {OutputType::kGenerateUntil, {"exact_match", "number_match", "math_match", "pass@1"}},
        {OutputType::kLogLikelihood, {"acc", "perplexity"}},
        {OutputType::kLogLikelihoodRolling,
         {"word_perplexity", "byte_perplexity", "bits_per_byte", "token_perplexity"}}};
    const std::vector<std::string>& names = known.at(task_.output_type);
    const std::string inside = "metric_list.";
    for (const io::Json& entry : List(json_, "metric_list")) {
      if (!entry.is_object()) Refuse("metric_list", "an entry is no object");
      CheckKeys(entry,
                {"metric", "aggregation", "higher_is_better", "regexes_to_ignore", "ignore_case",
                 "ignore_punctuation", "ignore_numbers"},
                inside);
      TaskMetric metric{.name = Text(entry, "metric", "", inside), .regexes_to_ignore = {}};
      if (std::find(names.begin(), names.end(), metric.name) == names.end())
        Refuse("metric_list", fmt::format("the metric \"{}\" is not one that this output_type has: {}",
                                          metric.name, fmt::join(names, ", ")));
      for (const std::string& regex : Texts(entry, "regexes_to_ignore", inside))
        metric.regexes_to_ignore.emplace_back(regex, Place("regexes_to_ignore"));
      metric.ignore_case = Flag(entry, "ignore_case", inside);
      metric.ignore_punctuation = Flag(entry, "ignore_punctuation", inside);
      metric.ignore_numbers = Flag(entry, "ignore_numbers", inside);
      task_.metrics.push_back(std::move(metric));
    }
    if (task_.metrics.empty()) {
      if (task_.output_type == OutputType::kLogLikelihoodRolling)
        for (const std::string& name : names)
          task_.metrics.push_back({.name = name, .regexes_to_ignore = {}});
      else
        task_.metrics.push_back({.name = names[0], .regexes_to_ignore = {}});
    }
    const bool passes = std::any_of(task_.metrics.begin(), task_.metrics.end(),
                                    [](const TaskMetric& metric) { return metric.name == "pass@1"; });
    if (passes != task_.RunsCode())
      Refuse("program", "the metric pass@1 and the key program need each other");
  }

  void ReadDataFiles() {
    const auto given = json_.find("data_files");
    if (given != json_.end() && !given->is_object()) Refuse("data_files", "it is not an object of splits");
    if (given != json_.end())
      for (const auto& [split, files] : given->items())
        for (const io::Json& file : files.is_array() ? files : io::Json::array({files}))
          task_.data_files[split].push_back(File(file));
    for (const std::string* split :
         {&task_.training_split, &task_.validation_split, &task_.test_split, &task_.fewshot_split})
      if (!split->empty() && !task_.data_files.contains(*split))
        task_.data_files[*split].push_back({.path = task_.name + "/" + *split + ".jsonl"});
  }

  DataFile File(const io::Json& json) const {
    const std::string inside = "data_files.";
    if (json.is_string()) return {.path = json};
    if (!json.is_object()) Refuse("data_files", "an entry is neither a path nor an object");
    CheckKeys(json, {"path", "fields", "keep", "line_fields", "split_before", "join_lines"}, inside);
    DataFile file{.path = Text(json, "path", "", inside)};
    if (file.path.empty()) Refuse("data_files", "an entry has no path");
    file.line_fields = Texts(json, "line_fields", inside);
    if (const std::string regex = Text(json, "split_before", "", inside); !regex.empty())
      file.split_before.emplace_back(regex, Place("data_files.split_before"));
    file.join_lines = Text(json, "join_lines", "", inside);
    if (!file.join_lines.empty() && file.split_before.empty())
      Refuse(inside + "join_lines", "it needs split_before, which cuts the joined text");
    if (json.contains("keep")) file.keep = DocTemplate(json["keep"], Place("data_files.keep"));
    if (const auto fields = json.find("fields"); fields != json.end()) {
      if (!fields->is_object()) Refuse(inside + "fields", "it is not an object");
      for (const auto& [name, spec] : fields->items())
        file.fields.emplace_back(name, DocTemplate(spec, Place("data_files.fields." + name)));
    }
    return file;
  }

  const io::Json& json_;
  std::string source_;
  TaskFile task_;
};

}  // namespace

const std::string& TaskFile::EvaluationSplit() const {
  return !test_split.empty() ? test_split : !validation_split.empty() ? validation_split : training_split;
}

const std::string& TaskFile::FewShotSplit() const {
  if (!fewshot_split.empty()) return fewshot_split;
  if (!training_split.empty()) return training_split;
  return !validation_split.empty() ? validation_split : EvaluationSplit();
}

TaskFile ParseTask(const io::Json& json, const std::string& source) { return Reader(json, source).Read(); }

TaskFile ReadTaskFile(const std::filesystem::path& path) {
  return ParseTask(io::ReadConfigFile(path), path.string());
}

}  // namespace forge::eval
