// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "cli/command_list.h"
#include "cli/program.h"
#include "runtime/kernels/kernel_table.h"
#include "train/engine.h"

namespace forge::cli {
namespace {

std::string Setting(const char* name, bool secret) {
  const char* value = std::getenv(name);
  if (value == nullptr) return "not set";
  return secret ? "set" : value;
}

/// A line of /proc/meminfo, which counts in kB; 0 if it is not there.
double MemoryGib(const std::string& field) {
  std::ifstream file("/proc/meminfo");
  std::string name;
  double kilobytes = 0;
  for (std::string rest; file >> name >> kilobytes && std::getline(file, rest);)
    if (name == field) return kilobytes / 1048576;
  return 0;
}

class DoctorCommand : public Command {
 public:
  std::string Name() const override { return "doctor"; }
  std::string Summary() const override { return "Show what this machine has and what forge will use of it."; }
  std::string Example() const override { return "forge doctor --json"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddText("--output-dir", output_folder_, "Folder whose disk is looked at.");
    flags.AddText("--models-dir", models_folder_, "Folder that short model names are looked up in.");
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    io::Json report;
    report["version"] = kVersion;
    report["cpu"]["features"] = CpuFeatureNames();
    report["cpu"]["kernels"] = forge::Name(runtime::KernelTarget());
    report["cpu"]["cores"] = ThreadPool::Global().num_threads();
    report["memory_gib"]["total"] = MemoryGib("MemTotal:");
    report["memory_gib"]["free"] = MemoryGib("MemAvailable:");
    struct statvfs disk {};
    if (statvfs(std::filesystem::exists(output_folder_) ? output_folder_.c_str() : ".", &disk) == 0)
      report["disk_gib"]["free"] =
          static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize) / 1073741824.0;
    AddEngine(report);
    report["settings"] = {{"WANDB_API_KEY", Setting("WANDB_API_KEY", true)},
                          {"WANDB_MODE", Setting("WANDB_MODE", false)},
                          {"HF_TOKEN", Setting("HF_TOKEN", true)},
                          {"HF_ENDPOINT", Setting("HF_ENDPOINT", false)},
                          {"FORGE_FORCE_TARGET", Setting("FORGE_FORCE_TARGET", false)},
                          {"FORGE_THREADS", Setting("FORGE_THREADS", false)}};
    for (const std::string& folder : {output_folder_, models_folder_})
      report["folders"][folder] = std::filesystem::exists(folder) ? "there" : "not there";
    terminal.PrintJson(report);
    terminal.Print(Text(report));
    return 0;
  }

 private:
  static void AddEngine(io::Json& report) {
    const std::filesystem::path path = train::EnginePath();
    report["engine"]["path"] = path.empty() ? "not found" : path.string();
    report["engine"]["cuda_devices"] = io::Json::array();
    if (path.empty()) return;
    try {
      train::Engine& engine = train::OpenEngine();
      report["engine"]["libtorch"] = engine.Describe();
      report["engine"]["cuda_devices"] = engine.CudaDevices();
    } catch (const Error& error) {  // the point of this command is to say what is wrong, and go on
      report["engine"]["problem"] = error.what();
    }
  }

  static std::string Text(const io::Json& r) {
    std::string text = fmt::format("forge {}\n", r["version"].get<std::string>());
    text += fmt::format("cpu       {} cores, {}\n", r["cpu"]["cores"].get<int>(),
                        fmt::join(r["cpu"]["features"].get<std::vector<std::string>>(), " "));
    text += fmt::format("kernels   {}\n", r["cpu"]["kernels"].get<std::string>());
    text += fmt::format("memory    {:.1f} GiB, {:.1f} free\n", r["memory_gib"]["total"].get<double>(),
                        r["memory_gib"]["free"].get<double>());
    if (r.contains("disk_gib"))
      text += fmt::format("disk      {:.1f} GiB free\n", r["disk_gib"]["free"].get<double>());
    const io::Json& engine = r["engine"];
    text += fmt::format("training  {}\n", engine.contains("libtorch") ? engine["libtorch"].get<std::string>()
                                          : engine.contains("problem")
                                              ? engine["problem"].get<std::string>()
                                              : "no engine: this build cannot train (everything else works)");
    text += fmt::format(
        "cuda      {}\n",
        engine["cuda_devices"].empty()
            ? "no device"
            : fmt::format("{}", fmt::join(engine["cuda_devices"].get<std::vector<std::string>>(), ", ")));
    for (const auto& [name, value] : r["settings"].items())
      text += fmt::format("{:<20}{}\n", name, value.get<std::string>());
    for (const auto& [name, value] : r["folders"].items())
      text += fmt::format("{:<20}{}\n", name + "/", value.get<std::string>());
    return text;
  }

  std::string output_folder_ = "output", models_folder_ = "models";
};

}  // namespace

std::unique_ptr<Command> MakeDoctorCommand() { return std::make_unique<DoctorCommand>(); }

}  // namespace forge::cli
