// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "runtime/pack_words.h"
#include "runtime/packed_file.h"
#include "runtime/packed_weights.h"

namespace forge::cli {
namespace {

namespace fs = std::filesystem;

class PackCommand : public Command {
 public:
  std::string Name() const override { return "pack"; }
  std::string Summary() const override {
    return "Write a model as the runtime holds it: a file that is mapped and runs at once.";
  }
  std::string Example() const override { return "forge pack compressed/model.gguf model.forge"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional(
        "MODEL", in_,
        "A model whose linears are ternary, Q8_0 or Q4_0: a GGUF file, or transformers' bitnet "
        "folder; others with --linears and --embeddings.");
    flags.AddPositional("OUT", out_, "The file, by habit *.forge; every command that runs a model takes it.");
    flags.AddWord("--linears", linears_, {"auto", "q8_0", "q4_0"},
                  "Round the linears to 8 or 4 bits; auto keeps them as they are stored.");
    flags.AddWord("--embeddings", embeddings_, runtime::EmbeddingWords(),
                  "The same for embedding and head; q8_rotated: 8 bits with one scale for each row, inputs "
                  "rotated by 32 (an embedding that is not the head is q8_0): as near as q8_0, and faster in "
                  "batches.");
    flags.AddWord(
        "--codes", codes_, runtime::CodeWords(),
        "How ternary codes lie in the file: two-bit is fast on every processor; base-3 is a fifth "
        "smaller (groups of 128 and more) and as fast only with AVX-512 VBMI; base-27 is a tenth "
        "smaller, the fastest on AMD with AVX-512, and slow token by token on others. All run everywhere.");
    flags.AddSwitch("--replace", replace_, "Replace OUT if it is there.");
    flags.AddText("--base", model_.base, "The model that a LoRA adapter belongs to.");
    model_.AddFolderTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    const fs::path in = model_.Resolve(in_), out = out_;
    CheckOutput(in, out);
    const std::unique_ptr<model::WeightSource> source = pipeline::OpenWeights(in);
    const io::GgufMetadata tokenizer =
        pipeline::GgufTokenizerOf(pipeline::PartsOf(in).base, source->config());
    runtime::PackOptions options = runtime::OptionsFromWords(codes_, embeddings_);
    if (linears_ == "q8_0") options.linears = runtime::WeightType::kInt8;
    if (linears_ == "q4_0") options.linears = runtime::WeightType::kInt4;
    runtime::SavePackedFile(out, runtime::PackWeights(*source, options), tokenizer,
                            pipeline::ShortNameOf(in));
    Report(out, terminal);
    return 0;
  }

 private:
  void CheckOutput(const fs::path& in, const fs::path& out) const {
    if (!fs::exists(out)) return;
    if (fs::equivalent(pipeline::PartsOf(in).base, out) || fs::is_directory(out))
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "cannot pack " + in_ + " into " + out_,
                   .why = fs::is_directory(out) ? "OUT is a folder" : "MODEL and OUT are the same",
                   .fix = "give another OUT"});
    if (!replace_)
      throw Error({.what = "cannot write " + out_,
                   .why = "it is there already",
                   .fix = "give another name, or --replace"});
  }

  /// What lies there now, by format.
  void Report(const fs::path& out, Terminal& terminal) const {
    const io::SectionFile file(out);
    std::map<std::string, std::uint64_t> bytes;
    for (const io::Section& section : file.sections())
      bytes[runtime::Name(static_cast<runtime::PackedFormat>(section.format))] += section.bytes.size();
    const std::uint64_t total = fs::file_size(out);
    std::string text = fmt::format("{}: {} bytes", out_, total);
    for (const auto& [format, count] : bytes) text += fmt::format(", {} {}", format, count);
    terminal.Print(text + "\n");
    terminal.PrintJson({{"out", out_}, {"bytes", total}, {"bytes_by_format", bytes}});
  }

  std::string in_, out_, linears_ = "auto", embeddings_ = "auto", codes_ = "two-bit";
  bool replace_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakePackCommand() { return std::make_unique<PackCommand>(); }

}  // namespace forge::cli
