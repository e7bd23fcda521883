// SPDX-License-Identifier: Apache-2.0
#include "cli/model_flags.h"

#include "base/error.h"
#include "io/section_file.h"

namespace forge::cli {
namespace {

/// Nothing: as they are stored.
std::optional<runtime::WeightType> ParseWeightType(const std::string& word) {
  if (word == "f32") return runtime::WeightType::kFloat32;
  if (word == "bf16") return runtime::WeightType::kBFloat16;
  if (word == "q8_0") return runtime::WeightType::kInt8;
  return std::nullopt;
}

runtime::KeyValueType ParseKeyValueType(const std::string& word, runtime::Activations activations) {
  if (word == "q8_0") return runtime::KeyValueType::kInt8;
  const bool is_auto_f16 = word == "auto" && activations == runtime::Activations::kInt8;
  return word == "f16" || is_auto_f16 ? runtime::KeyValueType::kFloat16 : runtime::KeyValueType::kFloat32;
}

}  // namespace

std::vector<int> RunnableModel::Encode(std::string_view text) const {
  std::vector<int> ids = tokenizer->Encode(text);
  const text::TokenizerData& data = tokenizer->data();
  if (data.adds_bos()) ids.insert(ids.begin(), *data.bos);
  return ids;
}

void ModelFlags::AddTo(FlagSet& flags, const std::string& default_activations) {
  activations = default_activations;
  flags_ = &flags;
  flags.AddWord("--weights", weights, {"auto", "f32", "bf16", "q8_0"},
                "How weights are held in memory; auto keeps the values as they are stored.");
  flags.AddWord(
      "--activations", activations, {"auto", "float32", "int8"},
      "What ternary, 8-bit and 4-bit weights are multiplied with: float32 is exact, int8 is rounded "
      "block by block and much faster; auto is int8 for ternary models, else float32. Those of a packed file "
      "are int8.");
  flags.AddWord("--kv-cache-type", kv_cache_type, {"auto", "f32", "f16", "q8_0"},
                "How the keys and values of the text so far are held: f16 takes half of the memory of f32, "
                "q8_0 (8 bits, a scale for 32) 0.27 of it; both are rounded. auto: f16 with int8 "
                "activations, else f32.");
  flags.AddSwitch("--verify", verify, "Check every byte of a packed file against its checksums first.");
  flags.AddText("--base", base, "The model that a LoRA adapter belongs to.");
  AddFolderTo(flags);
}

void ModelFlags::AddHeadTo(FlagSet& flags) {
  flags.AddWord("--head", head, {"full", "top-k"},
                "How a greedy token (temperature 0, no log-probabilities) is found: full computes all "
                "logits; top-k, for 8-bit heads with int8 activations, reads half of each weight, and the "
                "other half only of the tokens that can still be the best; of several texts at once only "
                "with AVX2 or a rotated head, where it is faster. Other heads, and those of packed files "
                "written before, are always computed in full.");
}

void ModelFlags::AddPinTo(FlagSet& flags) {
  flags.AddSwitch("--pin-threads", pin_threads,
                  "Keep each thread that runs the model on one core of those that this process may use.");
}

std::unique_ptr<PinnedThreads> ModelFlags::Pin() const {
  return pin_threads ? std::make_unique<PinnedThreads>(ThreadPool::Global()) : nullptr;
}

void ModelFlags::CheckHead(const std::string& name, const runtime::PackedWeights& loaded) const {
  if (head != "top-k" || !flags_->Has("--head") || !flags_->Given("--head") || loaded.HasHeadInHalves())
    return;
  throw Error({.kind = ErrorKind::kUsage,
               .what = "cannot run " + name + " with --head top-k",
               .why = "its vocabulary head is not held as 8 bits in halves for int8 activations",
               .fix = "leave out --head; or give --activations int8 for a model with a Q8_0 head, or pack it "
                      "with forge pack (again, if it is a packed file)"});
}

void ModelFlags::AddFolderTo(FlagSet& flags) {
  flags.AddText("--models-dir", models_dir, "Folder that short model names are looked up in.");
}

std::filesystem::path ModelFlags::Resolve(const std::string& name) const {
  const std::filesystem::path path = pipeline::ResolveModel(name, models_dir);
  if (base.empty() || !pipeline::IsLoraFolder(path)) return path;
  return pipeline::ResolveModel(base, models_dir).string() + "+" + path.string();
}

std::filesystem::path ModelFlags::ResolveTokenizer(const std::string& name) const {
  return pipeline::PartsOf(Resolve(name)).base;
}

runtime::PackOptions ModelFlags::Packing() const {
  const std::optional<runtime::WeightType> type = ParseWeightType(weights);
  return {.linears = type,
          .embeddings = type,
          .activations = activations == "int8"   ? runtime::Activations::kInt8
                         : activations == "auto" ? runtime::Activations::kInt8IfTernary
                                                 : runtime::Activations::kFloat32};
}

void ModelFlags::SetHowToRun(runtime::PackedWeights& loaded) const {
  loaded.key_values = ParseKeyValueType(kv_cache_type, loaded.activations);
  loaded.greedy_head = head == "full" ? runtime::GreedyHead::kFull : runtime::GreedyHead::kTopK;
}

pipeline::ModelToRun ModelFlags::Load(const std::filesystem::path& path, bool with_tokenizer) const {
  const bool asks_for_float32 = activations == "float32" && flags_->Given("--activations");
  if (asks_for_float32 && io::SectionFile::Is(pipeline::PartsOf(path).base))
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot run " + path.string() + " with --activations float32",
                 .why = "a packed file holds weights for int8 activations",
                 .fix = "leave out --activations, or name the model that it was made of"});
  const runtime::PackOptions packing = Packing();
  pipeline::ModelToRun loaded = pipeline::LoadModelToRun(
      path, {.packing = packing, .verify = verify, .with_tokenizer = with_tokenizer});
  SetHowToRun(loaded.weights);  // also of a packed file
  CheckHead(path.string(), loaded.weights);
  return loaded;
}

runtime::PackedWeights ModelFlags::LoadWeights(const std::string& name) const {
  return Load(Resolve(name), false).weights;
}

RunnableModel ModelFlags::LoadToRun(const std::string& name) const {
  const std::filesystem::path path = Resolve(name);
  pipeline::ModelToRun loaded = Load(path, true);
  RunnableModel result{.name = pipeline::ShortNameOf(path),
                       .model = std::make_unique<runtime::NativeModel>(std::move(loaded.weights)),
                       .tokenizer = std::move(loaded.tokenizer),
                       .stop_token_ids = {}};
  result.stop_token_ids = result.model->config().eos_token_ids;
  return result;
}

}  // namespace forge::cli
