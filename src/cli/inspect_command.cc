// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <set>

#include "cli/command_list.h"
#include "cli/model_flags.h"
#include "io/gguf.h"
#include "io/safetensors_folder.h"
#include "model/gguf_model.h"
#include "model/lora.h"
#include "model/model_folder.h"
#include "text/gguf_tokenizer.h"

namespace forge::cli {
namespace {

namespace fs = std::filesystem;

class InspectCommand : public Command {
 public:
  std::string Name() const override { return "inspect"; }
  std::string Summary() const override { return "Show what a model file or folder holds."; }
  std::string Example() const override { return "forge inspect models/starter/base"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_, "A model folder, a LoRA folder or a GGUF file.");
    model_.AddFolderTo(flags);
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    const fs::path path = model_.Resolve(name_);
    io::Json report = {{"path", path.string()}, {"tensors", io::Json::array()}};
    if (pipeline::IsLoraFolder(path))
      AddLora(path, report);
    else if (fs::is_directory(path))
      AddFolder(path, report);
    else
      AddGguf(path, report);
    if (!pipeline::IsLoraFolder(path)) AddTokenizer(path, report);
    std::map<std::string, std::uint64_t> types;
    std::uint64_t bytes = 0;
    for (const io::Json& tensor : report["tensors"]) {
      types[tensor["type"].get<std::string>()] += tensor["bytes"].get<std::uint64_t>();
      bytes += tensor["bytes"].get<std::uint64_t>();
    }
    report["bytes_by_type"] = types;
    report["tensor_bytes"] = bytes;
    terminal.PrintJson(report);
    terminal.Print(Text(report));
    return 0;
  }

 private:
  static void AddTensor(io::Json& report, const std::string& name, const std::string& type,
                        const std::vector<std::int64_t>& shape, std::size_t bytes) {
    report["tensors"].push_back({{"name", name}, {"type", type}, {"shape", shape}, {"bytes", bytes}});
  }
  static void AddConfig(const model::ModelConfig& config, io::Json& report) {
    report["config"] = model::ToConfigJson(config, io::FloatType::kF32);
    for (const char* of_the_files : {"torch_dtype", "dtype", "transformers_version"})
      report["config"].erase(of_the_files);
    report["parameters"] = model::CountParameters(config);
  }
  static void AddFolder(const fs::path& path, io::Json& report) {
    report["format"] = "safetensors folder";
    AddConfig(model::ReadModelConfig(path / "config.json"), report);
    const io::SafetensorsFolder files(path);
    for (const auto& [name, item] : files.items())
      AddTensor(report, name, item.entry->dtype, item.entry->shape, item.entry->bytes.size());
  }
  static void AddGguf(const fs::path& path, io::Json& report) {
    const io::GgufFile file(path);
    report["format"] = "GGUF";
    AddConfig(model::GgufConfig(file), report);
    for (const auto& entry : file.entries())
      AddTensor(report, entry.name,
                entry.type ? std::string(io::Info(*entry.type).name) : fmt::format("type {}", entry.type_id),
                entry.shape, entry.bytes.size());
  }
  static void AddLora(const fs::path& path, io::Json& report) {
    const model::LoraAdapter adapter = model::ReadLoraAdapter(path);
    report["format"] = "LoRA adapter";
    report["rank"] = adapter.rank;
    std::set<double> scales;
    for (const auto& [name, factors] : adapter.factors) scales.insert(factors.scale);
    report["scales"] = scales;
    const io::SafetensorsFile file(path / "adapter_model.safetensors");
    std::int64_t parameters = 0;
    for (const auto& entry : file.entries()) {
      AddTensor(report, entry.name, entry.dtype, entry.shape, entry.bytes.size());
      parameters += static_cast<std::int64_t>(entry.size());
    }
    report["parameters"] = parameters;
  }
  static void AddTokenizer(const fs::path& path, io::Json& report) {
    if (fs::is_directory(path) && !fs::exists(path / "tokenizer.json")) return;
    const auto tokenizer = text::LoadTokenizer(path);
    const text::TokenizerData& data = tokenizer->data();
    report["tokenizer"] = {
        {"tokens", data.tokens.size()}, {"merges", data.merges.size()}, {"add_bos", data.add_bos}};
    for (const auto& [name, id] :
         {std::pair{"bos", data.bos}, std::pair{"eos", data.eos}, std::pair{"pad", data.pad}})
      if (id)
        report["tokenizer"][name] = {{"id", *id}, {"token", data.tokens[static_cast<std::size_t>(*id)]}};
    report["chat_template"] = data.chat_template;
  }

  static std::string Text(const io::Json& r) {
    std::string text =
        fmt::format("{}  ({})\n{} parameters, {} bytes of tensors:", r["path"].get<std::string>(),
                    r["format"].get<std::string>(), r["parameters"].get<std::int64_t>(),
                    r["tensor_bytes"].get<std::uint64_t>());
    for (const auto& [type, bytes] : r["bytes_by_type"].items())
      text += fmt::format(" {} {}", type, bytes.get<std::uint64_t>());
    text += "\n";
    if (r.contains("rank"))
      text += fmt::format("rank {}, scales {}\n", r["rank"].get<int>(), r["scales"].dump());
    if (r.contains("config"))
      for (const auto& [name, value] : r["config"].items())
        text += fmt::format("  {:<26}{}\n", name, value.dump());
    if (r.contains("tokenizer")) {
      const io::Json& tokenizer = r["tokenizer"];
      text += fmt::format("tokenizer: {} tokens, {} merges", tokenizer["tokens"].get<int>(),
                          tokenizer["merges"].get<int>());
      for (const char* name : {"bos", "eos", "pad"})
        if (tokenizer.contains(name))
          text += fmt::format(", {} {} {}", name, tokenizer[name]["id"].get<int>(),
                              tokenizer[name]["token"].get<std::string>());
      const std::string chat = r["chat_template"];
      text += "\nchat template: " + (chat.empty() ? "none" : chat) + "\n";
    } else {
      text += "tokenizer: none\n";
    }
    std::size_t width = 6;
    for (const io::Json& tensor : r["tensors"])
      width = std::max(width, tensor["name"].get<std::string>().size());
    text += fmt::format("{:<{}}  {:<6}{:>12}  shape\n", "tensor", width, "type", "bytes");
    for (const io::Json& tensor : r["tensors"])
      text += fmt::format("{:<{}}  {:<6}{:>12}  {}\n", tensor["name"].get<std::string>(), width,
                          tensor["type"].get<std::string>(), tensor["bytes"].get<std::uint64_t>(),
                          tensor["shape"].dump());
    return text;
  }

  std::string name_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeInspectCommand() { return std::make_unique<InspectCommand>(); }

}  // namespace forge::cli
