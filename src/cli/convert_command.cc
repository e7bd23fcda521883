// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "cli/shard_flag.h"
#include "io/atomic_file.h"
#include "io/gguf.h"
#include "model/gguf_model.h"
#include "model/model_folder.h"
#include "model/narrowest_type.h"

namespace forge::cli {
namespace {

namespace fs = std::filesystem;

std::uint64_t BytesOf(const fs::path& path) {
  if (!fs::is_directory(path)) return fs::file_size(path);
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(path)) bytes += entry.file_size();
  return bytes;
}

/// Passes reading on and shows how far it is.
class WatchedWeights : public model::WeightSource {
 public:
  WatchedWeights(const model::WeightSource& source, Terminal& terminal)
      : WeightSource(source.config()), source_(source), terminal_(terminal) {}
  std::string Name() const override { return source_.Name(); }
  std::string StoredType(const model::TensorSpec& spec) const override { return source_.StoredType(spec); }
  std::span<const std::byte> GgufBytes(const model::TensorSpec& spec) const override {
    return source_.GgufBytes(spec);
  }

 private:
  void ReadStoredRows(const model::TensorSpec& spec, std::int64_t first_row,
                      std::span<float> out) const override {
    if (terminal_.stop().stop_requested())
      throw Error({.kind = ErrorKind::kInterrupted,
                   .what = "stopped on request",
                   .why = "OUT was not written",
                   .fix = "run the same command again"});
    source_.ReadRows(spec, first_row, out);
    done_ += static_cast<std::int64_t>(out.size());
    terminal_.Progress("convert", done_, model::CountParameters(config()), "weights");
  }
  const model::WeightSource& source_;
  Terminal& terminal_;
  mutable std::int64_t done_ = 0;
};

class ConvertCommand : public Command {
 public:
  std::string Name() const override { return "convert"; }
  std::string Summary() const override {
    return "Turn a model folder into a GGUF file, or the other way round.";
  }
  std::string Example() const override { return "forge convert models/starter/math math.gguf --type q8_0"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("IN", in_,
                        "A model folder, a GGUF file, or one of them with adapters: BASE+ADAPTER.");
    flags.AddPositional("OUT", out_, "A name that ends in .gguf makes a file, any other a folder.");
    flags.AddWord(
        "--type", type_,
        {"auto", "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "q2_0", "tq2_0", "tq1_0"},
        "How weights are stored; auto loses nothing. Below q8_0, embedding and head are q8_0. q2_0, "
        "tq2_0 and tq1_0 are for models that forge compress made.");
    shards_.AddTo(flags);
    flags.AddText("--base", model_.base, "The model that a LoRA adapter belongs to.");
    flags.AddSwitch("--replace", replace_, "Replace OUT if it is there.");
    model_.AddFolderTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    const fs::path out = out_, in = model_.Resolve(in_);
    CheckOutput(in, out);
    const std::unique_ptr<model::WeightSource> source = pipeline::OpenWeights(in);
    const bool to_gguf = out.extension() == ".gguf";
    const std::string type =
        to_gguf ? WriteGguf(in, out, *source, terminal) : WriteFolder(in, out, *source, terminal);
    const std::uint64_t bytes = BytesOf(out);
    terminal.Print(fmt::format("{}: {} bytes, {}\n", out_, bytes, type));
    terminal.PrintJson({{"in", in.string()}, {"out", out_}, {"type", type}, {"bytes", bytes}});
    return 0;
  }

 private:
  void CheckOutput(const fs::path& in, const fs::path& out) const {
    shards_.Check();
    if (out.extension() == ".forge")
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "cannot convert " + in_ + " to " + out_,
                   .why = "a packed file is for one purpose, to run, and its weights are rounded for that",
                   .fix = "forge pack " + in_ + " " + out_});
    if (fs::exists(out) && !(fs::is_directory(out) && fs::is_empty(out)) && !replace_)
      throw Error({.what = "cannot write " + out_,
                   .why = "it is there already",
                   .fix = "give another name, or --replace"});
    if (fs::exists(out) && fs::equivalent(pipeline::PartsOf(in).base, out))
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "cannot convert " + in_ + " into itself",
                   .why = "IN and OUT are the same",
                   .fix = "give another OUT"});
  }

  /// Both return the name of the type that the linears got.
  std::string WriteFolder(const fs::path& in, const fs::path& out, const model::WeightSource& source,
                          Terminal& terminal) const {
    if (type_.find('q') != std::string::npos)
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "cannot store a folder as " + type_,
                   .why = "safetensors has no such type",
                   .fix = "give --type f32, f16 or bf16, or an OUT that ends in .gguf"});
    model::SaveOptions options{
        .type = type_ == "auto" ? model::NarrowestExactType(source) : io::ParseFloatType(type_),
        .tokenizer_source = pipeline::PartsOf(in).base,
        .replace = replace_,
        .max_shard_bytes = shards_.bytes()};
    io::AtomicFolder staging(out.string() + ".tokenizer",
                             true);  // never committed: SaveModelFolder copies from it
    if (!fs::is_directory(options.tokenizer_source)) {
      pipeline::CopyTokenizer(options.tokenizer_source, source.config().max_position_embeddings,
                              staging.path());
      options.tokenizer_source = staging.path();
    }
    model::SaveModelFolder(out, WatchedWeights(source, terminal), options);
    return std::string(io::Name(options.type));
  }

  std::string WriteGguf(const fs::path& in, const fs::path& out, const model::WeightSource& source,
                        Terminal& terminal) const {
    const io::GgufMetadata tokenizer = pipeline::GgufTokenizerOf(pipeline::PartsOf(in).base, source.config());
    std::optional<io::BlockType> exact;  // found once, when a tensor needs it
    const auto type_of = [&](const model::TensorSpec& spec) {
      const bool is_ternary = type_ == "q2_0" || type_ == "tq2_0" || type_ == "tq1_0";
      if (type_ == "auto" || (is_ternary && !model::IsLinear(spec))) {
        if (!source.GgufBytes(spec).empty()) return *io::FindBlockType(source.StoredType(spec));
        if (!exact) exact = *io::FindBlockType(io::Name(model::NarrowestExactType(source)));
        return *exact;
      }
      std::string name = type_;
      std::transform(name.begin(), name.end(), name.begin(),
                     [](char c) { return static_cast<char>(std::toupper(c)); });
      const io::BlockType type = *io::FindBlockType(name);
      return io::Info(type).elements > 1 && !model::IsLinear(spec) ? io::BlockType::kQ8_0 : type;
    };
    model::SaveGguf(out, WatchedWeights(source, terminal), type_of, tokenizer, pipeline::ShortNameOf(in));
    for (const model::TensorSpec& spec : model::ListTensors(source.config()))
      if (model::IsLinear(spec)) return std::string(io::Info(type_of(spec)).name);
    return type_;
  }

  std::string in_, out_, type_ = "auto";
  ShardFlag shards_;
  bool replace_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeConvertCommand() { return std::make_unique<ConvertCommand>(); }

}  // namespace forge::cli
