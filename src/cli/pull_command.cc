// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/error.h"
#include "cli/command_list.h"
#include "hub/pull.h"
#include "io/atomic_file.h"
#include "pipeline/model_reference.h"

namespace forge::cli {
namespace {

namespace fs = std::filesystem;

class PullCommand : public Command {
 public:
  std::string Name() const override { return "pull"; }
  std::string Summary() const override { return "Fetch a model from the Hugging Face hub."; }
  std::string Example() const override { return "forge pull HuggingFaceTB/SmolLM2-135M"; }
  void AddFlags(FlagSet& flags) override {
    flags.AddPositional("MODEL", name_, "OWNER/NAME on the hub, or OWNER/NAME@REVISION.");
    flags.AddList("--include", include_,
                  "Files to fetch instead of config, tokenizer and safetensors: patterns such as *.gguf.");
    flags.AddText("--dir", folder_, "Also make this folder: a link to the fetched files.");
    flags.AddSwitch("--copy", copy_, "Make --dir a folder of copies.");
    flags.AddSwitch("--offline", offline_, "Use what is in the cache only.");
    flags.AddInteger("--connections", connections_,
                     "How many files or parts of files come at a time, 1 to 32.");
  }

  int Run(const FlagSet&, Terminal& terminal) override {
    const hub::RepoReference reference =
        hub::ParseRepoReference(pipeline::HubName(name_), hub::RepoKind::kModel);
    CheckFlags();
    hub::HubSettings settings = hub::ReadHubSettings();
    settings.offline = settings.offline || offline_;
    settings.connections = connections_;
    const hub::PullResult result = hub::PullModel(settings, reference, include_, terminal, terminal.stop());
    const fs::path place = folder_.empty() ? fs::absolute(result.snapshot) : MakeFolder(result.snapshot);
    terminal.Print(place.string() + "\n");
    terminal.PrintJson(Report(reference, result, place));
    return 0;
  }

 private:
  void CheckFlags() const {
    if (connections_ < 1 || connections_ > 32)
      throw Error({.kind = ErrorKind::kUsage,
                   .what = fmt::format("cannot fetch over {} connections", connections_),
                   .why = "--connections must be 1 to 32",
                   .fix = "leave it out for 4"});
    if (copy_ && folder_.empty())
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "cannot copy to nowhere",
                   .why = "--copy says how --dir is made, and there is no --dir",
                   .fix = "add --dir FOLDER"});
    const fs::path folder = folder_;
    if (!folder_.empty() && !fs::is_symlink(folder) && fs::exists(folder) &&
        !(fs::is_directory(folder) && fs::is_empty(folder)))
      throw Error({.kind = ErrorKind::kUsage,
                   .what = "will not replace " + folder_,
                   .why = "it is there and is no link",
                   .fix = "give another --dir, or remove it"});
  }

  fs::path MakeFolder(const fs::path& snapshot) const {
    const fs::path folder =
        fs::path(folder_).has_filename() ? fs::path(folder_) : fs::path(folder_).parent_path();
    if (folder.has_parent_path()) io::CreateFolders(folder.parent_path());
    if (fs::is_symlink(folder) || fs::exists(folder)) fs::remove(folder);  // CheckFlags: a link or empty
    if (!copy_) {
      fs::create_directory_symlink(fs::absolute(snapshot), folder);
      return folder;
    }
    io::AtomicFolder copy(folder);
    for (const auto& entry : fs::recursive_directory_iterator(snapshot)) {
      const fs::path target = copy.path() / entry.path().lexically_relative(snapshot);
      if (entry.is_directory())
        io::CreateFolders(target);
      else if (entry.exists())
        io::CopyFileAtomically(entry.path(), target);
    }
    copy.Commit();
    return folder;
  }

  static io::Json Report(const hub::RepoReference& reference, const hub::PullResult& result,
                         const fs::path& place) {
    io::Json report = {
        {"repository", reference.repo.id}, {"revision", reference.revision},
        {"commit", result.commit},         {"snapshot", fs::absolute(result.snapshot).string()},
        {"path", place.string()},          {"files", io::Json::array()}};
    std::uint64_t fetched = 0;
    for (const hub::PulledFile& file : result.files) {
      report["files"].push_back({{"name", file.name},
                                 {"bytes", file.bytes},
                                 {file.etag.size() == 64 ? "sha256" : "git_id", file.etag},
                                 {"was_there", file.was_there}});
      if (!file.was_there) fetched += file.bytes;
    }
    report["fetched_bytes"] = fetched;
    return report;
  }

  std::string name_, folder_;
  std::vector<std::string> include_;
  bool copy_ = false, offline_ = false;
  int connections_ = 4;
};

}  // namespace

std::unique_ptr<Command> MakePullCommand() { return std::make_unique<PullCommand>(); }

}  // namespace forge::cli
