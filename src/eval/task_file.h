// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "eval/doc_template.h"
#include "eval/pattern.h"

namespace forge::eval {

enum class OutputType { kMultipleChoice, kGenerateUntil, kLogLikelihood, kLogLikelihoodRolling };

/// One step from what a model wrote to its answer (answer_extraction.h).
struct FilterStep {
  std::string function;        // regex, take_first, remove_whitespace, lowercase, boxed, code_block
  std::vector<Pattern> regex;  // one for "regex"
  int group_select = 0;        // which match; -1: the last
  std::string fallback = "[invalid]";
};
/// One way of extraction: what a result of this name was extracted with ("strict-match").
struct AnswerFilter {
  std::string name;
  std::vector<FilterStep> steps;
};

struct TaskMetric {
  std::string name;
  std::vector<Pattern> regexes_to_ignore;
  bool ignore_case = false, ignore_punctuation = false, ignore_numbers = false;
};

/// A file that may hold a split, relative to the data folder. Its documents get the fields that the task's
/// templates expect by templates over the fields that they have.
struct DataFile {
  std::string path;
  std::vector<std::pair<std::string, DocTemplate>> fields;
  DocTemplate keep;                      // a document counts where this gives "True"; not set: all count
  std::vector<std::string> line_fields;  // a text file with so many lines for one document, in this order
  std::vector<Pattern> split_before;     // one: a text file of documents {"page"}, cut where it matches
  std::string join_lines;  // with split_before: the text is this field of all JSON lines together
};

struct Generation {
  std::vector<std::string> until;
  int max_new_tokens = 256;
  double temperature = 0;
};

/// A task as its file describes it: lm-evaluation-harness' keys as far as they need no Python, and forge's
/// own data_files and program (docs/evaluation.md).
struct TaskFile {
  std::string name;
  std::string source;       // file or "built in"
  std::string fingerprint;  // sha256 of the meaning of the file
  OutputType output_type = OutputType::kGenerateUntil;
  std::string training_split, validation_split, test_split, fewshot_split;
  std::string description, gen_prefix, target_delimiter = " ", fewshot_delimiter = "\n\n";
  DocTemplate doc_to_text, doc_to_target, doc_to_choice;
  DocTemplate count_in;  // of loglikelihood_rolling: the text whose words and bytes count, else doc_to_target
  DocTemplate program;   // of pass@1: what is run, with the field `completion` added to the document
  int num_fewshot = 0;
  bool fewshot_first = false;                    // fewshot_config.sampler: first_n
  std::vector<io::OrderedJson> fewshot_samples;  // given in the file itself
  Generation generation;
  std::vector<AnswerFilter> filters;  // at least one for kGenerateUntil; one without steps takes all
  std::vector<TaskMetric> metrics;
  std::map<std::string, std::vector<DataFile>> data_files;  // by split, in the order of preference

  /// The split that is measured when none is named: test, else validation, else train.
  const std::string& EvaluationSplit() const;
  /// Where few-shot examples come from: fewshot_split, else train, validation, or the measured split.
  const std::string& FewShotSplit() const;
  bool RunsCode() const { return program.is_set(); }
};

/// Reads a task. Throws Error(kInput) for unknown keys (with the nearest name), wrong types, and for what
/// needs Python (!function), naming the key.
TaskFile ParseTask(const io::Json& json, const std::string& source);
/// A .yaml, .yml or .json file.
TaskFile ReadTaskFile(const std::filesystem::path& path);

/// The tasks that forge brings, by name, from src/eval/tasks; read when asked for.
std::vector<std::string> BuiltInTaskNames();
/// Throws Error(kUsage) with the nearest name for one that is not there.
TaskFile BuiltInTask(const std::string& name);

}  // namespace forge::eval
