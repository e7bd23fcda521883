// SPDX-License-Identifier: Apache-2.0
#include "cli/run_flags.h"

#include "train/engine.h"

namespace forge::cli {

void RunFlags::AddTo(FlagSet& flags) {
  flags.AddText("--output-dir", output_dir, "Folder of the run store; each run gets a folder in it.");
  flags.AddText("--config", config_file, "JSON or YAML file of settings; flags win over it.");
  flags.AddText("--resume", resume, "Go on with a stopped run: unified_checkpoints/<id>.json, or its id.");
  flags.AddWord("--device", device, {"auto", "cpu", "cuda"}, "Where to train.");
  flags.AddSeed("--seed", seed, "Same seed, same machine: same bytes.");
}

void RunFlags::AddWorkersTo(FlagSet& flags) {
  flags.AddInteger(
      "--workers", workers,
      "Processes that evaluate candidates, sharing the models' files; 0: this one does. The result "
      "does not depend on it.");
  flags.AddSwitch("--external-workers", external_workers,
                  "Let workers join from other terminals and machines: forge worker --run FOLDER.");
}

pipeline::RunRequest RunFlags::Request(const std::string& command, io::Json config) const {
  if (workers < 0 || workers > 1024)
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot start " + std::to_string(workers) + " workers",
                 .why = "--workers must be 0 to 1024",
                 .fix = "give about as many as there are cores"});
  return {.output_dir = output_dir,
          .command = "forge " + command,
          .config = std::move(config),
          .seed = seed,
          .device = ChooseDevice(device, false),
          .workers = workers,
          .external_workers = external_workers,
          .resume = resume};
}

std::string ChooseDevice(const std::string& device, bool trains) {
  if (device != "cuda" && !trains) return "cpu";
  const bool has_cuda = !train::OpenEngine().CudaDevices().empty();
  if (device == "cpu") return "cpu";
  if (device == "auto") return has_cuda ? "cuda" : "cpu";
  if (!has_cuda)
    throw Error({.kind = ErrorKind::kEnvironment,
                 .what = "cannot run on cuda",
                 .why = "libtorch finds no CUDA device here (or is a CPU build)",
                 .fix = "use --device cpu, or give a CUDA build of libtorch with -DFORGE_TORCH_DIR on a "
                        "machine with an NVIDIA GPU"});
  return "cuda";
}

}  // namespace forge::cli
