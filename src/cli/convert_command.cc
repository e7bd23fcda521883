// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/float16.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "io/atomic_file.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "model/gguf_model.h"
#include "model/model_folder.h"
#include "text/gguf_tokenizer.h"

namespace forge::cli {
namespace {

namespace fs = std::filesystem;

constexpr float kLargestHalf = 65504;

std::uint64_t BytesOf(const fs::path& path) {
  if (!fs::is_directory(path)) return fs::file_size(path);
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(path)) bytes += entry.file_size();
  return bytes;
}

class ConvertCommand : public Command {
 public:
  std::string Name() const override { return "convert"; }
  std::string Summary() const override {
    return "Turn a model folder into a GGUF file, or the other way round.";
  }
  std::string Example() const override { return "forge convert models/starter/math math.gguf --type q8_0"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("IN", in_, "A model folder, a LoRA folder (with --base) or a GGUF file.");
    flags.AddPositional("OUT", out_, "A name that ends in .gguf makes a file, any other a folder.");
    flags.AddWord("--type", type_, {"auto", "f32", "f16", "bf16", "q8_0", "q2_0", "tq2_0"},
                  "How weights are stored; auto loses nothing. q2_0 and tq2_0 are for models that forge "
                  "compress made.");
    flags.AddText("--base", model_.base, "The model that a LoRA adapter belongs to.");
    flags.AddSwitch("--replace", replace_, "Replace OUT if it is there.");
    model_.AddFolderTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    const fs::path out = out_;
    if (fs::exists(out) && !(fs::is_directory(out) && fs::is_empty(out)) && !replace_)
      throw Error({.what = "cannot write " + out_,
                   .why = "it is there already",
                   .fix = "give another name, or --replace"});
    const fs::path in = model_.Resolve(in_);
    if (fs::exists(out) && fs::equivalent(in, out))
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "cannot convert " + in_ + " into itself",
                   .why = "IN and OUT are the same",
                   .fix = "give another OUT"});
    pipeline::LoadedModel loaded = model_.Load(in_);
    if (out.extension() == ".gguf")
      WriteGguf(out, loaded);
    else
      WriteFolder(out, loaded);
    const std::uint64_t bytes = BytesOf(out);
    terminal.Print(fmt::format("{}: {} bytes\n", out_, bytes));
    terminal.PrintJson({{"in", in.string()}, {"out", out_}, {"type", type_}, {"bytes", bytes}});
    return 0;
  }

 private:
  static void CheckHalfRange(const model::ModelWeights& weights) {
    for (const auto& [name, tensor] : weights)
      for (const float value : tensor.values)
        if (std::fabs(value) > kLargestHalf)
          throw Error({.what = "cannot store " + name + " as f16",
                       .why = fmt::format("it holds {:g}; f16 ends at 65504", value),
                       .fix = "give --type bf16 or f32"});
  }

  /// The narrowest float type that keeps every weight.
  static io::FloatType StoredFloat(const pipeline::LoadedModel& loaded) {
    for (const io::FloatType type : {io::FloatType::kBF16, io::FloatType::kF16})
      if (AllExact(loaded.weights, type)) return type;
    return io::FloatType::kF32;
  }
  static bool AllExact(const model::ModelWeights& weights, io::FloatType type) {
    for (const auto& [name, tensor] : weights)
      for (const float value : tensor.values)
        if ((type == io::FloatType::kBF16 ? BFloat16ToFloat(FloatToBFloat16(value)) : RoundToHalf(value)) !=
            value)
          return false;
    return true;
  }

  void WriteFolder(const fs::path& out, pipeline::LoadedModel& loaded) const {
    if (type_.find('q') != std::string::npos)
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "cannot store a folder as " + type_,
                   .why = "safetensors has no such type",
                   .fix = "give --type f32, f16 or bf16, or an OUT that ends in .gguf"});
    pipeline::WidenTernary(loaded);
    const io::FloatType type = type_ == "auto" ? StoredFloat(loaded) : io::ParseFloatType(type_);
    if (type == io::FloatType::kF16) CheckHalfRange(loaded.weights);
    io::AtomicFolder staging(out.string() + ".tokenizer",
                             true);  // never committed: SaveModelFolder copies from it
    text::SaveTokenizer(staging.path(), loaded.tokenizer->data(), loaded.config.max_position_embeddings);
    model::SaveModelFolder(out, loaded.config, loaded.weights, type, staging.path(), replace_);
  }

  void WriteGguf(const fs::path& out, pipeline::LoadedModel& loaded) const {
    const bool to_ternary = type_ == "q2_0" || type_ == "tq2_0";
    if (to_ternary && loaded.ternary.empty())
      throw Error(
          {.what = "cannot store " + in_ + " as " + type_,
           .why = "its weights are not ternary, and rounding them without training would ruin the model",
           .fix = "forge compress --input-model " + in_ + " --output-model " + out_});
    const bool keeps_ternary = to_ternary || (type_ == "auto" && !loaded.ternary.empty());
    if (!keeps_ternary) pipeline::WidenTernary(loaded);
    const model::ModelConfig& config = loaded.config;
    std::vector<model::GgufTensor> tensors;
    const Blocks blocks = FloatBlocks(loaded);
    if (blocks.linears == io::BlockType::kF16) CheckHalfRange(loaded.weights);
    for (const model::TensorSpec& spec : model::ListTensors(config)) {
      const auto ternary = loaded.ternary.find(spec.name);
      if (ternary == loaded.ternary.end()) {
        const bool is_table =
            spec.role == model::TensorRole::kEmbedding || spec.role == model::TensorRole::kHead;
        tensors.push_back({.name = spec.name,
                           .type = is_table ? blocks.tables : blocks.linears,
                           .values = loaded.weights.at(spec.name).values});
      } else {
        const io::BlockType block = type_ == "tq2_0" || (type_ == "auto" && ternary->second.group == 256)
                                        ? io::BlockType::kTQ2_0
                                        : io::BlockType::kQ2_0;
        tensors.push_back({.name = spec.name,
                           .type = block,
                           .codes = ternary->second.codes,
                           .scales = ternary->second.scales,
                           .group_size = static_cast<std::size_t>(ternary->second.group)});
      }
    }
    model::SaveGguf(out, config, tensors, text::ToGgufMetadata(loaded.tokenizer->data(), config.vocab_size),
                    loaded.name);
  }

  struct Blocks {
    io::BlockType linears, tables;
  };
  /// What matrices that are not ternary are stored as.
  Blocks FloatBlocks(const pipeline::LoadedModel& loaded) const {
    if (type_ == "q8_0") return {io::BlockType::kQ8_0, io::BlockType::kQ8_0};
    const bool is_auto = type_ == "auto" || type_ == "q2_0" || type_ == "tq2_0";
    const io::FloatType type = is_auto ? StoredFloat(loaded) : io::ParseFloatType(type_);
    const io::BlockType block = type == io::FloatType::kF32   ? io::BlockType::kF32
                                : type == io::FloatType::kF16 ? io::BlockType::kF16
                                                              : io::BlockType::kBF16;
    Blocks blocks{block, block};
    if (!is_auto || fs::is_directory(loaded.path)) return blocks;
    const runtime::PackOptions stored = pipeline::StoredPacking(loaded.path);
    if (stored.linears == runtime::WeightType::kInt8) blocks.linears = io::BlockType::kQ8_0;
    if (stored.embeddings == runtime::WeightType::kInt8) blocks.tables = io::BlockType::kQ8_0;
    return blocks;
  }

  std::string in_, out_, type_ = "auto";
  bool replace_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeConvertCommand() { return std::make_unique<ConvertCommand>(); }

}  // namespace forge::cli
