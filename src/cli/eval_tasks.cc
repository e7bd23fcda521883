// SPDX-License-Identifier: Apache-2.0
#include "cli/eval_tasks.h"

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "eval/result_cache.h"
#include "eval/task_runner.h"
#include "pipeline/model_hash.h"
#include "text/chat_format.h"

namespace forge::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kCacheFormat = 1;  // one more when the same settings would give another number

std::vector<fs::path> DataFolders(const EvalConfig& config) {
  if (!config.data.empty()) return {config.data};
  if (const char* folder = std::getenv("FORGE_DATA"); folder != nullptr && *folder != '\0') return {folder};
  return {"data", "../shared/data/eval"};
}

void CheckCodeIsAllowed(const eval::TaskFile& task, const EvalConfig& config) {
  if (!task.RunsCode() || config.allow_code_execution) return;
  throw Error({.kind = ErrorKind::kUsage,
               .what = "cannot measure " + task.name,
               .why = "it runs programs that the model writes, which nobody has read",
               .fix = "allow it with --allow-code-execution; they run in a sandbox (docs/evaluation.md)"});
}

std::vector<EvalRow> Rows(const eval::TaskResult& result, const std::string& model, bool is_cached,
                          const fs::path& log) {
  std::vector<EvalRow> rows;
  io::Json details = result.ToJson();
  details.erase("metrics");
  details["cached"] = is_cached;
  details["log"] = log.string();
  for (const eval::MetricResult& metric : result.metrics)
    rows.push_back({.model = model,
                    .domain = result.task,
                    .metric = metric.metric,
                    .filter = metric.filter,
                    .n = result.n,
                    .value = metric.value,
                    .interval = metric.interval,
                    .unparsable = metric.unparsable,
                    .details = details});
  return rows;
}

eval::TaskResult Measure(const eval::TaskFile& task, const eval::TaskData& data,
                         const std::vector<eval::TaskItem>& items, const EvalConfig& config, EvalModel& model,
                         Terminal& terminal) {
  eval::RunOptions options{.seed = config.seed};
  std::optional<eval::CodeSandbox> sandbox;
  if (task.RunsCode()) options.sandbox = &sandbox.emplace();  // before the model is loaded: it may be refused
  const RunnableModel& loaded = model.Loaded();
  eval::ModelSession session{.model = *loaded.model,
                             .tokenizer = *loaded.tokenizer,
                             .stop_token_ids = loaded.stop_token_ids,
                             .chat = {},
                             .sink = &terminal,
                             .stop = &terminal.stop()};
  std::optional<text::ChatFormat> format;
  if (config.apply_chat_template) {
    format.emplace(*loaded.tokenizer, model.name());
    if (format->end_of_turn() >= 0) session.stop_token_ids.push_back(format->end_of_turn());
    session.chat = [&format](const std::string& context) { return format->Encode({{"user", context}}); };
  }
  return eval::RunTask(session, task, data, items, options);
}

}  // namespace

const RunnableModel& EvalModel::Loaded() {
  if (!loaded_) loaded_ = flags_.LoadToRun(name_);
  return *loaded_;
}

const std::string& EvalModel::Hash() {
  if (hash_.empty()) hash_ = pipeline::ModelHash(flags_.Resolve(name_));
  return hash_;
}

eval::TaskFile FindTask(const std::string& spec) {
  const std::string extension = fs::path(spec).extension().string();
  if (extension == ".yaml" || extension == ".yml" || extension == ".json") return eval::ReadTaskFile(spec);
  return eval::BuiltInTask(spec);
}

std::vector<EvalRow> MeasureTask(const eval::TaskFile& task, const EvalConfig& config, EvalModel& model,
                                 Terminal& terminal) {
  CheckCodeIsAllowed(task, config);
  const std::vector<fs::path> folders = DataFolders(config);
  const eval::TaskData data =
      eval::LoadTaskData(task, config.split.empty() ? task.EvaluationSplit() : config.split, folders);
  const int num_fewshot = config.few_shot >= 0 ? config.few_shot : task.num_fewshot;
  std::optional<eval::TaskData> examples;
  if (num_fewshot > 0 && task.fewshot_samples.empty())
    examples =
        task.FewShotSplit() == data.split ? data : eval::LoadTaskData(task, task.FewShotSplit(), folders);
  const std::vector<eval::TaskItem> items = eval::MakeTaskItems(
      task, data, examples, {.limit = config.limit, .num_fewshot = num_fewshot, .seed = config.seed});
  const io::Json settings{{"format", kCacheFormat},
                          {"model_sha256", model.Hash()},
                          {"weights", model.flags().weights},
                          {"task", task.name},
                          {"task_sha256", task.fingerprint},
                          {"data_sha256", data.sha256},
                          {"split", data.split},
                          {"prompt_sha256", eval::PromptHash(items)},  // holds limit, examples and their seed
                          {"seed", task.generation.temperature > 0 ? config.seed : 0},
                          {"chat_template", config.apply_chat_template}};
  const eval::ResultCache cache(config.cache);
  const fs::path log = cache.FolderOf(task.name, settings) / "items.jsonl";
  if (!config.fresh)
    if (const auto kept = cache.Find(task.name, settings)) {
      terminal.Log(task.name + ": measured before, taken from " + log.parent_path().string());
      return Rows(*kept, model.name(), true, log);
    }
  eval::TaskResult result = Measure(task, data, items, config, model, terminal);
  result.num_fewshot = num_fewshot;
  if (result.cut_items > 0)
    terminal.Log(task.name + ": " + std::to_string(result.cut_items) +
                 " items did not fit into the model's positions; their beginning was left out");
  cache.Keep(settings, result);
  return Rows(result, model.name(), false, log);
}

}  // namespace forge::cli
