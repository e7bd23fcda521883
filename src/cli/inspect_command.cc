// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <set>

#include "base/error.h"
#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "io/safetensors_folder.h"
#include "io/sha256.h"
#include "model/architecture.h"
#include "model/lora.h"
#include "model/model_folder.h"
#include "model/stored_tensors.h"
#include "runtime/packed_file.h"
#include "text/load_tokenizer.h"

namespace forge::cli {
namespace {

namespace fs = std::filesystem;

class InspectCommand : public Command {
 public:
  std::string Name() const override { return "inspect"; }
  std::string Summary() const override { return "Show what a model file or folder holds."; }
  std::string Example() const override { return "forge inspect models/starter/base"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional(
        "MODEL", name_,
        "A model folder, a GGUF file, a LoRA folder, BASE+ADAPTER, or a packed file, whose bytes "
        "are checked against its checksums.");
    flags.AddSwitch("--tensors", with_tensors_, "List every tensor with its type, bytes and shape.");
    model_.AddFolderTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    const fs::path path = model_.Resolve(name_);
    const pipeline::ModelParts parts = pipeline::PartsOf(path);
    io::Json report = {{"path", path.string()}, {"tensors", io::Json::array()}};
    std::vector<fs::path> files;
    if (pipeline::IsLoraFolder(parts.base)) {
      report["format"] = "LoRA adapter";
      AddLora(parts.base, report, files);
    } else if (io::SectionFile::Is(parts.base)) {
      AddPacked(parts.base, report, files);
      AddTokenizer(parts.base, report);
    } else {
      pipeline::CheckIsModel(parts.base);
      AddModel(parts.base, report, files);
      AddTokenizer(parts.base, report);
      for (const fs::path& adapter : parts.adapters) {
        io::Json added = {{"path", adapter.string()}, {"tensors", io::Json::array()}};
        AddLora(adapter, added, files);
        added.erase("tensors");
        report["adapters"].push_back(std::move(added));
      }
      if (!parts.adapters.empty()) pipeline::OpenWeights(path);  // that they fit
    }
    AddSums(report);
    for (const fs::path& file : files) {
      const bool is_adapter =
          pipeline::IsLoraFolder(file.parent_path());  // all of them have the same file name
      const fs::path name = is_adapter ? file.parent_path().filename() / file.filename() : file.filename();
      report["checksums"][name.string()] = io::Sha256OfFile(file);
    }
    terminal.Print(Text(report, with_tensors_));
    if (!with_tensors_) report.erase("tensors");
    terminal.PrintJson(report);
    return 0;
  }

 private:
  static void AddModel(const fs::path& path, io::Json& report, std::vector<fs::path>& files) {
    const model::StoredModel stored = model::ReadStoredModel(path);
    files = stored.files;
    report["format"] = !fs::is_directory(path) ? "GGUF"
                       : stored.files.size() > 1
                           ? fmt::format("safetensors folder of {} shards", stored.files.size())
                           : "safetensors folder";
    AddConfig(stored.config, report);
    for (const model::StoredTensor& tensor : stored.tensors)
      report["tensors"].push_back({{"name", tensor.name},
                                   {"class", model::Name(tensor.spec.role)},
                                   {"type", tensor.type},
                                   {"shape", tensor.spec.shape},
                                   {"bytes", tensor.bytes}});
  }

  static void AddConfig(const model::ModelConfig& config, io::Json& report) {
    const model::Architecture& architecture = *model::FindArchitecture(config.model_type);
    report["architecture"] = {{"model_type", architecture.model_type},
                              {"class", architecture.class_name},
                              {"gguf", architecture.gguf_name}};
    report["config"] = model::ToConfigJson(config, io::FloatType::kF32);
    for (const char* of_the_files : {"torch_dtype", "dtype", "transformers_version"})
      report["config"].erase(of_the_files);
    report["parameters"] = model::CountParameters(config);
  }

  static void AddPacked(const fs::path& path, io::Json& report, std::vector<fs::path>& files) {
    const auto file = std::make_shared<const io::SectionFile>(path);
    file->VerifyAll();
    files = {path};
    report["format"] = "packed";
    AddConfig(runtime::OpenPackedFile(file).config, report);
    for (const io::Section& section : file->sections())
      report["tensors"].push_back(
          {{"name", section.name},
           {"class", section.rows == 1                     ? "vector"
                     : section.name.starts_with("layers.") ? "linear"
                                                           : "table"},
           {"type", runtime::Name(static_cast<runtime::PackedFormat>(section.format))},
           {"shape", {section.rows, section.columns}},
           {"bytes", section.bytes.size()}});
  }

  static void AddLora(const fs::path& path, io::Json& report, std::vector<fs::path>& files) {
    const model::LoraAdapter adapter = model::ReadLoraAdapter(path);
    std::set<std::int64_t> ranks;
    std::set<double> scales;
    std::set<std::string> modules;
    for (const auto& [name, factors] : adapter.factors) {
      ranks.insert(factors.a.shape[0]);
      scales.insert(factors.scale);
      const std::string module = name.substr(0, name.rfind('.'));
      modules.insert(module.substr(module.rfind('.') + 1));
    }
    report["ranks"] = ranks;
    report["scales"] = scales;
    report["modules"] = modules;
    report["replaced"] = io::Json::array();
    for (const auto& [name, tensor] : adapter.replaced) report["replaced"].push_back(name);
    const fs::path file_path = path / "adapter_model.safetensors";
    files.push_back(file_path);
    const io::SafetensorsFile file(file_path);
    std::int64_t parameters = 0;
    for (const auto& entry : file.entries()) {
      report["tensors"].push_back({{"name", entry.name},
                                   {"class", "adapter"},
                                   {"type", entry.dtype},
                                   {"shape", entry.shape},
                                   {"bytes", entry.bytes.size()}});
      parameters += static_cast<std::int64_t>(entry.size());
    }
    report["parameters"] = parameters;
  }

  /// What the tokenizer says; or why it cannot be read, which keeps nobody from looking at the weights.
  static void AddTokenizer(const fs::path& path, io::Json& report) {
    if (!pipeline::HasTokenizer(path)) return;
    try {
      AddTokenizerFacts(path, report);
    } catch (const Error& error) {
      report["tokenizer_error"] = error.fields().why;
    }
  }
  static void AddTokenizerFacts(const fs::path& path, io::Json& report) {
    const auto tokenizer = text::LoadTokenizer(path);
    const text::TokenizerData& data = tokenizer->data();
    report["tokenizer"] = {
        {"tokens", data.tokens.size()}, {"merges", data.merges.size()}, {"add_bos", data.adds_bos()}};
    for (const auto& [name, id] :
         {std::pair{"bos", data.bos}, std::pair{"eos", data.eos}, std::pair{"pad", data.pad}})
      if (id)
        report["tokenizer"][name] = {{"id", *id}, {"token", data.tokens[static_cast<std::size_t>(*id)]}};
    report["chat_template"] = data.chat_template;
  }

  /// Bytes and weights by class and by type.
  static void AddSums(io::Json& report) {
    std::map<std::string, std::uint64_t> bytes_by_type;
    std::map<std::string, std::int64_t> weights_by_class;
    std::map<std::string, std::map<std::string, std::uint64_t>> types_by_class;
    std::uint64_t total = 0;
    for (const io::Json& tensor : report["tensors"]) {
      const std::string type = tensor["type"], kind = tensor["class"];
      const std::uint64_t bytes = tensor["bytes"];
      std::int64_t size = 1;
      for (const std::int64_t length : tensor["shape"]) size *= length;
      bytes_by_type[type] += bytes;
      types_by_class[kind][type] += bytes;
      weights_by_class[kind] += size;
      total += bytes;
    }
    report["bytes_by_type"] = bytes_by_type;
    report["types_by_class"] = types_by_class;
    report["parameters_by_class"] = weights_by_class;
    report["tensor_bytes"] = total;
  }

  static std::string Row(const char* name, const std::string& value) {
    return fmt::format("{:<16}{}\n", name, value);
  }

  static std::string AdapterText(const io::Json& r) {
    return Row("ranks", r["ranks"].dump()) + Row("scales", r["scales"].dump()) +
           Row("linears", r["modules"].dump()) + Row("replaced", r["replaced"].dump());
  }

  static std::string ModelText(const io::Json& r) {
    const io::Json& c = r["config"];
    std::string text =
        Row("architecture", fmt::format("{} ({})", r["architecture"]["model_type"].get<std::string>(),
                                        r["architecture"]["class"].get<std::string>()));
    text += Row("shape", fmt::format("{} layers, hidden {}, MLP {}, {} query and {} key-value heads of {}",
                                     c["num_hidden_layers"].dump(), c["hidden_size"].dump(),
                                     c["intermediate_size"].dump(), c["num_attention_heads"].dump(),
                                     c["num_key_value_heads"].dump(), c["head_dim"].dump()));
    text += Row("vocabulary", fmt::format("{} rows, {}", c["vocab_size"].dump(),
                                          c["tie_word_embeddings"] == true ? "head tied to the embedding"
                                                                           : "head of its own"));
    text += Row("positions", fmt::format("{}, rope theta {}, scaling {}", c["max_position_embeddings"].dump(),
                                         c["rope_theta"].dump(),
                                         c["rope_scaling"].is_null() ? "none" : c["rope_scaling"].dump()));
    return text + Row("norms", "RMS, epsilon " + c["rms_norm_eps"].dump());
  }

  static std::string TokenizerText(const io::Json& r) {
    if (r.contains("tokenizer_error"))
      return Row("tokenizer", "cannot be read: " + r["tokenizer_error"].get<std::string>());
    if (!r.contains("tokenizer")) return Row("tokenizer", "none");
    const io::Json& tokenizer = r["tokenizer"];
    std::string line =
        fmt::format("{} tokens, {} merges", tokenizer["tokens"].get<int>(), tokenizer["merges"].get<int>());
    for (const char* name : {"bos", "eos", "pad"})
      if (tokenizer.contains(name))
        line += fmt::format(", {} {} {}", name, tokenizer[name]["id"].get<int>(),
                            tokenizer[name]["token"].get<std::string>());
    const std::string chat = r["chat_template"];
    return Row("tokenizer", line) + Row("chat template", chat.empty() ? "none" : chat);
  }

  static std::string Text(const io::Json& r, bool with_tensors) {
    std::string text =
        fmt::format("{}  ({})\n", r["path"].get<std::string>(), r["format"].get<std::string>());
    if (r.contains("config")) text += ModelText(r);
    std::vector<std::string> classes;
    for (const auto& [name, count] : r["parameters_by_class"].items()) {
      std::vector<std::string> types;
      for (const auto& [type, bytes] : r["types_by_class"][name].items()) types.push_back(type);
      classes.push_back(fmt::format("{} {} ({})", name, count.get<std::int64_t>(), fmt::join(types, ", ")));
    }
    text += Row("parameters",
                fmt::format("{}: {}", r["parameters"].get<std::int64_t>(), fmt::join(classes, ", ")));
    std::vector<std::string> types;
    for (const auto& [type, bytes] : r["bytes_by_type"].items())
      types.push_back(fmt::format("{} {}", type, bytes.get<std::uint64_t>()));
    text +=
        Row("bytes", fmt::format("{}: {}", r["tensor_bytes"].get<std::uint64_t>(), fmt::join(types, ", ")));
    if (r.contains("ranks")) text += AdapterText(r);
    if (r.contains("config")) text += TokenizerText(r);
    if (r.contains("adapters"))
      for (const io::Json& adapter : r["adapters"])
        text += Row("adapter", adapter["path"].get<std::string>()) + AdapterText(adapter);
    for (const auto& [file, sum] : r["checksums"].items())
      text += Row("sha256", sum.get<std::string>() + "  " + file);
    return with_tensors ? text + TensorText(r["tensors"]) : text;
  }

  static std::string TensorText(const io::Json& tensors) {
    std::size_t width = 6;
    for (const io::Json& tensor : tensors) width = std::max(width, tensor["name"].get<std::string>().size());
    std::string text = fmt::format("{:<{}}  {:<8}{:>12}  shape\n", "tensor", width, "type", "bytes");
    for (const io::Json& tensor : tensors)
      text += fmt::format("{:<{}}  {:<8}{:>12}  {}\n", tensor["name"].get<std::string>(), width,
                          tensor["type"].get<std::string>(), tensor["bytes"].get<std::uint64_t>(),
                          tensor["shape"].dump());
    return text;
  }

  std::string name_;
  bool with_tensors_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeInspectCommand() { return std::make_unique<InspectCommand>(); }

}  // namespace forge::cli
