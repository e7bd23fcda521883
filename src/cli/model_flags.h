// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/thread_pinning.h"
#include "cli/flag_set.h"
#include "pipeline/model_source.h"
#include "runtime/native_model.h"

namespace forge::cli {

/// A model that is ready to run: packed weights and the tokenizer.
struct RunnableModel {
  std::string name;
  std::unique_ptr<runtime::NativeModel> model;
  std::shared_ptr<text::Tokenizer> tokenizer;
  std::vector<int> stop_token_ids;  // those of the config; chat adds its end of turn

  /// Ids of a text that the model goes on from: with bos in front where the model was trained so.
  std::vector<int> Encode(std::string_view text) const;
};

/// The flags that say where a model is and how its weights are held.
struct ModelFlags {
  std::string models_dir = "models";
  std::string base;  // of a LoRA adapter: --base BASE ADAPTER is BASE+ADAPTER
  std::string weights = "auto";
  std::string activations = "float32";
  std::string kv_cache_type = "auto";
  std::string head = "top-k";
  bool verify = false;
  bool pin_threads = false;

  /// `activations` is the default of --activations: "auto" where speed counts, "float32" where figures are
  /// compared.
  void AddTo(FlagSet& flags, const std::string& activations = "float32");
  /// --head, for commands that generate.
  void AddHeadTo(FlagSet& flags);
  /// --pin-threads, for commands where speed counts.
  void AddPinTo(FlagSet& flags);
  /// --models-dir alone, for commands that look at files only.
  void AddFolderTo(FlagSet& flags);

  /// The path of a model; of BASE+ADAPTER for a LoRA folder that comes with --base.
  std::filesystem::path Resolve(const std::string& name) const;
  /// Where its tokenizer is: that of BASE in BASE+ADAPTER.
  std::filesystem::path ResolveTokenizer(const std::string& name) const;
  /// What --weights and --activations ask for.
  runtime::PackOptions Packing() const;
  /// What --kv-cache-type and --head ask for, of weights that are packed.
  void SetHowToRun(runtime::PackedWeights& loaded) const;
  /// Packed straight from the mapped files.
  RunnableModel LoadToRun(const std::string& name) const;
  /// The global pool's threads and this one, pinned to cores, if --pin-threads is given; nullptr otherwise.
  std::unique_ptr<PinnedThreads> Pin() const;
  /// Its weights alone.
  runtime::PackedWeights LoadWeights(const std::string& name) const;
  /// Throws Error(kUsage) if --head top-k was given for a head that cannot.
  void CheckHead(const std::string& name, const runtime::PackedWeights& loaded) const;

 private:
  pipeline::ModelToRun Load(const std::filesystem::path& path, bool with_tokenizer) const;
  const FlagSet* flags_ = nullptr;  // those of AddTo
};

}  // namespace forge::cli
